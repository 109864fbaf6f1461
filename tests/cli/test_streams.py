"""What is printed reaches standard output of any encoding, and a full disk is one line."""

import io
import json
import os
import struct
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


@pytest.mark.parametrize("arguments", [["models"], ["--help"], ["inspect", "{}", "--json"]])
def test_nobody_reads_on(tmp_path: Path, arguments: list[str]) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    reading, writing = os.pipe()
    os.close(reading)
    code, _, error = vtok_process([each.format(tmp_path) for each in arguments], writing)
    os.close(writing)
    assert (code, error) == (141, "")


@pytest.mark.skipif(sys.platform == "win32", reason="streams are closed by a POSIX shell here")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(tmp_path: Path, closed: str) -> None:
    """As a daemon starts a program; what prints a warning then must not print it into a shard."""
    image, out = tmp_path / "in" / "a.png", tmp_path / "out"
    image.parent.mkdir()
    Image.new("RGB", (30, 20)).save(image)
    program = (
        "import os, sys; from vtok.cli import app; from vtok.shards import writer;"
        "add = writer.ShardWriter.add;"
        "writer.ShardWriter.add = lambda self, sample: (os.write(1, b'noise'),"
        " os.write(2, b'noise'), add(self, sample))[-1];"
        "app.main()"
    )
    command = ["sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-c", program]
    options = ["tile", str(image.parent), str(out), "--workers", "0", "--quiet"]
    ended = subprocess.run([*command, *options], capture_output=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stderr
    code, printed, _ = vtok_process(["verify", str(out), "--json"], subprocess.PIPE)
    assert (code, json.loads(printed)["state"]) == (0, "whole")


def test_a_list_on_an_input_that_is_closed(tmp_path: Path) -> None:
    program = "from vtok.cli.app import main; main()"
    command = ["sh", "-c", '"$@" <&-', "sh", sys.executable, "-c", program]
    ended = subprocess.run(
        [*command, "tile", "-", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (3, 1)
    assert "the list is empty" in ended.stderr


def test_what_pillow_logs_of_a_damaged_file_is_not_printed(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "TIFF")
    data = bytearray(buffer.getvalue())
    (start,) = struct.unpack_from("<I", data, 4)
    for at in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        if struct.unpack_from("<H", data, at)[0] == 277:  # samples a pixel
            struct.pack_into("<H", data, at + 8, 65535)
    (tmp_path / "a.tiff").write_bytes(data)
    Image.new("L", (16, 16)).save(tmp_path / "b.png")
    code, printed, error = vtok_process(["inspect", str(tmp_path)], subprocess.PIPE)
    assert (code, error) == (0, "")
    assert b"1 unreadable" in printed
