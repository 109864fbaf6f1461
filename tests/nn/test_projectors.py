"""Projectors, against transformers' LLaVA, InternVL and IDEFICS."""

import types

import pytest
import torch
from torch import nn
from transformers import InternVLConfig, LlavaConfig
from transformers.models.idefics.configuration_idefics import IdeficsConfig
from transformers.models.idefics.perceiver import IdeficsPerceiverResampler
from transformers.models.internvl.modeling_internvl import (
    InternVLModel,
    InternVLMultiModalProjector,
)
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from vtok.nn.projector import (
    LinearProjector,
    MlpProjector,
    PixelShuffleProjector,
    Projector,
    pixel_shuffle,
)
from vtok.nn.resampler import Resampler
from vtok.records import Grid

E, D = 16, 24


def copy_linear(target: nn.Module, source: nn.Module) -> None:
    target.load_state_dict(source.state_dict())


def test_mlp_equals_llava() -> None:
    config = LlavaConfig(
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": E,
            "num_attention_heads": 2,
        },
        text_config={"model_type": "llama", "hidden_size": D, "num_attention_heads": 2},
    )
    theirs, ours = LlavaMultiModalProjector(config), MlpProjector(E, D)
    copy_linear(ours.mlp[0], theirs.linear_1)
    copy_linear(ours.mlp[2], theirs.linear_2)
    features = torch.randn(2, 12, E)
    assert torch.equal(ours(features, Grid(rows=3, cols=4)), theirs(features))


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_pixel_shuffle_equals_internvl(factor: int) -> None:
    features = torch.randn(2, 32, E)
    theirs = InternVLModel.pixel_shuffle(
        types.SimpleNamespace(), features.reshape(2, 4, 8, E), scale_factor=1 / factor
    )
    ours = pixel_shuffle(features, Grid(rows=4, cols=8), factor)
    assert torch.equal(ours, theirs.flatten(1, 2))


def test_pixel_shuffle_projector_equals_internvl() -> None:
    config = InternVLConfig(
        vision_config={"model_type": "internvl_vision", "hidden_size": E},
        text_config={"model_type": "qwen2", "hidden_size": D},
    )
    theirs, ours = InternVLMultiModalProjector(config), PixelShuffleProjector(E, D)
    nn.init.normal_(theirs.layer_norm.weight)
    nn.init.normal_(theirs.layer_norm.bias)
    copy_linear(ours.norm, theirs.layer_norm)
    copy_linear(ours.mlp[0], theirs.linear_1)
    copy_linear(ours.mlp[2], theirs.linear_2)
    features, grid = torch.randn(2, 24, E), Grid(rows=4, cols=6)
    expected = theirs(pixel_shuffle(features, grid, 2))
    assert torch.equal(ours(features, grid), expected)


def test_resampler_equals_idefics() -> None:
    depth, heads, num_queries = 2, 4, 6
    config = IdeficsConfig(
        vision_config={"embed_dim": E}, perceiver_config={"qk_layer_norms_perceiver": False}
    )
    theirs = IdeficsPerceiverResampler(config, E, depth, heads, E // heads, num_queries)
    ours = Resampler(E, E, num_queries=num_queries, num_heads=heads, depth=depth)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(std=0.3)
        ours.queries.copy_(theirs.latents)
        ours.proj.weight.copy_(torch.eye(E))
        ours.proj.bias.zero_()
    copy_linear(ours.norm, theirs.layer_norm)
    for layer, (attention, mlp) in zip(ours.layers, theirs.blocks, strict=True):
        copy_linear(layer.norm_features, attention.context_layer_norm)
        copy_linear(layer.norm_queries, attention.latents_layer_norm)
        for name in ("q_proj", "k_proj", "v_proj"):
            copy_linear(getattr(layer.attention, name), getattr(attention, name))
        copy_linear(layer.attention.out_proj, attention.output_proj)
        copy_linear(layer.norm_mlp, mlp.ln)
        copy_linear(layer.mlp[0], mlp.fc)
        copy_linear(layer.mlp[2], mlp.c_proj)
        mlp.act = nn.GELU()  # theirs is a ReLU
    features = torch.randn(3, 20, E)
    ours_out = ours(features, Grid(rows=4, cols=5))
    torch.testing.assert_close(ours_out, theirs(features), rtol=0, atol=1e-5)


def test_resampler_gives_as_many_tokens_whatever_the_image() -> None:
    resampler = Resampler(E, D, num_queries=7, num_heads=2)
    for grid in (Grid(rows=1, cols=1), Grid(rows=3, cols=9), Grid(rows=24, cols=24)):
        assert resampler(torch.randn(2, grid.num_cells, E), grid).shape == (2, 7, D)
        assert resampler.num_tokens(grid) == 7


def test_resampler_does_not_see_padding() -> None:
    resampler = Resampler(E, D, num_queries=3, num_heads=2)
    features = torch.randn(1, 10, E)
    mask = torch.tensor([[True] * 6 + [False] * 4])
    masked = resampler(features, Grid(rows=2, cols=5), mask=mask)
    cut = resampler(features[:, :6], Grid(rows=2, cols=3))
    torch.testing.assert_close(masked, cut)


@pytest.mark.parametrize(
    "projector",
    [LinearProjector(E, D), MlpProjector(E, D), PixelShuffleProjector(E, D, factor=2)],
    ids=lambda projector: type(projector).__name__,
)
def test_the_grid_says_how_many_tokens_come(projector: Projector) -> None:
    grid = Grid(rows=4, cols=6)
    out = projector(torch.randn(2, 24, E), grid)
    assert out.shape == (2, projector.num_tokens(grid), D)
    with pytest.raises(ValueError, match="are not"):
        projector(torch.randn(2, 23, E), grid)


def test_pixel_shuffle_refuses_grids_that_squares_do_not_divide() -> None:
    with pytest.raises(ValueError, match="3x4 grid"):
        PixelShuffleProjector(E, D)(torch.randn(1, 12, E), Grid(rows=3, cols=4))
