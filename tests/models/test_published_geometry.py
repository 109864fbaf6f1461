"""Vision models of the published sizes, patches and processor files, but for narrow layers.

What a model of 28 px cannot show: that 27 patches of 14 lie in 384 px, that 1,601 vectors are a
tile's. Files as the hubs have them, from memory; numbers for a picture of 384 x 288.
"""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the reference models are an extra")

import torch
import transformers as tf
from test_vision_parity import picture, prepared
from vision_models import _CORE, _LLAMA, clip, llama, made, siglip

from vtok.engine.runner import EncodedSample, encode_features
from vtok.models.registry import load_encoder
from vtok.records import Size

pytestmark = pytest.mark.slow

PICTURE = Size(height=288, width=384)
THIN = {**_CORE, "num_hidden_layers": 1}
MEAN = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
KIND = "image_processor_type"


def square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


def crop(side: int) -> dict[str, Any]:
    return {"crop_size": square(side), "size": {"shortest_edge": side}, "do_center_crop": True}


def pinpoints(side: int, most: int) -> list[list[int]]:
    sides = range(1, most + 1)
    return [[side * rows, side * cols] for rows in sides for cols in sides]


def sized(config: Any, side: int, patch: int) -> Any:
    config.image_size, config.patch_size = side, patch
    return config


def onevision() -> Any:
    return tf.LlavaOnevisionConfig(
        vision_config=sized(siglip(head=False), 384, 14),
        text_config=tf.Qwen2Config(**_LLAMA),
        image_grid_pinpoints=pinpoints(384, 6),
    )


def next_grids() -> list[list[int]]:
    return [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]


def idefics(scale: int, side: int, patch: int) -> Any:
    vision = {**THIN, "image_size": side, "patch_size": patch}
    return tf.Idefics3Config(
        vision_config=vision, text_config=llama(), scale_factor=scale, pad_token_id=0
    )


def splitting(tile: int, longest: int) -> dict[str, Any]:
    sizes = {"max_image_size": {"longest_edge": tile}, "size": {"longest_edge": longest}}
    return {KIND: "Idefics3ImageProcessor", "do_image_splitting": True, "resample": 1, **sizes}


def gemma() -> Any:
    vision = {**THIN, "image_size": 896, "patch_size": 14, "vision_use_head": False}
    text = tf.Gemma3TextConfig(**{**_LLAMA, "hidden_size": 24}, head_dim=8)
    return tf.Gemma3Config(vision_config=vision, text_config=text, mm_tokens_per_image=256)


def mllama() -> Any:
    ratios = [[rows, cols] for rows in range(1, 5) for cols in range(1, 5) if rows * cols <= 4]
    vision = {
        "hidden_size": 32, "intermediate_size": 40, "attention_heads": 4, "num_hidden_layers": 1,
        "num_global_layers": 1, "image_size": 560, "patch_size": 14, "max_num_tiles": 4,
        "intermediate_layers_indices": [0], "vision_output_dim": 64,
        "supported_aspect_ratios": ratios,
    }  # fmt: skip
    text = {**_LLAMA, "cross_attention_layers": [0], "pad_token_id": 0}
    return tf.MllamaConfig(vision_config=vision, text_config=text)


# Name → configuration, processor's file, scheme, vectors of the first view, of the sequence.
PUBLISHED: dict[str, tuple[Any, dict[str, Any], str, int, int]] = {
    "openai/clip-vit-large-patch14-336": (
        sized(clip(), 336, 14),
        {
            "feature_extractor_type": "CLIPFeatureExtractor", "crop_size": 336, "size": 336,
            "do_center_crop": True, "resample": 3,
        },
        "centre-crop", 576, 576,
    ),
    "google/siglip-so400m-patch14-384": (
        sized(siglip(), 384, 14),
        {KIND: "SiglipImageProcessor", "size": square(384), "resample": 3},
        "squash", 729, 729,
    ),
    "google/siglip2-so400m-patch16-naflex": (
        tf.Siglip2VisionConfig(**THIN, patch_size=16, num_patches=256),
        {KIND: "Siglip2ImageProcessorFast", "patch_size": 16, "max_num_patches": 256},
        "siglip2", 252, 252,
    ),
    "facebook/dinov2-base": (
        tf.Dinov2Config(**THIN, image_size=518, patch_size=14),
        {
            KIND: "BitImageProcessor", "crop_size": square(224), "do_center_crop": True,
            "size": {"shortest_edge": 256}, "resample": 3,
        },
        "centre-crop", 256, 256,
    ),
    "llava-hf/llava-v1.6-vicuna-7b-hf": (
        tf.LlavaNextConfig(
            vision_config=sized(clip(), 336, 14), text_config=llama(),
            image_grid_pinpoints=next_grids(),
        ),
        {
            KIND: "LlavaNextImageProcessor", "aspect_ratio_setting": "anyres", **crop(336),
            "do_pad": True, "resample": 3, "image_grid_pinpoints": next_grids(),
        },
        "llava-next", 576, 1368,
    ),
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": (
        onevision(),
        {
            KIND: "LlavaOnevisionImageProcessor", "size": square(384), "do_pad": True,
            "image_grid_pinpoints": pinpoints(384, 6), "resample": 3,
        },
        "llava-onevision", 729, 1317,
    ),
    "HuggingFaceM4/Idefics3-8B-Llama3": (
        idefics(2, 364, 14), splitting(364, 1456), "idefics3", 169, 2227,
    ),
    "HuggingFaceTB/SmolVLM-256M-Instruct": (
        idefics(4, 512, 16), splitting(512, 2048), "smolvlm2", 64, 862,
    ),
    "HuggingFaceTB/SmolVLM-Instruct": (
        idefics(3, 384, 14), splitting(384, 1536), "smolvlm", 81, 1083,
    ),
    "google/gemma-3-4b-it": (
        gemma(),
        {
            KIND: "Gemma3ImageProcessor", "do_pan_and_scan": None, "size": square(896),
            "resample": 2,
        },
        "gemma3", 256, 260,
    ),
    "meta-llama/Llama-3.2-11B-Vision-Instruct": (
        mllama(),
        {
            KIND: "MllamaImageProcessor", "max_image_tiles": 4, "size": square(560),
            "resample": 2,
        },
        "llama-3.2-vision", 1601, 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_view_gives_as_many_vectors_as_the_published_model(name: str, tmp_path: Path) -> None:
    config, facts, scheme, num_vectors, num_tokens = PUBLISHED[name]
    made(config).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**facts, **MEAN}))
    output = "projected" if hasattr(config, "text_config") else "patches"
    encoder = load_encoder(str(tmp_path), output=output)  # type: ignore[arg-type]
    assert encoder.note == ""
    outcome = prepared(encoder, picture(PICTURE))
    plan = outcome.facts.plan
    assert (plan.scheme, plan.num_tokens) == (scheme, num_tokens)
    (sample,) = encode_features([outcome], encoder, device=torch.device("cpu"), dtype=torch.float32)
    assert isinstance(sample, EncodedSample), sample
    assert {len(sample.arrays[view.name]) for view in plan.views} == {num_vectors}
    assert all(view.num_tokens == num_vectors for view in plan.views)
