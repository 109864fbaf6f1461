"""A vision transformer of `vtok.nn` on images at their native ratio, from the command line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vtok as library
from vtok.models.base import PixelRange
from vtok.models.files.weights import save_folder
from vtok.models.registry import load_encoder
from vtok.models.vit import VitEncoder, vit_json
from vtok.nn.vit import VitConfig
from vtok.records import Grid
from vtok.resolution import Plan, render

PIXELS = PixelRange(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small transformer with learned positions, in a folder of its own."""
    shape = {"patch_px": 8, "dim": 32, "depth": 2, "num_heads": 4, "num_prefix": 1}
    grid = Grid(rows=4, cols=4)
    config = VitConfig(**shape, position="learned-1d", grid=grid)  # type: ignore[arg-type]
    encoder = VitEncoder(config, pixels=PIXELS)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_(std=0.3)
    folder = tmp_path_factory.mktemp("transformer")
    save_folder(folder, encoder, vit_json(config, PIXELS))
    return folder


@pytest.mark.parametrize("batch_size", [(), ("--batch-size", 2)])
def test_packed_images_are_what_each_is_alone(
    vtok: Any, photos: Path, transformer: Path, tmp_path: Path, batch_size: tuple[object, ...]
) -> None:
    arguments = ("--model", transformer, "--scheme", "navit", "--max-tokens", 40)
    quick = ("--dtype", "fp32", "--workers", 0)
    vtok("encode-continuous", photos, tmp_path, *arguments, *quick, *batch_size)
    encoder = load_encoder(str(transformer))
    grids = set()
    for sample in library.open_shards(tmp_path):
        with Image.open(photos / sample.meta["source"]) as image:
            upright = image.convert("RGB")
        (view,) = render(Plan.from_json(sample.meta), upright)
        inputs = view.astype(np.float32) / 255
        inputs = (inputs - np.array(PIXELS.mean, np.float32)) / np.array(PIXELS.std, np.float32)
        with torch.inference_mode():
            expected = encoder.features(torch.from_numpy(inputs).permute(2, 0, 1)[None])[0]
        np.testing.assert_allclose(sample.array, expected.numpy(), rtol=0, atol=1e-4)
        grid = sample.meta["token_grids"]["whole"]
        assert len(sample.array) == grid["rows"] * grid["cols"] <= 40
        grids.add((grid["rows"], grid["cols"]))
    assert len(grids) > 2
    model = json.loads((tmp_path / "plan.json").read_text())["model"]
    assert (model["family"], model["spec"]["packs"]) == ("vtok-vit", True)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"depth": 3}, "missing: vit.blocks.2"),
        ({"dim": "wide"}, "none of a vtok-vit"),
        ({"num_heads": 5}, "none of a vtok-vit"),
        ({"grid": None}, "learned positions need a training grid"),
        ({"pixels": {"mean": [1, 2]}}, "none of a vtok-vit"),
        ({"extra": 1}, "unknown fields: extra"),
    ],
)
def test_a_wrong_configuration_is_one_line(
    vtok: Any, photos: Path, transformer: Path, tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    for file in transformer.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    outcome = vtok("encode-continuous", photos, tmp_path / "o", "--model", tmp_path, code=4)
    assert problem in outcome.stderr


@pytest.mark.parametrize(
    ("size", "num_tokens"), [(("--size", 48), 36), (("--size", "any", "--max-tokens", 40), None)]
)
def test_an_encoder_takes_another_size(
    vtok: Any,
    photos: Path,
    transformer: Path,
    tmp_path: Path,
    size: tuple[object, ...],
    num_tokens: int | None,
) -> None:
    scheme = ("--scheme", "navit") if num_tokens is None else ()
    arguments = ("encode-continuous", photos, tmp_path, "--model", transformer, "--workers", 0)
    vtok(*arguments, *size, *scheme)
    lengths = {len(sample.array) for sample in library.open_shards(tmp_path)}
    assert lengths == {num_tokens} if num_tokens else len(lengths) > 2
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["model"]["spec"]["interpolation"] == "bilinear"
    assert plan["configuration"]["size"] == size[1]
    assert "bilinear where the size" in vtok("inspect", tmp_path).stdout
    assert "another plan" in vtok(*arguments, "--size", 56, code=3).stderr


@pytest.mark.parametrize("size", ["big", "0", "-3", "4x4"])
def test_what_is_no_size_is_a_usage_error(
    vtok: Any, photos: Path, tmp_path: Path, size: str
) -> None:
    assert "--size" in vtok("encode-continuous", photos, tmp_path, "--size", size, code=2).stderr
