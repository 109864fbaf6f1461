"""The image processors of the small models: transformers' own, on Pillow and numpy."""

from typing import Any

import transformers as tf
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil,
)
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorPil,
)
from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from vision_models import PATCH, TILE, UNEVEN


def square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


def _qwen(patch: int) -> Any:
    cell = (2 * patch) ** 2
    size = {"shortest_edge": 4 * cell, "longest_edge": 24 * cell}
    return Qwen2VLImageProcessorPil(patch_size=patch, merge_size=2, size=size)


def _idefics(make: Any) -> Any:
    return make(size={"longest_edge": 112}, max_image_size={"longest_edge": 56})


def _onevision(side: int) -> Any:
    pinpoints = [[side * i, side * j] for i in range(1, 7) for j in range(1, 7)]
    return LlavaOnevisionImageProcessorPil(size=square(side), image_grid_pinpoints=pinpoints)


def processors() -> dict[str, Any]:
    """One for each model of `vision_models`, by its name there."""
    crop = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=square(TILE))
    clip = CLIPImageProcessorPil(size={"shortest_edge": TILE}, crop_size=square(TILE))
    siglip = SiglipImageProcessorPil(size=square(TILE))
    naflex = Siglip2ImageProcessorPil(patch_size=PATCH, max_num_patches=16)
    vit = tf.ViTImageProcessorPil(size=square(TILE))
    dinov2 = tf.BitImageProcessorPil(
        size={"shortest_edge": 40},
        crop_size=square(TILE),
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )
    return {
        "clip": clip,
        "clip-dual": crop,
        "siglip": siglip,
        "siglip-dual": siglip,
        "siglip-uneven": SiglipImageProcessorPil(size=square(UNEVEN)),
        "siglip2-naflex": naflex,
        "siglip2-dual": naflex,
        "vit": vit,
        "dinov2": dinov2,
        "dinov2-registers": dinov2,
        "dinov3": vit,
        "internvit": clip,
        "pixtral": PixtralImageProcessorPil(
            size={"longest_edge": 56}, patch_size={"height": PATCH, "width": PATCH}
        ),
        "llava-1.5": clip,
        "llava-siglip-2-layers": siglip,
        "pixtral-llava": PixtralImageProcessorPil(
            size={"longest_edge": 56}, patch_size={"height": PATCH, "width": PATCH}
        ),
        "llava-next": LlavaNextImageProcessorPil(
            size={"shortest_edge": TILE},
            crop_size=square(TILE),
            image_grid_pinpoints=[[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]],
        ),
        "llava-onevision": _onevision(TILE),
        "llava-onevision-uneven": _onevision(UNEVEN),
        "internvl": GotOcr2ImageProcessorPil(
            size=square(TILE), crop_to_patches=True, max_patches=6
        ),
        "mistral3": PixtralImageProcessorPil(
            size={"longest_edge": 84}, patch_size={"height": 2 * PATCH, "width": 2 * PATCH}
        ),
        "qwen2-vl": _qwen(14),
        "qwen2.5-vl": _qwen(14),
        "qwen3-vl": _qwen(16),
        "idefics3": _idefics(Idefics3ImageProcessorPil),
        "smolvlm": _idefics(SmolVLMImageProcessorPil),
        "paligemma": SiglipImageProcessorPil(size=square(TILE)),
        "gemma3": Gemma3ImageProcessorPil(size=square(56)),
        "llama-3.2-vision": MllamaImageProcessorPil(size=square(TILE), max_image_tiles=4),
    }
