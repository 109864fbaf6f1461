"""Ended at any moment, a run leaves whole shards or nothing, and resumes to the same bytes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

TIMEOUT_S = 120.0
NUM_IMAGES = 360


def heed_signals() -> None:
    """Heed what a parent may ignore: as the tests run under `nohup`, or in the background."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More images than any run gets through before it is interrupted."""
    folder = tmp_path_factory.mktemp("many")
    for index in range(NUM_IMAGES):
        shade = np.full((30, 45, 3), index % 256, np.uint8)
        Image.fromarray(shade).save(folder / f"{index:03d}.png")
    return folder


def arguments(many: Path, out: Path) -> list[str]:
    return ["tile", str(many), str(out), "--shard-size", "2", "--workers", "1", "--tile-size", "28"]


def interrupted(many: Path, out: Path, number: int) -> tuple[int, str]:
    """Run the program, send it a signal after its second shard; return its end and its words."""
    code = "from vtok.cli.app import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments(many, out)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        preexec_fn=heed_signals,
    )
    ends = time.monotonic() + TIMEOUT_S
    while not (out / "shard-000001.json").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends
        time.sleep(0.005)
    # As a terminal does: the whole group gets it, decode workers too.
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    _, words = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, words


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 129, "hung up"),
        (signal.SIGKILL, -9, ""),
    ],
)
def test_interrupted_then_resumed_gives_the_same_bytes(
    vtok: Any, many: Path, tmp_path: Path, digests: Any, number: int, code: int, word: str
) -> None:
    out = tmp_path / "out"
    ended, words = interrupted(many, out, number)
    assert ended == code
    names = {path.name for path in out.iterdir()}
    assert "manifest.json" not in names
    if word:
        assert words == f"vtok: {word}: finished shards are kept, the same command resumes\n"
        tars = {name for name in names if name.endswith(".tar")}
        records = {name for name in names if re.fullmatch(r"shard-\d{6}\.json", name)}
        # The signal may come after a tar is in place and before its commit: it does not count then.
        committed = {name[:-5] for name in records}
        whole = {name[:-4] for name in tars}
        assert committed <= whole
        assert len(whole - committed) <= 1
        assert not [name for name in names if name.endswith(".partial")]
    report = vtok(*arguments(many, out), "--json").report
    assert report["resumed_shards"] >= 2
    assert report["written"] == NUM_IMAGES
    vtok(*arguments(many, tmp_path / "quiet"))
    assert digests(out) == digests(tmp_path / "quiet")


@pytest.mark.slow
def test_what_nohup_has_started_goes_on(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = "from vtok.cli.app import main; main()"
    deaf = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]
    process = subprocess.Popen(
        [*deaf, sys.executable, "-c", code, *arguments(many, out), "--quiet"]
    )
    ends = time.monotonic() + TIMEOUT_S
    while not (out / "shard-000001.json").exists():
        assert process.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.005)
    process.send_signal(signal.SIGHUP)
    assert process.wait(TIMEOUT_S) == 0
    assert (out / "manifest.json").exists()


def test_two_runs_do_not_share_a_folder(vtok: Any, photos: Path, tmp_path: Path) -> None:
    from vtok.io.files import folder_lock

    with folder_lock(tmp_path):
        outcome = vtok("tile", photos, tmp_path, "--workers", "0", code=3)
    assert f"in use by another run (process {os.getpid()})" in outcome.stderr
