"""Each reader of untrusted bytes over a fixed number of mutations: see `fuzz.py`, for long by hand.

What fuzzing has found is kept: as a test of the reader where a line can say it, and here otherwise.
"""

import io
import tarfile
import traceback
from collections.abc import Callable
from typing import Any

import fuzz
import pytest

RUNS = {
    "tar": 400, "npy": 1500, "json": 1500, "records": 400, "shard": 120, "image": 150, "list": 40,
    "pickle": 60, "weights": 15,
}  # fmt: skip
FULL = 100
"""So many times as many in `make torture`."""


@pytest.fixture(scope="module")
def targets() -> dict[str, fuzz.Target]:
    return fuzz.targets()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", RUNS)
def test_mutations(
    name: str, targets: dict[str, fuzz.Target], in_full: bool, table_row: Callable[..., Any]
) -> None:
    target = targets[name]
    for seed in target.seeds:  # or the mutations would be of something else
        assert fuzz.attempt(target, seed) is None
    count, failures = fuzz.fuzz(name, target, seed=0, runs=RUNS[name] * (FULL if in_full else 1))
    survived = count - len(failures)
    table_row("Fuzzing", ("reader", "tried", "survived"), (name, str(count), str(survived)))
    lines = ["".join(traceback.format_exception(error)) + data.hex() for data, error in failures]
    assert not failures, "\n".join(lines[:3])


@pytest.mark.parametrize("name", RUNS)
def test_seeds_are_accepted(name: str, targets: dict[str, fuzz.Target]) -> None:
    """A target whose seeds are refused looks at nothing."""
    accepted = 0
    for seed in targets[name].seeds:
        try:
            targets[name].check(seed)
        except targets[name].errors:
            continue
        accepted += 1
    assert accepted >= (1 if name == "list" else len(targets[name].seeds))


def test_a_long_name_that_was_cut_behind_a_slash(targets: dict[str, fuzz.Target]) -> None:
    info = tarfile.TarInfo("long/" * 30 + "\u00e9.jpg")
    info.size = 3
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(b"abc"))
    data = bytearray(archive.getvalue())
    at = 1024  # behind the header of the long name, and the long name
    data[at + 156] = 0
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getmembers()[0].isdir()  # the oracle's mistake is still there
    assert fuzz.attempt(targets["tar"], bytes(data)) is None


def test_the_harness_finds_what_is_there() -> None:
    def trips(data: bytes) -> None:
        if b"\xff\xd8" in data:
            raise IndexError("a reader's mistake")

    _, failures = fuzz.fuzz("x", fuzz.Target(trips, (), [b"abc" * 9]), seed=0, runs=2000)
    assert failures
