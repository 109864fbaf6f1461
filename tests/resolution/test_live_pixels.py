"""Random pictures through the installed processors and through `render`: every byte equal."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers", reason="the reference processors are an extra")

from PIL import Image
from transformers.models.deepseek_ocr2.image_processing_pil_deepseek_ocr2 import (
    DeepseekOcr2ImageProcessorPil,
)
from transformers.models.fuyu.image_processing_pil_fuyu import FuyuImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics2.image_processing_pil_idefics2 import Idefics2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import (
    LlavaNextImageProcessorPil,
)
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
    LlavaOnevisionImageProcessorPil,
)
from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil
from transformers.models.ovis2.image_processing_pil_ovis2 import Ovis2ImageProcessorPil
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil

from vtok.errors import DegenerateSizeError
from vtok.records import Size
from vtok.resolution import SchemeOptions, render, resolve

AS_BYTES = {"do_rescale": False, "do_normalize": False}


def square(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


def chw(output: Any) -> list[np.ndarray]:
    """Flatten a processor's output to (H, W, 3) arrays, whatever it nests."""
    found: list[np.ndarray] = []
    for part in output:
        array = np.asarray(part)
        if array.ndim == 3:
            found.append(array.transpose(1, 2, 0))
        else:
            found += chw(part)
    return found


def cropped(views: list[np.ndarray], like: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Take off the padding that a batch of several sizes gets at the bottom and right."""
    for view, ours in zip(views, like, strict=True):
        height, width = ours.shape[:2]
        assert not view[height:].any()
        assert not view[:, width:].any()
        yield view[:height, :width]


PROCESSORS: dict[str, tuple[str, SchemeOptions, Any]] = {
    "internvl": (
        "internvl",
        SchemeOptions(max_tiles=6),
        GotOcr2ImageProcessorPil(size=square(448), crop_to_patches=True, max_patches=6, **AS_BYTES),
    ),
    "aya-vision": (
        "aya-vision",
        SchemeOptions(),
        GotOcr2ImageProcessorPil(size=square(364), crop_to_patches=True, **AS_BYTES),
    ),
    "got-ocr2": (
        "got-ocr2",
        SchemeOptions(),
        GotOcr2ImageProcessorPil(size=square(1024), **AS_BYTES),
    ),
    "llava-next": (
        "llava-next",
        SchemeOptions(),
        LlavaNextImageProcessorPil(size={"shortest_edge": 336}, crop_size=square(336), **AS_BYTES),
    ),
    "llava-onevision": (
        "llava-onevision",
        SchemeOptions(),
        LlavaOnevisionImageProcessorPil(**AS_BYTES),
    ),
    "llama-3.2": (
        "llama-3.2",
        SchemeOptions(),
        MllamaImageProcessorPil(size=square(560), **AS_BYTES),
    ),
    "ovis2": (
        "ovis2",
        SchemeOptions(),
        Ovis2ImageProcessorPil(size=square(448), crop_to_patches=True, max_patches=9, **AS_BYTES),
    ),
    "idefics2-split": (
        "idefics2-split",
        SchemeOptions(),
        Idefics2ImageProcessorPil(do_image_splitting=True, **AS_BYTES),
    ),
    "idefics3": (
        "idefics3",
        SchemeOptions(long_side_px=728),
        Idefics3ImageProcessorPil(
            size={"longest_edge": 728}, max_image_size={"longest_edge": 364}, **AS_BYTES
        ),
    ),
    "pixtral": ("pixtral", SchemeOptions(), PixtralImageProcessorPil(**AS_BYTES)),
    "gemma3-pan-and-scan": (
        "gemma3-pan-and-scan",
        SchemeOptions(),
        Gemma3ImageProcessorPil(
            size=square(896),
            do_pan_and_scan=True,
            pan_and_scan_min_crop_size=256,
            pan_and_scan_max_num_crops=4,
            pan_and_scan_min_ratio_to_activate=1.2,
            **AS_BYTES,
        ),
    ),
    "fuyu": ("fuyu", SchemeOptions(), FuyuImageProcessorPil(**AS_BYTES)),
    "deepseek-ocr2": ("deepseek-ocr2", SchemeOptions(), DeepseekOcr2ImageProcessorPil(**AS_BYTES)),
}


def reference_views(name: str, processor: Any, image: Image.Image) -> list[np.ndarray]:
    output = processor.preprocess([image])
    if name == "fuyu":
        return chw(output["images"])
    views = chw(output["pixel_values"])
    if name == "deepseek-ocr2":
        return [*chw(output.get("pixel_values_local", [])), *views]
    return views


@pytest.mark.parametrize("name", sorted(PROCESSORS))
def test_random_pictures_are_cut_alike(name: str) -> None:
    scheme_name, options, processor = PROCESSORS[name]
    scheme = resolve(scheme_name, options)
    draw = random.Random(name)
    generator = np.random.default_rng(3)
    for _ in range(4):
        size = Size(height=draw.randint(2, 1200), width=draw.randint(2, 1200))
        pixels = generator.integers(0, 256, (size.height, size.width, 3), dtype=np.uint8)
        image = Image.fromarray(pixels)
        try:
            plan = scheme.plan(size)
        except DegenerateSizeError:
            with pytest.raises((ValueError, ZeroDivisionError)):
                reference_views(name, processor, image)
            continue
        ours = render(plan, image)
        theirs = reference_views(name, processor, image)[: len(ours)]
        if name == "fuyu":
            height, width = ours[0].shape[:2]
            theirs = [theirs[0][:height, :width]]
        for view, reference in zip(ours, cropped(theirs, ours), strict=True):
            assert np.array_equal(view, reference), f"{name}: {size}"
