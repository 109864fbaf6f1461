"""The vision transformer, against transformers' ViT and DINOv2 on the same weights."""

import resource
from typing import Any

import pytest
import torch
from torch import nn
from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel

from vtok.nn.vit import VisionTransformer, VitConfig
from vtok.records import Grid

SHAPE = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
CONFIG: dict[str, Any] = {"patch_px": 8, "dim": 32, "depth": 3, "num_heads": 4, "mlp_ratio": 2.0}


def adopt(ours: VisionTransformer, theirs: nn.Module, prefix: str, names: dict[str, str]) -> None:
    """Copy every weight of a transformers model, drawn anew so that none is 0 or 1."""
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(std=0.2)
    state = theirs.state_dict()
    renamed = {
        "prefix": state["embeddings.cls_token"][0],
        "position.table": state["embeddings.position_embeddings"][0],
        "patch_embed.weight": state["embeddings.patch_embeddings.projection.weight"],
        "patch_embed.bias": state["embeddings.patch_embeddings.projection.bias"],
        "norm.weight": state["layernorm.weight"],
        "norm.bias": state["layernorm.bias"],
    }
    for i in range(len(ours.blocks)):
        layer = f"{prefix}.{i}."
        for kind in ("weight", "bias"):
            parts = [state[f"{layer}attention.{x}_proj.{kind}"] for x in "qkv"]
            renamed[f"blocks.{i}.attention.qkv.{kind}"] = torch.cat(parts)
        for own, other in names.items():
            renamed[f"blocks.{i}.{own}"] = state[layer + other]
    ours.load_state_dict(renamed)


def linear_names(own: str, other: str) -> dict[str, str]:
    return {f"{own}.{kind}": f"{other}.{kind}" for kind in ("weight", "bias")}


@pytest.mark.parametrize("size", [(32, 32), (24, 48)])
def test_equals_transformers_vit(size: tuple[int, int]) -> None:
    theirs = ViTModel(
        ViTConfig(image_size=32, patch_size=8, intermediate_size=64, **SHAPE),
        add_pooling_layer=False,
    ).eval()
    ours = VisionTransformer(
        VitConfig(
            **CONFIG,
            position="learned-1d",
            grid=Grid(rows=4, cols=4),
            interpolation="bicubic",
            num_prefix=1,
            norm_eps=theirs.config.layer_norm_eps,
        )
    )
    names = {
        **linear_names("attention.proj", "attention.o_proj"),
        **linear_names("norm1", "layernorm_before"),
        **linear_names("norm2", "layernorm_after"),
        **linear_names("mlp.0", "mlp.fc1"),
        **linear_names("mlp.2", "mlp.fc2"),
    }
    adopt(ours, theirs, "layers", names)
    pixels = torch.randn(2, 3, *size)
    expected = theirs(pixels, interpolate_pos_encoding=True, output_hidden_states=True)
    out = ours(pixels, layers=(0, 1, -2, -1))
    assert out.grid == Grid(rows=size[0] // 8, cols=size[1] // 8)
    close = {"rtol": 0, "atol": 1e-5}
    torch.testing.assert_close(out.prefix, expected.last_hidden_state[:, :1], **close)
    torch.testing.assert_close(out.tokens, expected.last_hidden_state[:, 1:], **close)
    for number in (0, 1, -2):
        torch.testing.assert_close(
            out.layers[number], expected.hidden_states[number][:, 1:], **close
        )
    torch.testing.assert_close(ours.norm(out.layers[-1]), out.tokens)


@pytest.mark.parametrize("size", [(32, 32), (24, 48)])
def test_equals_transformers_dinov2(size: tuple[int, int]) -> None:
    theirs = Dinov2Model(Dinov2Config(image_size=32, patch_size=8, mlp_ratio=2, **SHAPE)).eval()
    ours = VisionTransformer(
        VitConfig(
            **CONFIG,
            position="learned-1d",
            grid=Grid(rows=4, cols=4),
            interpolation="bicubic",
            num_prefix=1,
            norm_eps=theirs.config.layer_norm_eps,
            layer_scale=1.0,
        )
    )
    names = {
        **linear_names("attention.proj", "attention.o_proj"),
        **linear_names("norm1", "norm1"),
        **linear_names("norm2", "norm2"),
        **linear_names("mlp.0", "mlp.fc1"),
        **linear_names("mlp.2", "mlp.fc2"),
        "scale1.factors": "layer_scale1.lambda1",
        "scale2.factors": "layer_scale2.lambda1",
    }
    adopt(ours, theirs, "encoder.layer", names)
    pixels = torch.randn(2, 3, *size)
    expected = theirs(pixels).last_hidden_state
    torch.testing.assert_close(ours(pixels).tokens, expected[:, 1:], rtol=0, atol=1e-5)


POSITIONS: list[dict[str, Any]] = [
    {"position": "learned-1d", "grid": Grid(rows=4, cols=4)},
    {"position": "learned-2d", "grid": Grid(rows=9, cols=9)},
    {"position": "sine-cosine-2d"},
    {"position": "rotary-2d"},
]


def vit(**options: Any) -> VisionTransformer:
    """Return a small transformer whose every weight has a say."""
    model = VisionTransformer(VitConfig(**(CONFIG | options)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.15)
    return model.eval()


@pytest.mark.parametrize("options", POSITIONS, ids=lambda options: options["position"])
@pytest.mark.parametrize("num_prefix", [0, 2])
def test_any_position_at_any_size(options: dict[str, Any], num_prefix: int) -> None:
    model = vit(**options, num_prefix=num_prefix)
    for height, width in ((8, 8), (40, 64), (72, 16)):
        out = model(torch.randn(2, 3, height, width))
        assert out.tokens.shape == (2, (height // 8) * (width // 8), 32)
        assert out.prefix.shape == (2, num_prefix, 32)


@pytest.mark.parametrize("options", POSITIONS, ids=lambda options: options["position"])
def test_positions_are_seen(options: dict[str, Any]) -> None:
    """Without positions, exchanging patches would only exchange the tokens."""
    model, patches = vit(**options), torch.randn(4, 4, 3, 8, 8)

    def tokens(cells: torch.Tensor) -> torch.Tensor:
        pixels = cells.permute(2, 0, 3, 1, 4).reshape(1, 3, 32, 32)
        return model(pixels).tokens.reshape(4, 4, 32)

    straight = tokens(patches)
    for axis in (0, 1):
        order = torch.tensor([0, 2, 1, 3])
        exchanged = tokens(patches.index_select(axis, order)).index_select(axis, order)
        assert (exchanged - straight).abs().amax(dim=-1).min() > 1e-3


@pytest.mark.parametrize("options", POSITIONS, ids=lambda options: options["position"])
def test_packed_images_come_out_as_alone(options: dict[str, Any]) -> None:
    model = vit(**options, num_prefix=1)
    images = [torch.randn(3, h, w) for h, w in ((40, 24), (8, 8), (16, 64))]
    packed = [each.tokens[0] for each in model.forward_packed(images)]
    for image, tokens in zip(images, packed, strict=True):
        alone = model(image.unsqueeze(0)).tokens[0]
        torch.testing.assert_close(tokens, alone, rtol=0, atol=1e-5)
    images[1] = 1000 * torch.randn(3, 8, 8)
    again = [each.tokens[0] for each in model.forward_packed(images)]
    assert torch.equal(packed[0], again[0])
    assert torch.equal(packed[2], again[2])
    assert not torch.isclose(packed[1], again[1]).all()


@pytest.mark.parametrize("size", [(64, 64), (40, 88)])
def test_windowed_equals_masked_full_attention(size: tuple[int, int]) -> None:
    """Window membership spelt out here, once for odd blocks and once shifted by half."""
    windowed = vit(window=4)
    full = VisionTransformer(VitConfig(**CONFIG))
    full.load_state_dict(windowed.state_dict())
    pixels = torch.randn(2, 3, *size)
    out = windowed(pixels, layers=(0, -1))
    rows, cols = out.grid.rows, out.grid.cols
    assert full.rotary is not None
    rotation = full.rotary.grid_angles(out.grid)
    x = out.layers[0]
    for number, block in enumerate(full.blocks):
        shift = 2 * (number % 2)
        owner = torch.tensor(
            [((r - shift) // 4) * 1000 + (c - shift) // 4 for r in range(rows) for c in range(cols)]
        )
        x = block(x, rotation=rotation, mask=owner.unsqueeze(0) == owner.unsqueeze(1))
    torch.testing.assert_close(out.layers[-1], x, rtol=0, atol=1e-5)


def test_windows_of_a_grid_smaller_than_one_window() -> None:
    windowed, pixels = vit(window=16, depth=1), torch.randn(1, 3, 24, 32)
    full = VisionTransformer(VitConfig(**(CONFIG | {"depth": 1})))
    full.load_state_dict(windowed.state_dict())
    torch.testing.assert_close(windowed(pixels).tokens, full(pixels).tokens, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_four_thousand_pixels_square_fit_in_memory() -> None:
    """262,144 tokens: full attention would hold 275 GB of scores for each head in fp32."""
    model = vit(dim=16, depth=2, num_heads=2, window=8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with torch.inference_mode():
        out = model(torch.zeros(1, 3, 4096, 4096))
    assert out.grid == Grid(rows=512, cols=512)
    grown_bytes = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown_bytes < 2 * 2**30


def test_numbers_the_layers_as_transformers_does() -> None:
    model, pixels = vit(), torch.randn(1, 3, 16, 16)
    layers = model(pixels, layers=(0, 1, 2, 3, -1, -2, -3, -4)).layers
    for positive, negative in ((3, -1), (2, -2), (1, -3), (0, -4)):
        assert torch.equal(layers[positive], layers[negative])
    for wrong in (4, -5):
        with pytest.raises(ValueError, match=f"layer {wrong}"):
            model(pixels, layers=(wrong,))


def test_misfits_are_refused() -> None:
    with pytest.raises(ValueError, match="patches of 8 pixels do not divide an image of 20x16"):
        vit()(torch.zeros(1, 3, 16, 20))
    with pytest.raises(ValueError, match="training grid"):
        VitConfig(**CONFIG, position="learned-1d")
    with pytest.raises(ValueError, match="prefix tokens lie in no window"):
        VitConfig(**CONFIG, window=4, num_prefix=1)
    with pytest.raises(ValueError, match="windows need no packing"):
        vit(window=4).forward_packed([torch.zeros(3, 8, 8)])
