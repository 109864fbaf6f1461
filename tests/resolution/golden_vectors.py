"""The recorded results of the reference implementations, and which scheme each belongs to.

`tests/golden/resolution.json.gz` holds what the processors of transformers 5.23 (and, where
theirs need torchvision, their own functions) returned for 39 configurations and 37 sizes: grids,
sizes, token sequences, and digests of every view's pixels for four sizes.
"""

import gzip
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vtok.resolution import Scheme, SchemeOptions, resolve

PATH = Path(__file__).parents[1] / "golden" / "resolution.json.gz"

CONFIGURATIONS: dict[str, tuple[str, SchemeOptions]] = {
    "aya_vision": ("aya-vision", SchemeOptions()),
    "closest_aspect_12": ("closest", SchemeOptions(max_tiles=12)),
    "closest_aspect_4": ("closest", SchemeOptions(max_tiles=4)),
    "closest_aspect_6": ("closest", SchemeOptions()),
    "closest_aspect_9": ("closest", SchemeOptions(max_tiles=9)),
    "cohere2_vision": ("cohere2-vision", SchemeOptions()),
    "deepseek_ocr2": ("deepseek-ocr2", SchemeOptions()),
    "deepseek_vl2": ("deepseek-vl2", SchemeOptions()),
    "fuyu": ("fuyu", SchemeOptions()),
    "gemma3": ("gemma3", SchemeOptions()),
    "gemma3_pan_and_scan": ("gemma3-pan-and-scan", SchemeOptions()),
    "got_ocr2": ("got-ocr2", SchemeOptions()),
    "got_ocr2_crop": ("got-ocr2-crop", SchemeOptions()),
    "idefics2": ("idefics2", SchemeOptions()),
    "idefics2_split": ("idefics2-split", SchemeOptions()),
    "idefics3": ("idefics3", SchemeOptions()),
    "idefics3_longest1000": ("idefics3", SchemeOptions(long_side_px=1000)),
    "internvl_1_12": ("internvl", SchemeOptions()),
    "internvl_1_6": ("internvl", SchemeOptions(max_tiles=6)),
    "internvl_2_6": ("internvl", SchemeOptions(min_tiles=2, max_tiles=6)),
    "kimi_k25_navit": ("kimi-k2.5", SchemeOptions()),
    "llama4": ("llama-4", SchemeOptions()),
    "llava_next": ("llava-next", SchemeOptions()),
    "llava_onevision": ("llava-onevision", SchemeOptions()),
    "minicpmv4_6_16x": ("minicpm-v-4.6", SchemeOptions()),
    "minicpmv4_6_4x": ("minicpm-v-4.6-4x", SchemeOptions()),
    "mistral3_small": ("mistral-small", SchemeOptions()),
    "mllama": ("llama-3.2-vision", SchemeOptions()),
    "molmo2": ("molmo2", SchemeOptions()),
    "ovis2": ("ovis2", SchemeOptions()),
    "phi4_multimodal": ("phi-4-multimodal", SchemeOptions()),
    "pixtral_12b": ("pixtral", SchemeOptions()),
    "qwen2_5_vl": ("qwen2.5-vl", SchemeOptions()),
    "qwen2_vl_default": ("qwen2-vl-default", SchemeOptions()),
    "qwen3_vl": ("qwen3-vl", SchemeOptions()),
    "siglip2_naflex_1024": ("siglip2", SchemeOptions(max_tokens=1024)),
    "siglip2_naflex_256": ("siglip2", SchemeOptions()),
    "smolvlm": ("smolvlm", SchemeOptions()),
    "smolvlm2": ("smolvlm2", SchemeOptions()),
}


@lru_cache(maxsize=1)
def golden() -> dict[str, Any]:
    return json.loads(gzip.decompress(PATH.read_bytes()))


def scheme_of(configuration: str) -> Scheme:
    name, options = CONFIGURATIONS[configuration]
    return resolve(name, options)


@lru_cache(maxsize=4)
def picture(width: int, height: int) -> Image.Image:
    """The image whose views were recorded: two ramps and a pattern."""
    x = np.arange(width, dtype=np.int64)[None, :]
    y = np.arange(height, dtype=np.int64)[:, None]
    red = np.broadcast_to(255 * x // max(1, width - 1), (height, width))
    green = np.broadcast_to(255 * y // max(1, height - 1), (height, width))
    blue = (7 * x + 13 * y + (x * y) // 32) % 256
    return Image.fromarray(np.stack([red, green, blue], axis=-1).astype(np.uint8))
