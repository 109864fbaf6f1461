"""Towers of transformers on pictures of any sizes in one sequence: as alone, unseen by others."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from torch import Tensor
from vision_models import tower_configs, whole_configs

from vtok.engine.packed import PackedForward, features_forward
from vtok.models.adapting.sizing import resize
from vtok.models.base import Encoder
from vtok.models.registry import load_encoder

CLASSES = {
    "clip": tf.CLIPVisionModel,
    "siglip": tf.SiglipVisionModel,
    "siglip2-naflex": tf.Siglip2VisionModel,
    "vit": tf.ViTModel,
    "dinov2": tf.Dinov2Model,
    "dinov2-registers": tf.Dinov2WithRegistersModel,
    "pixtral": tf.PixtralVisionModel,
    "llava-1.5": tf.LlavaModel,
    "mistral3": tf.Mistral3Model,
    "qwen2-vl": tf.Qwen2VLModel,
    "qwen2.5-vl": tf.Qwen2_5_VLModel,
    "qwen3-vl": tf.Qwen3VLModel,
}
OF_ONE_SIZE = ("clip", "siglip", "vit", "llava-1.5")
PROJECTED = ("qwen2-vl", "qwen2.5-vl", "qwen3-vl")
CASES = [
    *((name, "patches", layers) for name in CLASSES for layers in ((), (-2, 0))),
    *((name, "projected", ()) for name in PROJECTED),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Models with random weights, as transformers saves them."""
    found = {}
    configs = {**tower_configs(), **whole_configs()}
    for name, cls in CLASSES.items():
        torch.manual_seed(0)
        model = cls(configs[name]).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(std=0.15)
        folder = tmp_path_factory.mktemp("towers") / name
        model.save_pretrained(folder)
        found[name] = str(folder)
    return found


def opened(folders: dict[str, str], name: str, **options: Any) -> Encoder:
    encoder = load_encoder(folders[name], **options)
    return resize(encoder, "any", "bicubic") if name in OF_ONE_SIZE else encoder


def pictures(encoder: Encoder) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    side = encoder.spec.alignment_px
    grids = [(2, 3), (1, 1), (4, 1), (2, 3), (3, 5)]
    return [torch.randn(3, side * r, side * c, generator=generator) for r, c in grids]


@pytest.mark.parametrize(("name", "output", "layers"), CASES)
def test_packed_as_alone_and_unseen_by_neighbours(
    folders: dict[str, str], name: str, output: Any, layers: tuple[int, ...]
) -> None:
    encoder = opened(folders, name, output=output, layers=layers)
    assert encoder.spec.packs
    images = pictures(encoder)
    with torch.inference_mode():
        together = encoder.features_packed(images)
        alone = [encoder.features(image.unsqueeze(0))[0] for image in images]
        changed = [images[0], 3 * torch.randn_like(images[1]), *images[2:]]
        after = encoder.features_packed(changed)
    for number, (packed, single, other) in enumerate(zip(together, alone, after, strict=True)):
        assert packed.shape == single.shape
        torch.testing.assert_close(packed, single, rtol=0, atol=1e-4)
        assert single.abs().mean() > 0.01
        assert torch.equal(packed, other) == (number != 1)


@pytest.mark.parametrize("name", ["siglip2-naflex", "pixtral", "clip", "vit", "dinov2"])
def test_the_attention_sees_where_pictures_begin(
    folders: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the packing not looked at, the result would be another."""
    encoder = opened(folders, name)
    images = pictures(encoder)
    with torch.inference_mode():
        expected = encoder.features_packed(images)
        monkeypatch.setattr(
            "vtok.models.vision.packing.attend_packed",
            lambda q, k, v, *_: torch.nn.functional.scaled_dot_product_attention(q, k, v),
        )
        mixed = encoder.features_packed(images)
    assert (torch.cat(mixed) - torch.cat(expected)).abs().max() > 1e-3


def test_the_engine_packs_them(folders: dict[str, str]) -> None:
    encoder = opened(folders, "siglip2-naflex")
    forward = features_forward(encoder, device=torch.device("cpu"), dtype=torch.float32)
    assert isinstance(forward, PackedForward)
    views = [
        ((image - image.min()) / (image.max() - image.min()) * 255)
        .byte()
        .permute(1, 2, 0)
        .contiguous()
        .numpy()
        for image in pictures(encoder)
    ]
    mean = torch.tensor(encoder.spec.pixels.mean).view(3, 1, 1)
    std = torch.tensor(encoder.spec.pixels.std).view(3, 1, 1)
    for view, features in zip(views, forward.finish(forward.launch(views)), strict=True):
        pixels = (torch.from_numpy(view).permute(2, 0, 1) / 255 - mean) / std
        with torch.inference_mode():
            alone = encoder.features(pixels.unsqueeze(0))[0]
        torch.testing.assert_close(torch.from_numpy(features), alone, rtol=0, atol=1e-4)


def test_models_of_one_size_are_not_packed(folders: dict[str, str], tmp_path: Path) -> None:
    assert not load_encoder(folders["clip"]).spec.packs
    assert not resize(load_encoder(folders["clip"]), 42, "bicubic").spec.packs
    assert not load_encoder(folders["llava-1.5"], output="projected").spec.packs
