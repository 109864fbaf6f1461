"""InternViT and InternVL in their authors' own layout, against transformers' models of the same.

The layout is written here from transformers' tensors: queries, keys and values in one, other names.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the reference models are an extra")

import torch
import transformers as tf
from safetensors.torch import save_file
from test_vision_parity import picture
from torch import Tensor
from vision_models import made, whole_configs
from vision_processors import processors

from vtok.errors import WeightsError
from vtok.models.registry import load_encoder, load_sequence
from vtok.records import Size

pytestmark = pytest.mark.slow

SIDE, PATCH = 28, 7
SHAPE: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 40, "num_attention_heads": 4, "num_hidden_layers": 3,
    "image_size": SIDE, "patch_size": PATCH,
}  # fmt: skip
SMALL = {"norm_type": "layer_norm", "qkv_bias": True, "qk_normalization": False}  # as of 300M
LARGE = {"norm_type": "rms_norm", "qkv_bias": False, "qk_normalization": True}  # as of 6B
LAYER = {
    "layernorm_before": "norm1", "layernorm_after": "norm2", "lambda_1": "ls1", "lambda_2": "ls2",
    "attention.projection_layer": "attn.proj", "attention.q_norm": "attn.q_norm",
    "attention.k_norm": "attn.k_norm", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2",
}  # fmt: skip
EMBEDDING = {
    "cls_token": "class_embedding", "position_embeddings": "position_embedding",
    "patch_embeddings.projection.weight": "patch_embedding.weight",
    "patch_embeddings.projection.bias": "patch_embedding.bias",
}  # fmt: skip


def in_their_layout(tower: Any, prefix: str = "") -> dict[str, Tensor]:
    state = {
        f"{prefix}embeddings.{theirs}": tower.embeddings.get_parameter(name).data
        for name, theirs in EMBEDDING.items()
    }
    for number, layer in enumerate(tower.encoder.layer):
        own = f"{prefix}encoder.layers.{number}."
        held = layer.state_dict()
        for kind in ("weight", "bias"):
            parts = [held.get(f"attention.{part}_proj.{kind}") for part in "qkv"]
            if parts[0] is not None:
                state[f"{own}attn.qkv.{kind}"] = torch.cat(parts)
        for name, tensor in held.items():
            module = name if name.startswith("lambda") else name.rpartition(".")[0]
            if module in LAYER:
                state[own + name.replace(module, LAYER[module])] = tensor
    return {name: tensor.contiguous() for name, tensor in state.items()}


def vision_of(kind: dict[str, Any]) -> Any:
    return tf.InternVLVisionConfig(
        **SHAPE,
        norm_type=kind["norm_type"],
        attention_bias=kind["qkv_bias"],
        use_qk_norm=kind["qk_normalization"],
    )


Row = Callable[..., None]


@pytest.mark.parametrize("kind", [SMALL, LARGE], ids=["300m", "6b"])
def test_a_tower_gives_what_transformers_gives(
    kind: dict[str, Any], tmp_path: Path, table_row: Row
) -> None:
    model = made(vision_of(kind))
    save_file(in_their_layout(model), tmp_path / "model.safetensors")
    config = {
        "model_type": "intern_vit_6b",
        **SHAPE,
        **kind,
        "architectures": ["InternVisionModel"],
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    processors()["internvit"].save_pretrained(tmp_path)
    pixels = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        states = model(pixels, output_hidden_states=True)
        patches = load_encoder(str(tmp_path)).features(pixels)
        cls = load_encoder(str(tmp_path), output="cls").features(pixels)
        layer = load_encoder(str(tmp_path), layers=(-2,)).features(pixels)
    worst = 0.0
    for found, expected in (
        (patches, states.last_hidden_state[:, 1:]),
        (cls, states.last_hidden_state[:, :1]),
        (layer, states.hidden_states[-2][:, 1:]),
    ):
        worst = max(worst, float((found - expected).abs().max()))
    name = f"OpenGVLab's InternViT, as the {'6B' if kind is LARGE else '300M'}"
    table_row("parity of authors' own layouts", ("model", "|fp32|"), (name, f"{worst:.1e}"))
    assert worst <= 1e-5
    assert load_encoder(str(tmp_path)).spec.scheme == "centre-crop"  # as its file says


def write_whole(folder: Path, **facts: Any) -> Any:
    config = whole_configs()["internvl"]
    config.vision_config = vision_of(SMALL)
    model = made(config)
    state = in_their_layout(model.model.vision_tower, "vision_model.")
    projector = model.model.multi_modal_projector.state_dict()
    for ours, theirs in (("layer_norm", "0"), ("linear_1", "1"), ("linear_2", "3")):
        for kind in ("weight", "bias"):
            state[f"mlp1.{theirs}.{kind}"] = projector[f"{ours}.{kind}"]
    width = model.config.text_config.hidden_size
    state["language_model.model.tok_embeddings.weight"] = torch.randn(20, width)
    save_file(state, folder / "model.safetensors")
    chat = {
        "model_type": "internvl_chat",
        "vision_config": {"model_type": "intern_vit_6b", **SHAPE, **SMALL},
        "llm_config": {"model_type": "internlm2", "hidden_size": width},
        "ps_version": "v2", "select_layer": -1, "downsample_ratio": 0.5, "max_dynamic_patch": 6,
        "min_dynamic_patch": 1, "dynamic_image_size": True, "force_image_size": SIDE,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps({**chat, **facts}))
    return model


def test_a_whole_model_gives_what_transformers_gives(tmp_path: Path, table_row: Row) -> None:
    model = write_whole(tmp_path)
    encoder = load_encoder(str(tmp_path), output="projected")
    pixels = torch.randn(3, 3, SIDE, SIDE)
    with torch.no_grad():
        expected = model.model.get_image_features(pixels).pooler_output
        found = encoder.features(pixels)
    worst = float((found - expected).abs().max())
    row = ("OpenGVLab's InternVL, projected", f"{worst:.1e}")
    table_row("parity of authors' own layouts", ("model", "|fp32|"), row)
    assert found.shape == expected.shape
    assert worst <= 1e-5
    spec = encoder.spec
    assert (spec.scheme, spec.scheme_options["max_tiles"]) == ("internvl", 6)
    assert spec.pixels.mean == (0.485, 0.456, 0.406)
    assert load_encoder(str(tmp_path)).features(pixels).shape == (3, 16, 32)


def test_its_tiles_and_pixels_are_those_of_transformers_processor(tmp_path: Path) -> None:
    from test_vision_parity import our_pixels, prepared

    write_whole(tmp_path)
    encoder = load_encoder(str(tmp_path), output="projected")
    image = picture(Size(height=40, width=64))
    inputs = processors()["internvl"].preprocess(
        [image],
        return_tensors="pt",
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    expected = inputs["pixel_values"]
    found = our_pixels(encoder, prepared(encoder, image).views, expected)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-6


def test_its_separators_are_rows_of_its_own_table(tmp_path: Path) -> None:
    write_whole(tmp_path)
    sequence = load_sequence(str(tmp_path))
    assert sequence._table() == "language_model.model.tok_embeddings.weight"


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"ps_version": "v1"}, "ps_version v1"),
        ({"force_image_size": 56}, "force_image_size 56 is not the tower's 28"),
        ({"llm_config": {}}, "hidden_size"),
        ({"vision_config": None}, "not understood"),
    ],
)
def test_what_transformers_does_not_compute_is_refused(
    facts: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    write_whole(tmp_path, **facts)
    with pytest.raises(WeightsError, match=problem):
        load_encoder(str(tmp_path), output="projected")
