"""Pages of documentation are true: what they say to type is typed, what they say to run is run."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from vtok.cli.app import app

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "vtok" / "nn" / "README.md"
SEQUENCES = ROOT / "vtok" / "sequences" / "README.md"
CAPTIONS = {"a red square": (40, 40), "a blue panorama": (24, 80), "green, upright": (64, 32)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, (caption, (height, width)) in enumerate(CAPTIONS.items()):
        pixels = np.full((height, width, 3), 30, np.uint8)
        pixels[..., (0, 2, 1)[number]] = 220
        Image.fromarray(pixels).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(caption)
    return folder


def test_images_into_a_text_model(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    monkeypatch.chdir(photos.parent)
    (typed,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    for line in typed.splitlines():
        made = CliRunner().invoke(app, shlex.split(line)[1:])
        assert made.exit_code == 0, made.output
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    space: dict[str, object] = {"__name__": "page"}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name} block {number}", "exec"), space)
    printed = capsys.readouterr().out
    assert "[25, 30, 32]" in printed
    assert printed.splitlines()[-3:] == list(CAPTIONS)[::-1]


def test_indices_as_tokens(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(photos.parent)
    made = CliRunner().invoke(app, ["encode-vq", "photos", "out", "--workers", "0", "--quiet"])
    assert made.exit_code == 0, made.output
    blocks = re.findall(r"```python\n(.*?)```", SEQUENCES.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, SEQUENCES.name, "exec"), {"__name__": "page"})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:] for line in lines] == [
        ["whole", f"({height // 8},", f"{width // 8})", str(height * width // 64)]
        for height, width in CAPTIONS.values()
    ]
