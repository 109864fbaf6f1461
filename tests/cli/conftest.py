"""The program as a function, folders to run it on, and a model that costs nothing."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from vtok.cli.app import app


@dataclass(frozen=True)
class Outcome:
    """What one call of the program came to."""

    code: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        value = json.loads(self.stdout)
        assert isinstance(value, dict)
        return value


Program = Callable[..., Outcome]


@pytest.fixture
def vtok() -> Program:
    """Run the program in this process, and require its exit code."""

    def run(*arguments: object, code: int = 0) -> Outcome:
        result = CliRunner().invoke(app, [str(each) for each in arguments], prog_name="vtok")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        outcome = Outcome(result.exit_code, result.stdout, result.stderr)
        assert outcome.code == code, outcome
        return outcome

    return run


def picture(seed: int, *, height: int, width: int) -> Image.Image:
    """Return a smooth picture that depends on nothing but its seed and size."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven images in two folders and four formats, one with a caption."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "deep").mkdir()
    picture(0, height=40, width=64).save(folder / "a.png")
    picture(1, height=64, width=40).save(folder / "b.v2.jpg")
    picture(2, height=33, width=51).save(folder / "c.webp", lossless=True)
    picture(3, height=24, width=24).save(folder / "deep" / "a.png")
    picture(4, height=48, width=96).save(folder / "deep" / "d.bmp")
    picture(5, height=32, width=32).convert("L").save(folder / "deep" / "e.png")
    picture(6, height=17, width=90).save(folder / "f.png")
    (folder / "a.txt").write_text("a smooth picture", encoding="utf-8")
    (folder / "a.json").write_text('{"rating": 5}', encoding="utf-8")
    return folder


@pytest.fixture
def photos_and_broken(photos: Path, tmp_path: Path) -> Path:
    """The same, and three files that are no whole images."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for path in photos.glob("*.*"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_bytes(b"this is not an image, whatever its name says")
    (folder / "cut.png").write_bytes((photos / "a.png").read_bytes()[:200])
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer and encoder of the shipped architecture, small and with random weights."""
    return save_model(tmp_path_factory.mktemp("models") / "small", seed=0)


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same architecture with other weights."""
    return save_model(tmp_path_factory.mktemp("models") / "other", seed=1)


def save_model(folder: Path, *, seed: int) -> Path:
    import torch

    from vtok.models.files.weights import save_folder
    from vtok.models.vtok_base import VtokBaseTokenizer
    from vtok.models.vtok_base_networks import VtokBaseConfig

    torch.set_num_threads(1)
    config = VtokBaseConfig(
        width=16,
        hidden=16,
        encoder_layers="c",
        decoder_layers="c",
        num_heads=2,
        window=4,
        codebook_size=300,
        code_dim=8,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tokenizer = VtokBaseTokenizer(config)
    save_folder(folder, tokenizer, config.to_json())
    return folder


@pytest.fixture
def digests() -> Callable[[Path], dict[str, str]]:
    """Every file of a folder and the digest of its bytes, the lock aside."""

    def compute(folder: Path) -> dict[str, str]:
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != ".vtok.lock"
        }

    return compute
