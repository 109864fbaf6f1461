"""Encoders at other sizes than their own, against transformers' own interpolation of positions."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from torch import Tensor, nn
from torch.nn import functional
from vision_models import PATCH, TILE, UNEVEN, tower_configs

from vtok.errors import UsageError
from vtok.models.adapting.sizing import resize
from vtok.models.base import Encoder
from vtok.models.registry import load_encoder
from vtok.nn.tables import interpolate_positions
from vtok.records import Grid, Size

CLASSES = {
    "clip": (tf.CLIPVisionModel, 1),
    "siglip": (tf.SiglipVisionModel, 0),
    "vit": (tf.ViTModel, 1),
    "dinov2": (tf.Dinov2Model, 1),
    "dinov2-registers": (tf.Dinov2WithRegistersModel, 4),
    "internvit": (tf.InternVLVisionModel, 1),
}
ASKED = ("clip", "siglip", "vit")  # the others interpolate by themselves
LARGER = 6 * PATCH


def saved(name: str, folder: Path) -> tuple[Any, str]:
    """Return a tower of transformers with random weights, and the folder that it is saved in."""
    torch.manual_seed(0)
    model = CLASSES[name][0](tower_configs()[name]).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    model.save_pretrained(folder / name)
    return model, str(folder / name)


def theirs(name: str, model: Any, pixels: Tensor) -> Tensor:
    options = {"interpolate_pos_encoding": True} if name in ASKED else {}
    with torch.no_grad():
        states: Tensor = model(pixels, **options).last_hidden_state
    return states[:, CLASSES[name][1] :]


@pytest.mark.parametrize("name", CLASSES)
def test_equals_transformers_at_other_sizes(name: str, tmp_path: Path) -> None:
    model, folder = saved(name, tmp_path)
    square = resize(load_encoder(folder), LARGER, "bicubic")
    assert square.spec.fixed_size == Size(height=LARGER, width=LARGER)
    assert square.spec.interpolation == "bicubic"
    assert square.spec.scheme_options.get("tile_size_px", LARGER) == LARGER
    free = resize(load_encoder(folder), "any", "bicubic")
    assert (free.spec.fixed_size, free.spec.size_policy) == (None, "any")
    sizes = {square: [(LARGER, LARGER)], free: [(TILE, TILE), (2 * PATCH, 7 * PATCH)]}
    for encoder, shapes in sizes.items():
        for shape in shapes:
            pixels = torch.randn(2, 3, *shape)
            with torch.no_grad():
                ours = encoder.features(pixels)
            torch.testing.assert_close(ours, theirs(name, model, pixels), rtol=0, atol=1e-5)
            grid = encoder.spec.token_grid(Size(height=shape[0], width=shape[1]))
            assert grid is not None
            assert ours.shape[1] == grid.num_cells


def test_its_own_size_needs_no_whole_number_of_patches(tmp_path: Path) -> None:
    model = tf.SiglipVisionModel(tower_configs()["siglip-uneven"]).eval()
    model.save_pretrained(tmp_path)
    encoder = resize(load_encoder(str(tmp_path)), UNEVEN, "bicubic")
    assert encoder.spec.fixed_size == Size(height=UNEVEN, width=UNEVEN)
    assert encoder.spec.interpolation is None
    with pytest.raises(UsageError, match="multiples of 7 px: give 28 or 35"):
        resize(load_encoder(str(tmp_path)), UNEVEN - 1, "bicubic")
    larger = resize(load_encoder(str(tmp_path)), LARGER, "bicubic")
    pixels = torch.randn(1, 3, LARGER, LARGER)
    with torch.no_grad():
        ours = larger.features(pixels)
        expected = model(pixels, interpolate_pos_encoding=True).last_hidden_state
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


def table_of(model: Any) -> tuple[Tensor, str]:
    """Return a tower's positions (S + N, D), and the parameter that holds them."""
    for name, parameter in model.named_parameters():
        if "position_embedding" in name:
            return parameter.detach().reshape(-1, parameter.shape[-1]), name
    raise AssertionError


@pytest.mark.parametrize("name", CLASSES)
def test_bilinear_is_a_tower_whose_table_was_resized(name: str, tmp_path: Path) -> None:
    """The table is resized by torch, and held by a tower made for the larger size."""
    model, folder = saved(name, tmp_path)
    table, held = table_of(model)
    side = math.isqrt(len(table))
    prefix, cells = table[: len(table) - side**2], table[len(table) - side**2 :]
    planes = cells.T.reshape(1, -1, side, side)
    wanted = functional.interpolate(planes, (LARGER // PATCH,) * 2, mode="bilinear")
    larger = torch.cat((prefix, wanted[0].flatten(1).T))
    config = tower_configs()[name]
    config.image_size = [LARGER, LARGER] if isinstance(config.image_size, list | tuple) else LARGER
    made = type(model)(config).eval()
    shape = dict(made.named_parameters())[held].shape
    made.load_state_dict({**model.state_dict(), held: larger.reshape(shape)}, strict=False)
    pixels = torch.randn(1, 3, LARGER, LARGER)
    with torch.no_grad():
        expected = made(pixels).last_hidden_state[:, CLASSES[name][1] :]
        ours = resize(load_encoder(folder), LARGER, "bilinear").features(pixels)
        bicubic = resize(load_encoder(folder), LARGER, "bicubic").features(pixels)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)
    assert (ours - bicubic).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["clip", "siglip", "vit", "dinov2"])
@pytest.mark.parametrize("target", [Grid(rows=6, cols=6), Grid(rows=2, cols=7)])
def test_our_tables_interpolate_as_transformers_does(
    name: str, target: Grid, tmp_path: Path
) -> None:
    model, _ = saved(name, tmp_path)
    module = next(each for each in model.modules() if hasattr(each, "interpolate_pos_encoding"))
    table, _ = table_of(model)
    num_prefix = len(table) - 16
    embeddings = torch.zeros(1, num_prefix + target.num_cells, table.shape[1])
    expected = module.interpolate_pos_encoding(
        embeddings, target.rows * PATCH, target.cols * PATCH
    )[0]
    source = Grid(rows=4, cols=4)
    ours = interpolate_positions(table, source, target, num_prefix=num_prefix, mode="bicubic")
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["dinov3", "pixtral"])
def test_rotary_positions_need_nothing(name: str, tmp_path: Path) -> None:
    config = tower_configs()[name]
    cls = {"dinov3": tf.DINOv3ViTModel, "pixtral": tf.PixtralVisionModel}[name]
    model = cls(config).eval()
    model.save_pretrained(tmp_path)
    encoder = resize(load_encoder(str(tmp_path)), LARGER, "bicubic")
    assert encoder.spec.interpolation is None
    pixels = torch.randn(1, 3, LARGER, LARGER)
    with torch.no_grad():
        expected = model(pixels).last_hidden_state
        ours = encoder.features(pixels)
    torch.testing.assert_close(ours, expected[:, -ours.shape[1] :], rtol=0, atol=1e-5)


class Fixed(Encoder):
    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.spec = load_encoder("vtok-base").spec

    def features(self, pixels: Tensor) -> Tensor:
        return pixels


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    _, folder = saved("clip", tmp_path)
    with pytest.raises(UsageError, match="multiples of 7 px: give 28 or 35"):
        resize(load_encoder(folder), 30, "bicubic")
    fixed = resize(Fixed(), 32, "bicubic")
    with pytest.raises(UsageError, match="takes views of 32x32 alone"):
        resize(fixed, "any", "bicubic")
