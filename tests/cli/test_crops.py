"""Crops from the command line: recorded, the same whatever made them, compared as they are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vtok as library
from vtok.models.registry import load_tokenizer
from vtok.resolution import Plan, render

CROPS = ("--crops", 3, "--flip", "--seed", 5, "--size", 16)


def samples_of(folder: Path) -> list[Any]:
    return list(library.open_shards(folder))


def test_every_crop_is_a_view_with_its_box(
    vtok: Any, photos: Path, model: Path, tmp_path: Path
) -> None:
    """Against the model called on what Pillow cuts at the recorded boxes."""
    vtok("encode-vq", photos, tmp_path, "--model", model, "--workers", 0, *CROPS)
    tokenizer = load_tokenizer(str(model))
    flips = 0
    for sample in samples_of(tmp_path):
        assert list(sample.indices) == ["crop-000", "crop-001", "crop-002"]
        with Image.open(photos / sample.meta["source"]) as opened:
            image = opened.convert("RGB")
        for view in sample.meta["views"]:
            part = image.crop(view["box"]).resize((16, 16), Image.Resampling.BICUBIC)
            pixels = np.asarray(part)
            if view.get("flip"):
                pixels, flips = pixels[:, ::-1], flips + 1
            inputs = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255 * 2 - 1
            expected = tokenizer.tokenize(inputs)[0].numpy()
            assert np.array_equal(sample.indices[view["name"]], expected)
    assert 0 < flips < 14
    assert samples_of(tmp_path)[0].sidecars["txt"] == b"a smooth picture"


def test_crops_do_not_depend_on_workers_or_batches(
    vtok: Any, photos: Path, model: Path, tmp_path: Path
) -> None:
    answers = []
    for place, extra in (("a", ("--workers", 0)), ("b", ("--workers", 2, "--batch-size", 2))):
        vtok("encode-vq", photos, tmp_path / place, "--model", model, *CROPS, *extra)
        answers.append(
            [
                (
                    sample.key,
                    sample.meta["views"],
                    {k: v.tolist() for k, v in sample.indices.items()},
                )
                for sample in samples_of(tmp_path / place)
            ]
        )
    assert answers[0] == answers[1]


def test_ten_crops_decode_to_ten_images_compared_with_what_they_show(
    vtok: Any, photos: Path, model: Path, tmp_path: Path
) -> None:
    made, images = tmp_path / "made", tmp_path / "images"
    extra = ("--model", model, "--workers", 0, "--limit", 2)
    vtok("encode-vq", photos, made, *extra, "--ten-crop", "--size", 24)
    again = vtok("decode-vq", made, images, "--reference", photos, "--workers", 1, "--json")
    record = again.report["quality"]["images"]
    assert len(record) == 20
    assert record[3]["source"] == "a.png (crop-003)"
    plan = Plan.from_json(samples_of(made)[0].meta)
    with Image.open(photos / "a.png") as opened:
        expected = render(plan, opened.convert("RGB"))[3].astype(float)
    with Image.open(images / "a.crop-003.png") as opened:
        error = np.mean((np.asarray(opened).astype(float) - expected) ** 2)
    assert record[3]["psnr_db"] == pytest.approx(10 * np.log10(255**2 / error))


def test_a_single_crop_keeps_its_name(vtok: Any, photos: Path, model: Path, tmp_path: Path) -> None:
    made, images = tmp_path / "made", tmp_path / "images"
    vtok("encode-vq", photos, made, "--model", model, "--workers", 0, "--size", 32, "--limit", 1)
    assert json.loads((made / "plan.json").read_text())["configuration"]["scheme"] == {
        "name": "adm-crop",
        "options": {"flip": False, "patch_px": 8, "size_px": 32},
    }
    vtok("decode-vq", made, images, "--workers", 1)
    with Image.open(images / "a.png") as image:
        assert image.size == (32, 32)


def test_what_cannot_be_cropped_is_said(
    vtok: Any, photos: Path, model: Path, tmp_path: Path
) -> None:
    base = ("encode-vq", photos, tmp_path, "--model", model)
    for flags, words in (
        (("--size", 100), "multiples of 8 px: give 96 or 104"),
        (("--scheme", "closest", "--crops", 3), "scheme closest has no option --crops"),
        (("--scheme", "closest", "--ten-crop"), "--ten-crop is a scheme of its own"),
        (("--ten-crop", "--crops", 3), "scheme ten-crop has no option --crops"),
        (("--crops", 3, "--min-crop-scale", 2), "--min-crop-scale must be in [0.01, 1]"),
    ):
        assert words in vtok(*base, *flags, code=2).stderr
