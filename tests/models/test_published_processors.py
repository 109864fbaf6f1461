"""Processor files in the words that hubs have them in, old and new: the class's own pixels."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the reference models are an extra")

import transformers as tf
from test_vision_parity import our_pixels, picture, prepared
from vision_models import TILE, made, tower_configs

from vtok.models.registry import load_encoder
from vtok.records import Size

pytestmark = pytest.mark.slow

CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
SQUARE = {"height": TILE, "width": TILE}

FILES: dict[str, tuple[str, type[Any], dict[str, Any]]] = {
    "clip, 2021": (
        "clip",
        tf.CLIPImageProcessorPil,
        {
            "crop_size": TILE, "do_center_crop": True, "do_normalize": True, "do_resize": True,
            "feature_extractor_type": "CLIPFeatureExtractor", "resample": 3, "size": TILE, **CLIP,
        },
    ),
    "clip, of a processor": (
        "clip",
        tf.CLIPImageProcessorPil,
        {
            "crop_size": SQUARE, "do_center_crop": True, "image_processor_type":
            "CLIPImageProcessorFast", "resample": 3, "size": {"shortest_edge": TILE}, **CLIP,
        },
    ),
    "vit, without a type": (
        "vit",
        tf.ViTImageProcessorPil,
        {"do_normalize": True, "do_resize": True, "size": TILE, **HALF},
    ),
    "dinov2, with nulls": (
        "dinov2",
        tf.BitImageProcessorPil,
        {
            "crop_size": SQUARE, "do_center_crop": True, "do_convert_rgb": None, "do_pad": None,
            "image_processor_type": "BitImageProcessor", "resample": 3, "rescale_factor": 1 / 255,
            "size": {"shortest_edge": 40}, **IMAGENET,
        },
    ),
    "siglip, of Big Vision's 2": (
        "siglip",
        tf.SiglipImageProcessorPil,
        {
            "image_processor_type": "SiglipImageProcessor", "processor_class": "SiglipProcessor",
            "resample": 2, "size": SQUARE, "do_convert_rgb": None, **HALF,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_the_pixels_are_those_of_the_class(name: str, tmp_path: Path) -> None:
    tower, make, facts = FILES[name]
    made(tower_configs()[tower]).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(facts))
    processor = make.from_pretrained(tmp_path)
    encoder = load_encoder(str(tmp_path))
    assert encoder.note == ""
    for size in (Size(height=40, width=64), Size(height=90, width=37)):
        image = picture(size)
        expected = processor.preprocess([image], return_tensors="pt")["pixel_values"]
        found = our_pixels(encoder, prepared(encoder, image).views, expected)
        assert found.shape == expected.shape
        assert (found - expected).abs().max() <= 1e-6
