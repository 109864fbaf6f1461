"""What is printed reaches standard output of any encoding, and a full disk is one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image


def vtok_process(arguments: list[str], out: int, **environment: str) -> tuple[int, bytes, str]:
    """Run the program in a process of its own; return its exit code and what it printed."""
    ended = subprocess.run(
        [sys.executable, "-c", "from vtok.cli.app import main; main()", *arguments],
        stdout=out,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
        timeout=100,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr.decode()


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_names_that_the_encoding_lacks(tmp_path: Path, form: list[str]) -> None:
    name = "naïve 写真 🙂.png"
    Image.new("RGB", (30, 20)).save(tmp_path / name)
    arguments = ["inspect", str(tmp_path / name), *form]
    code, out, error = vtok_process(arguments, subprocess.PIPE, PYTHONIOENCODING="ascii")
    assert (code, error) == (0, "")
    assert rb"na\u00efve \u5199\u771f \ud83d\ude42.png" in out
    if form:
        assert name in json.dumps(json.loads(out), ensure_ascii=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_space_for_the_report(tmp_path: Path, form: list[str]) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    with Path("/dev/full").open("wb") as full:
        code, _, error = vtok_process(["inspect", str(tmp_path), *form], full.fileno())
    assert (code, error) == (3, "vtok: error: standard output cannot be written: no space left\n")
