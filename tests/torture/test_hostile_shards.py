"""Hostile shards and weights through whole commands: one line, the right exit code, little memory.

The readers have their own tests; here every command that reads somebody else's files is given each
of them, in a process of its own whose memory is measured. Nothing may be written outside of the
output folder, and nothing in a file may run.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_files import forged, hostile_records, hostile_tars, hostile_weights
from sweeps import Program

MAX_GROWTH_BYTES = 256 << 20
TITLE = "Hostile shards and weights"
HEADER = ("file and command", "tried", "survived")


def complaint(ending: Any, codes: tuple[int, ...], baseline: int, marker: Path) -> str | None:
    """Return what is wrong with an ending, None if nothing is."""
    if ending.status not in codes:
        return f"exit {ending.status}: {ending.words[-1500:]}"
    last = ending.words.rstrip().rpartition("\n")[2]
    if "Traceback" in ending.words or (ending.status and not last.startswith("vtok: error: ")):
        return f"no line that says what is wrong: {ending.words[-1500:]}"
    if ending.max_bytes > baseline + MAX_GROWTH_BYTES:
        return f"{ending.max_bytes >> 20} MiB, {baseline >> 20} MiB without"
    if marker.exists():
        marker.unlink()
        return "something in the file ran, or was extracted"
    return None


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_shards(
    tmp_path: Path,
    photos: Path,
    model: Path,
    program: Program,
    in_full: bool,
    table_row: Callable[..., Any],
) -> None:
    good, marker = tmp_path / "good", tmp_path / "marker"
    small = ["--model", str(model), "--workers", "0", "--quiet"]
    assert program.run(["encode-vq", str(photos), str(good), *small]).status == 0
    decode = ["--model", str(model), "--workers", "1", "--quiet"]
    whole = program.run(["decode-vq", str(good), str(tmp_path / "back"), *decode])
    assert whole.status == 0, whole.words
    tars = hostile_tars(good / "shard-000000.tar", marker)
    wrong = []
    for number, (what, data) in enumerate(tars.items()):
        shard = tmp_path / f"{number}" / "shard-000000.tar"
        shard.parent.mkdir()
        shard.write_bytes(data)
        out = tmp_path / f"{number}-out"
        commands = {
            "decode-vq": (["decode-vq", str(shard), str(out), *decode], (3,)),
            # As a source of images it is an archive like any other, and may just hold none.
            "tile": (["tile", str(shard), str(out), "--workers", "0", "--quiet"], (3, 6, 7)),
            "inspect": (["inspect", str(shard)], (0, 3)),
            "verify": (["verify", str(shard), "--workers", "1"], (3,)),
        }
        for command in commands if in_full else ("decode-vq", "verify"):
            arguments, codes = commands[command]
            ending = program.run(arguments)
            problem = complaint(ending, codes, whole.max_bytes, marker)
            table_row(TITLE, HEADER, (f"{what}: {command}", "1", str(int(problem is None))))
            if problem:
                wrong.append(f"{what}, {command}: {problem}")
    assert not list(tmp_path.parent.glob("escaped*")) + list(tmp_path.glob("escaped*"))
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_folders(
    tmp_path: Path, photos: Path, model: Path, program: Program, table_row: Callable[..., Any]
) -> None:
    """Records that fit a hostile shard, and records that are hostile themselves."""
    good, marker = tmp_path / "good", tmp_path / "marker"
    small = ["--model", str(model), "--workers", "0", "--quiet"]
    assert program.run(["encode-vq", str(photos), str(good), *small]).status == 0
    whole = program.run(["verify", str(good), "--workers", "1"])
    assert whole.status == 0, whole.words
    folders = {
        f"forged: {what}": forged(good, tmp_path / f"forged-{number}", data)
        for number, (what, data) in enumerate(
            hostile_tars(good / "shard-000000.tar", marker).items()
        )
    }
    for number, (what, files) in enumerate(hostile_records(good).items()):
        folders[what] = tmp_path / f"records-{number}"
        shutil.copytree(good, folders[what])
        for name, content in files.items():
            (folders[what] / name).unlink()
            if content is None:
                os.mkfifo(folders[what] / name)
            else:
                (folders[what] / name).write_bytes(content)
    wrong = []
    for what, folder in folders.items():
        ending = program.run(["verify", str(folder), "--workers", "1"])
        problem = complaint(ending, (3,), whole.max_bytes, marker)
        table_row(TITLE, HEADER, (f"verify {what}", "1", str(int(problem is None))))
        if problem:
            wrong.append(f"{what}: {problem}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_weights(
    tmp_path: Path, photos: Path, model: Path, program: Program, table_row: Callable[..., Any]
) -> None:
    marker = tmp_path / "marker"
    command = ["encode-vq", str(photos), "--workers", "0", "--quiet"]
    whole = program.run([*command, str(tmp_path / "good"), "--model", str(model)])
    assert whole.status == 0, whole.words
    wrong = []
    for number, (what, files) in enumerate(hostile_weights(model, marker).items()):
        folder = tmp_path / f"model-{number}"
        shutil.copytree(model, folder)
        for name, data in files.items():
            (folder / name).write_bytes(data)
            if Path(name).suffix in {".pt", ".bin"}:
                (folder / "model.safetensors").unlink()
        ending = program.run([*command, str(tmp_path / f"{number}"), "--model", str(folder)])
        problem = complaint(ending, (2, 4), whole.max_bytes, marker)
        table_row(TITLE, HEADER, (f"weights: {what}", "1", str(int(problem is None))))
        if problem:
            wrong.append(f"{what}: {problem}")
    assert not wrong, "\n".join(wrong)
