"""Whatever happens at any operation on the disk: no record that lies, and the same bytes after.

Every command runs over a few small images on a disk that fails at its n-th operation, for every n
(create, write, sync, rename, remove, mkdir, truncate). After the fault, every visible file has to
be one that an undisturbed run writes, every record true, and the error one line; the same command
then runs again, undisturbed, and has to leave the bytes of an undisturbed run and nothing else.

`make test` tries one kind of fault at every fifth operation, all kinds in turn; `make torture` all
kinds at each, but where a fault is the same as at the next operation.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_disk import KINDS, is_another_fault
from sweeps import (
    MAY_LEAVE_PARTIALS,
    Program,
    Scenario,
    complaints,
    differences,
    digests,
    lies,
    partials,
    state,
)

SHORT_STEP = 5
HEADER = ("command and fault", "tried", "survived")


NAMES = (
    "tile", "tile --overwrite", "tile --retry-failed", "tile --dedupe", "encode-continuous",
    "encode-vq", "decode-vq", "decode-vq to webdataset", "train-vq", "verify --repair",
    "models convert",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", NAMES)
def test_a_fault_at_every_operation(
    name: str,
    scenarios: dict[str, Scenario],
    program: Program,
    work: Path,
    in_full: bool,
    table_row: Callable[..., Any],
) -> None:
    scenario = scenarios[name]
    quiet = work / f"{name}-quiet"
    scenario.before(quiet)
    whole = program.run(scenario.arguments(quiet))
    assert whole.status == scenario.status, whole.words
    expected = digests(quiet)
    tried: Counter[str] = Counter()
    survived: Counter[str] = Counter()
    problems = []
    start = NAMES.index(name) % SHORT_STEP  # another fifth for every command
    resumed: set[str] = set()
    places = range(1, len(whole.operations) + 1)
    for at in places if in_full else places[start::SHORT_STEP]:
        for kind in KINDS if in_full else [KINDS[at // SHORT_STEP % len(KINDS)]]:
            if in_full and not is_another_fault(kind, whole.operations[at - 1]):
                continue
            found = torment(scenario, program, work / "out", kind, at, expected, resumed)
            tried[kind] += 1
            survived[kind] += not found
            problems += [f"{kind} at operation {at}: {problem}" for problem in found]
    for kind in tried:
        row = (f"{name}: {kind}", str(tried[kind]), str(survived[kind]))
        table_row("Crash proof: faults at every operation on the disk", HEADER, row)
    assert not problems, "\n".join(problems)


def torment(
    scenario: Scenario,
    program: Program,
    out: Path,
    kind: str,
    at: int,
    expected: dict[str, str],
    resumed: set[str],
) -> list[str]:
    """Disturb one run and let it be resumed; return what went wrong.

    Args:
        resumed: States of the folder that a run went on from already; where a fault leaves one of
            these, nothing else can come of it.
    """
    shutil.rmtree(out, ignore_errors=True)
    earlier = scenario.before(out)
    ending = program.run(scenario.arguments(out), kind, at)
    found = complaints(ending, kind, scenario.status)
    found += lies(out, may_hold=[expected, earlier], is_damaged=scenario.is_damaged)
    can_remove = not (kind == "eio" and ending.struck == "remove")
    if kind not in MAY_LEAVE_PARTIALS and can_remove and (left := partials(out)):
        found.append(f"temporary files are left: {left}")
    left_behind = state(out)
    if left_behind not in resumed:
        ended = program.run(scenario.arguments(out))
        again = differences(ended, out, expected, scenario.status)
        found += again
        if not again:
            resumed.add(left_behind)
    return [f"({ending.struck}) {each}" for each in found]
