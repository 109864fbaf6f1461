"""`--piece-size` through the commands: the same tokens, a record of it, and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vtok.shards.shardset import open_shards

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """One photograph-like image that is larger than the pieces, and a small one."""
    folder = tmp_path / "large"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((330, 203), Image.Resampling.BICUBIC)
    image.save(folder / "wide.png")
    image.crop((0, 0, 60, 50)).save(folder / "small.png")
    return folder


def test_pieces_change_no_index_and_no_pixel_that_shows(
    vtok: Any, large: Path, model: Path, tmp_path: Path
) -> None:
    for name, size in (("whole", 0), ("cut", 176)):
        where = ("--model", model, "--workers", 0, "--piece-size", size)
        vtok("encode-vq", large, tmp_path / name, *where)
        images = ("decode-vq", tmp_path / name, tmp_path / f"{name}-images")
        vtok(*images, "--piece-size", size)
    whole, cut = list(open_shards(tmp_path / "whole")), list(open_shards(tmp_path / "cut"))
    assert [sample.meta["source"] for sample in cut] == ["small.png", "wide.png"]
    for first, second in zip(whole, cut, strict=True):
        assert np.array_equal(first.indices["whole"], second.indices["whole"])
        pictures = [
            np.asarray(Image.open(tmp_path / f"{name}-images" / first.meta["source"])).astype(int)
            for name in ("whole", "cut")
        ]
        assert np.abs(pictures[0] - pictures[1]).max() <= 1
    assert "pieces" not in cut[0].meta
    assert cut[1].meta["pieces"] == {"side_px": 176, "overlap_px": 144, "exact": True}
    plan = json.loads((tmp_path / "cut" / "plan.json").read_text())
    assert plan["configuration"]["piece_size"] == 176
    vtok("encode-vq", large, tmp_path / "cut", "--model", model, "--piece-size", 192, code=3)


@pytest.fixture
def seeing_all(tmp_path: Path) -> Path:
    """A small VQGAN, whose norms and attention see the whole image."""
    folder = tmp_path / "chameleon"
    folder.mkdir()
    for name in ("vqgan.ckpt", "vqgan.yaml"):
        shutil.copy(GOLDEN / "models" / "chameleon" / name, folder)
    return folder


def test_what_was_encoded_in_blended_pieces_is_decoded_in_them(
    vtok: Any, large: Path, seeing_all: Path, tmp_path: Path
) -> None:
    made, images = tmp_path / "made", tmp_path / "images"
    where = ("--model", seeing_all, "--workers", 0)
    vtok("encode-vq", large, made, *where, "--piece-size", 270)
    (sample,) = (each for each in open_shards(made) if each.meta["source"] == "wide.png")
    assert sample.meta["pieces"] == {"side_px": 264, "overlap_px": 64, "exact": False}
    vtok("decode-vq", made, images)
    plan = json.loads((images / "plan.json").read_text())
    assert plan["configuration"]["piece_size"] == 264
    with Image.open(images / "wide.png") as image:
        assert image.size == (330, 203)


def test_too_small_a_piece_is_refused_before_a_folder_is_made(
    vtok: Any, large: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = vtok("encode-vq", large, out, "--model", model, "--piece-size", 16, code=2).stderr
    assert "--piece-size 16" in said
    assert "at least 168 px" in said
    assert not out.exists()
    np.save(tmp_path / "x.npy", np.zeros((4, 4), dtype=np.uint16))
    arguments = ("decode-vq", tmp_path / "x.npy", out, "--model", model)
    vtok(*arguments, "--piece-size", 16, code=2)
    assert not out.exists()
    vtok(*arguments, "--piece-size", -1, code=2)
