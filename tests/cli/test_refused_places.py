"""Places that cannot be used: one line, whatever the system says; no traceback, no other place."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LONG = "x" * 300
WRITING = [
    ["tile", "{photos}"],
    ["encode-vq", "{photos}", "--model", "{model}"],
    ["encode-continuous", "{photos}", "--model", "{model}"],
    ["train-vq", "{photos}"],
    ["models", "convert", "{model}"],
]
READING = [["tile"], ["decode-vq"], ["verify"], ["inspect"]]


def filled(arguments: list[str], **places: Path) -> list[str]:
    return [each.format(**places) for each in arguments]


@pytest.mark.parametrize("arguments", WRITING, ids=" ".join)
def test_an_empty_name_is_not_the_working_folder(
    vtok: Any, photos: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:  # fmt: skip
    """As `"$OUT"` is in a script that has not set it."""
    monkeypatch.chdir(tmp_path)
    outcome = vtok(*filled(arguments, photos=photos, model=model), "", code=2)
    assert "it is empty" in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_nor_is_it_what_is_read(vtok: Any, tmp_path: Path, arguments: list[str]) -> None:
    out = [] if arguments[0] in {"verify", "inspect"} else [tmp_path / "out"]
    code = 2 if arguments[0] in {"verify", "decode-vq"} else 3
    assert "is empty" in vtok(*arguments, "", *out, code=code).stderr


@pytest.mark.parametrize("arguments", WRITING, ids=" ".join)
def test_a_name_too_long_to_write(
    vtok: Any, photos: Path, model: Path, arguments: list[str]
) -> None:
    outcome = vtok(*filled(arguments, photos=photos, model=model), LONG, code=3)
    assert "File name too long" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_a_name_too_long_to_read(vtok: Any, tmp_path: Path, arguments: list[str]) -> None:
    out = [] if arguments[0] in {"verify", "inspect"} else [tmp_path / "out"]
    outcome = vtok(*arguments, LONG, *out, code=3)
    assert "File name too long" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None,
    reason="root goes everywhere, and there is no setpriv to be bound by modes",
)
@pytest.mark.parametrize("place", ["closed/in", "closed/in/out"])
def test_a_folder_that_may_not_be_entered(photos: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "closed" / "in").mkdir(parents=True)
    (tmp_path / "closed").chmod(0)
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:  # as root, but bound by the modes of files like everyone
        prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    program = [sys.executable, "-c", "from vtok.cli.app import main; main()"]
    command = [*prefix, *program, "tile", photos, tmp_path / place]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (tmp_path / "closed").chmod(0o700)
    assert done.returncode == 3
    assert done.stderr == f"vtok: error: cannot use {tmp_path / place}: Permission denied\n"


@pytest.mark.parametrize("target", ["gone/out", "link"])
def test_a_link_that_leads_nowhere(vtok: Any, photos: Path, tmp_path: Path, target: str) -> None:
    link = tmp_path / "link"
    link.symlink_to(target)
    stderr = vtok("tile", photos, link, code=3).stderr
    assert stderr == f"vtok: error: the output {link} is a link that leads nowhere: name a folder\n"


def test_a_mistake_of_the_program_is_none_of_these(
    vtok: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vtok.pipelines.running import head_start

    def forget(*_: Any, **__: Any) -> None:
        Path("/nonexistent/file").read_bytes()

    monkeypatch.setattr(head_start, "check_output", forget)
    with pytest.raises(FileNotFoundError):
        vtok("tile", photos, tmp_path / "out")
