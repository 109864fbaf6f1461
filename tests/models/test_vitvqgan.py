"""ViT-VQGAN against its public implementation, square and not, and what shows up a mistake."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from parity import (
    GOLDEN,
    MAX_DECODE_ERROR,
    MAX_LATENT_ERROR,
    assert_parity,
    errors,
    pixels_of,
    references,
)
from seeded import seeded_state
from torch import Tensor, nn

from vtok.codeshape import CodeShape
from vtok.errors import WeightsError
from vtok.models.base import PixelRange, Tokenizer
from vtok.models.families.vitvqgan import Layer, VitVqTokenizer
from vtok.models.registry import convert_tokenizer, load_tokenizer
from vtok.nn.quantizer import VectorQuantizer
from vtok.records import Size

SIZES = {"sq": Size(height=64, width=64), "ns": Size(height=32, width=64)}
PATCH_PX = 8


def positions(dim: int, size: Size) -> Tensor:
    """Sines and cosines of the column, then of the row, as its authors' code stores them."""
    waves = 10000.0 ** -(np.arange(dim // 4) / (dim // 4))
    found = []
    for row in range(size.height // PATCH_PX):
        for col in range(size.width // PATCH_PX):
            angles = [place * waves for place in (col, row)]
            found.append(np.concatenate([part(a) for a in angles for part in (np.sin, np.cos)]))
    return torch.from_numpy(np.stack(found)).float().unsqueeze(0)


def vitvqgan(folder: Path, tag: str, **quantizer: object) -> Path:
    """Lightning's layout, with a discriminator, and a yaml of its name beside it."""
    model = json.loads((GOLDEN / "vit-vqgan" / "model.json").read_text())
    state = seeded_state(model["tensors"], model["seed"])
    # A centred input and a small last layer, so that cells differ and pixels stay in range.
    patches = state["encoder.to_patch_embedding.0.weight"]
    state["encoder.to_patch_embedding.0.bias"] -= patches.sum((1, 2, 3)) / 2
    state["decoder.to_pixel.1.weight"] /= 4
    state["decoder.to_pixel.1.bias"] += 0.5
    params = model["config"]["model"]["params"]
    for side, name in (("encoder", "en_pos_embedding"), ("decoder", "de_pos_embedding")):
        state[f"{side}.{name}"] = positions(params[side]["dim"], SIZES[tag])
    params["image_size"] = [SIZES[tag].height, SIZES[tag].width]
    params["quantizer"] |= quantizer
    state["loss.discriminator.blocks.0.weight"] = torch.ones(2)
    torch.save({"state_dict": state, "epoch": 3}, folder / "imagenet_vitvq.ckpt")
    (folder / "imagenet_vitvq.yaml").write_text(json.dumps(model["config"]))
    return folder


@pytest.mark.parametrize("tag", SIZES)
def test_equals_the_public_code(tag: str, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(vitvqgan(tmp_path, tag)))
    assert (tokenizer.spec.family, tokenizer.spec.fixed_size) == ("vit-vqgan", SIZES[tag])
    assert_parity(tokenizer, references("vit-vqgan"), "vit-vqgan", tag)


def _eps(tokenizer: VitVqTokenizer) -> None:
    for module in tokenizer.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-3


def _gelu(tokenizer: VitVqTokenizer) -> None:
    for module in tokenizer.modules():
        if isinstance(module, Layer):
            module.mlp[1] = nn.GELU()


def _other_heads(tokenizer: VitVqTokenizer) -> None:
    for module in tokenizer.modules():
        if isinstance(module, Layer):
            module.num_heads = 1


def _signed_input(tokenizer: VitVqTokenizer) -> None:
    object.__setattr__(tokenizer.spec, "pixels", PixelRange())


@pytest.mark.parametrize("change", [_eps, _gelu, _other_heads, _signed_input])
def test_a_mistake_is_seen(change: Callable[[Tokenizer], None], tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(vitvqgan(tmp_path, "sq")))
    change(tokenizer)
    latents, _, _, _ = errors(tokenizer, references("vit-vqgan"), "sq")
    assert latents > MAX_LATENT_ERROR


def test_a_search_by_distance_is_seen(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(vitvqgan(tmp_path, "sq", use_norm=False)))
    assert isinstance(tokenizer.quantizer, VectorQuantizer)
    assert tokenizer.quantizer.metric == "l2"
    _, wrong, _, decoded = errors(tokenizer, references("vit-vqgan"), "sq")
    assert wrong > 0
    assert decoded is not None
    assert decoded.max() > MAX_DECODE_ERROR


def test_residuals_share_the_codebook(tmp_path: Path) -> None:
    """Each step looks at the angle of what is left, and takes a code of length 1 from it."""
    source = vitvqgan(tmp_path, "ns", use_residual=True, num_quantizers=3)
    tokenizer = load_tokenizer(str(source))
    assert tokenizer.spec.codes == CodeShape(kind="deep-grid", depth=3)
    arrays = references("vit-vqgan")
    with torch.no_grad():
        indices = tokenizer.tokenize(pixels_of(tokenizer, arrays["img_ns"]))
        codes = tokenizer.lookup(indices)
    assert indices.shape == (1, 4, 8, 3)
    assert np.array_equal(indices[..., 0].numpy(), arrays["idx_ns"])
    state = torch.load(source / "imagenet_vitvq.ckpt", weights_only=True)["state_dict"]
    book = nn.functional.normalize(state["quantizer.embedding.weight"], dim=1)
    torch.testing.assert_close(codes.movedim(1, -1), book[indices].sum(-2))
    rest = torch.from_numpy(arrays["z_ns"]).movedim(1, -1) - book[indices[..., 0]]
    second = (nn.functional.normalize(rest, dim=-1) @ book.T).argmax(-1)
    assert (second == indices[..., 1]).float().mean() > 0.95


def test_without_a_configuration_images_are_square(tmp_path: Path) -> None:
    source = vitvqgan(tmp_path, "sq")
    (source / "imagenet_vitvq.yaml").unlink()
    with pytest.raises(WeightsError, match="no configuration says the decoder's heads"):
        load_tokenizer(str(source))  # here alone: the published models' heads have 64 channels
    (source / "config.json").write_text(json.dumps(_heads(2, 3)))
    assert load_tokenizer(str(source)).spec.fixed_size == SIZES["sq"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": [64, 32, 1]}, "32 positions of 8 px are no image"),
        ({"image_size": 256}, "32 positions of 8 px are no image of 256"),
        ({"encoder": {"heads": 5}}, "5 heads do not divide"),
        ({"quantizer": {"use_residual": True}}, "num_quantizers cannot be None"),
    ],
)
def test_what_cannot_be_is_said(change: Mapping[str, object], message: str, tmp_path: Path) -> None:
    source = vitvqgan(tmp_path, "ns")
    (source / "imagenet_vitvq.yaml").unlink()
    given = {**_heads(2, 3), "image_size": [32, 64], **change}
    (source / "config.json").write_text(json.dumps(given))
    with pytest.raises(WeightsError, match=message):
        load_tokenizer(str(source))


def test_a_converted_one_keeps_its_size(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    convert_tokenizer(str(vitvqgan(tmp_path / "source", "ns")), tmp_path / "converted")
    assert load_tokenizer(str(tmp_path / "converted")).spec.fixed_size == SIZES["ns"]


def _heads(encoder: int, decoder: int) -> dict[str, object]:
    return {"encoder": {"heads": encoder}, "decoder": {"heads": decoder}}
