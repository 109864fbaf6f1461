"""The README is true: its Python runs, its help is the program's, its folders exist."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vtok.cli.app import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def python_blocks() -> Iterator[str]:
    yield from re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_help_is_the_programs() -> None:
    run = "import sys; sys.argv = ['vtok', '--help']; from vtok.cli.app import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", run],
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
    )
    shown = re.search(r"<!-- help -->\n```\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == result.stdout.strip()


def test_every_command_is_named() -> None:
    result = CliRunner().invoke(app, ["--help"])
    commands = re.findall(r"^  ([a-z]+(?:-[a-z]+)*)  ", result.stdout, re.MULTILINE)
    assert len(commands) >= 6
    assert [name for name in commands if f"`vtok {name} " not in README] == []


def test_every_folder_of_the_house_is_in_the_picture() -> None:
    picture = README.split("## The house")[1]
    folders = {path.name for path in (ROOT / "vtok").iterdir() if (path / "__init__.py").exists()}
    assert sorted(name for name in folders if not re.search(rf"\b{name}\b", picture)) == []


@pytest.mark.parametrize("number", range(3))
def test_the_python_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = list(python_blocks())
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    if "demo_output" in blocks[number]:
        source = str(ROOT / "sample_images" / "horse.png")
        made = CliRunner().invoke(app, ["encode-vq", source, "demo_output/indices", "--quiet"])
        assert made.exit_code == 0, made.output
    exec(compile(blocks[number], f"README.md block {number}", "exec"), {})
