"""The power goes at any operation on the disk: what was recorded is there, and true.

On an ext4 file system in a file, whose shutdown ioctl drops all that was not synced, as a machine
does that loses its power. The file system is then mounted again, and looked at, and the run
resumed.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from faulty_disk import POWER
from sweeps import Program, Scenario, complaints, differences, digests, lies

SHORT_STEP = 8
FREE_BYTES = 32 << 20


def run(*arguments: object) -> None:
    subprocess.run(list(map(str, arguments)), check=True, capture_output=True)


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[None]:
    run("mount", "-o", "loop", image, folder)
    try:
        yield
    finally:
        run("umount", folder)


@pytest.fixture
def disk(tmp_path: Path) -> tuple[Path, Path]:
    """An empty ext4 file system in a file, and where to mount it; skips where none can be."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("mounting a file system needs root and mkfs.ext4")
    image, folder = tmp_path / "ext4", tmp_path / "mounted"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(FREE_BYTES)
    try:
        run("mkfs.ext4", "-q", "-F", image)
        with mounted(image, folder):
            pass
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no file system can be mounted here: {error.stderr.decode().strip()}")
    return image, folder


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "name",
    [
        "tile",
        pytest.param("encode-vq", marks=pytest.mark.torture),
        "decode-vq",
        pytest.param("train-vq", marks=pytest.mark.torture),
    ],
)
def test_power_loss(
    name: str,
    disk: tuple[Path, Path],
    scenarios: dict[str, Scenario],
    program: Program,
    tmp_path: Path,
    in_full: bool,
    table_row: Callable[..., Any],
) -> None:
    image, folder = disk
    scenario = scenarios[name]
    quiet = program.run(scenario.arguments(tmp_path / "quiet"))
    expected = digests(tmp_path / "quiet")
    out = folder / "out"
    problems = []
    num_tried = num_survived = 0
    for at in range(2, len(quiet.operations) + 1, 1 if in_full else SHORT_STEP):
        # Fresh copies: a mount that lives on in some other namespace would be met again.
        before, after = tmp_path / f"{at}-before", tmp_path / f"{at}-after"
        run("cp", "--sparse=always", image, before)
        with mounted(before, folder):
            ending = program.run(scenario.arguments(out), POWER, at, mount=folder)
        run("cp", "--sparse=always", before, after)
        with mounted(after, folder):
            found = complaints(ending, POWER)
            found += lies(out, may_hold=[expected])
            found += differences(program.run(scenario.arguments(out)), out, expected)
        before.unlink()
        after.unlink()
        num_tried += 1
        num_survived += not found
        problems += [f"at operation {at} ({ending.struck}): {problem}" for problem in found]
    title = "Power loss at every operation on the disk"
    table_row(title, ("command", "tried", "survived"), (name, str(num_tried), str(num_survived)))
    assert num_tried
    assert not problems, "\n".join(problems)
