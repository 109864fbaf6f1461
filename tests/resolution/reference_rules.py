"""The installed transformers' own functions, asked for sizes only.

Each function here takes a size and returns what the reference decides, as a tuple that
`planned` in `test_live_reference` builds from a plan. Images are arrays of the right shape without
memory behind them. Where a processor needs torchvision to be imported, only the functions that do
not are taken out of its source.
"""

import ast
import importlib.util
import inspect
import itertools
import math
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers.image_processing_utils import get_patch_output_size, select_best_resolution
from transformers.image_utils import ChannelDimension, SizeDict
from transformers.models.deepseek_ocr2 import image_processing_pil_deepseek_ocr2 as deepseek_ocr2
from transformers.models.fuyu.image_processing_pil_fuyu import FuyuImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.got_ocr2 import image_processing_pil_got_ocr2 as got_ocr2
from transformers.models.idefics2 import image_processing_pil_idefics2 as idefics2
from transformers.models.idefics3 import image_processing_pil_idefics3 as idefics3
from transformers.models.llava_next.processing_llava_next import LlavaNextProcessor
from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor
from transformers.models.minicpmv4_6.image_processing_pil_minicpmv4_6 import (
    MiniCPMV4_6ImageProcessorPil,
)
from transformers.models.mllama import image_processing_pil_mllama as mllama
from transformers.models.ovis2 import image_processing_pil_ovis2 as ovis2
from transformers.models.pixtral import image_processing_pil_pixtral as pixtral
from transformers.models.qwen2_vl import image_processing_pil_qwen2_vl as qwen2_vl
from transformers.models.siglip2 import image_processing_pil_siglip2 as siglip2

Facts = tuple[Any, ...]


def shaped(height: int, width: int) -> np.ndarray:
    """An image (3, H, W) of any size that takes one byte."""
    return np.broadcast_to(np.zeros(1, np.uint8), (3, height, width))


def extracted(model: str, *names: str, **extra: Any) -> SimpleNamespace:
    """Define functions of a processor's source without importing the module (or torchvision)."""
    spec = importlib.util.find_spec(f"transformers.models.{model}")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / f"image_processing_{model}.py"
    functions = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            node.returns = None
            for argument in node.args.args:
                argument.annotation = None
            functions.append(node)
    namespace: dict[str, Any] = {
        "torch": torch,
        "np": np,
        "math": math,
        "lru_cache": lru_cache,
        "defaultdict": defaultdict,
        **extra,
    }
    module = ast.fix_missing_locations(ast.Module(body=list(functions), type_ignores=[]))
    exec(compile(module, str(path), "exec"), namespace)
    return SimpleNamespace(**{name: namespace[name] for name in names})


Pinpoints = list[list[int]]


def llava(
    height: int, width: int, processor_class: type, tile: int, pinpoints: Pinpoints, **more: Any
) -> Facts:
    processor = object.__new__(processor_class)
    processor.image_processor = SimpleNamespace(image_grid_pinpoints=pinpoints)
    processor.patch_size = 14
    for name, value in more.items():
        setattr(processor, name, value)
    best = select_best_resolution((height, width), pinpoints)
    content = get_patch_output_size(shaped(height, width), best, ChannelDimension.FIRST)
    tokens = processor._get_number_of_features(height, width, tile, tile)
    return (*best, *content, tokens)


def llava_next(height: int, width: int) -> Facts:
    pinpoints = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
    return llava(height, width, LlavaNextProcessor, 336, pinpoints, num_additional_image_tokens=0)


def llava_onevision(height: int, width: int) -> Facts:
    pinpoints = [[384 * rows, 384 * cols] for rows in range(1, 7) for cols in range(1, 7)]
    more = {"num_image_tokens": 729, "vision_aspect_ratio": "anyres_max_9"}
    # The class keeps the number of patches on a side of one tile in whole patches.
    return llava(height, width, LlavaOnevisionProcessor, 384, pinpoints, **more)


def deepseek_vl2(height: int, width: int) -> Facts:
    grids = [(1, 1), (2, 1), (1, 2), (3, 1), (1, 3), (4, 1), (1, 4), (2, 2), (5, 1), (1, 5)]
    grids += [(6, 1), (1, 6), (3, 2), (2, 3), (7, 1), (1, 7), (8, 1), (1, 8), (4, 2), (2, 4)]
    grids += [(9, 1), (1, 9), (3, 3)]
    full_height, full_width = select_best_resolution(
        (height, width), [(384 * rows, 384 * cols) for rows, cols in grids]
    )
    if height * width > 250_000:
        return (full_height, full_width)
    white = Image.new("L", (width, height), 255)
    padded = np.asarray(ImageOps.pad(white, (full_width, full_height), color=0))
    rows, cols = np.flatnonzero(padded.any(axis=1)), np.flatnonzero(padded.any(axis=0))
    box = (rows[0], rows[-1] + 1, cols[0], cols[-1] + 1) if len(rows) else ()
    return (full_height, full_width, *(int(edge) for edge in box))


def internvl(low: int, high: int, tile: int) -> Callable[[int, int], Facts]:
    def rule(height: int, width: int) -> Facts:
        cols, rows = got_ocr2.get_optimal_tiled_canvas((height, width), (tile, tile), low, high)
        return (rows, cols)

    return rule


def ovis(height: int, width: int) -> Facts:
    cols, rows = ovis2.get_min_tile_covering_grid((height, width), 448, 9)
    return (rows, cols)


def deepseek_ocr(height: int, width: int) -> Facts:
    rows = cols = 0
    if max(height, width) > 768:
        cols, rows = deepseek_ocr2.get_optimal_tiled_canvas((height, width), (768, 768), 2, 6)
    scale = 1024 / max(width, height)
    size = (round(height * scale), round(width * scale))
    if not all(size):
        raise ValueError("resize to nothing")
    return (rows, cols, *size)


def llama32(height: int, width: int) -> Facts:
    canvas = mllama.get_optimal_tiled_canvas(height, width, 4, 560)
    content = mllama.get_image_size_fit_to_canvas(height, width, *canvas, 560)
    return (*(int(side) for side in canvas), *(int(side) for side in content))


@lru_cache(maxsize=1)
def _llama4() -> SimpleNamespace:
    names = ("get_factors", "get_max_res_without_distortion", "get_best_fit")
    found = extracted("llama4", *names, "find_supported_resolutions")
    tile = SizeDict(height=336, width=336)
    found.resolutions = torch.tensor(found.find_supported_resolutions(16, tile))
    return found


def llama4(height: int, width: int) -> Facts:
    rules = _llama4()
    canvas = rules.get_best_fit((height, width), rules.resolutions)
    most = (min(max(height, 336), canvas[0]), min(max(width, 336), canvas[1]))
    content = rules.get_max_res_without_distortion((height, width), most)
    return (*(int(side) for side in canvas), *(max(int(side), 1) for side in content))


@lru_cache(maxsize=1)
def _cohere() -> SimpleNamespace:
    names = ("get_all_supported_aspect_ratios", "get_optimal_tiled_canvas")
    return extracted("cohere2_vision", *names)


def cohere2(height: int, width: int) -> Facts:
    with np.errstate(all="raise"):
        cols, rows = _cohere().get_optimal_tiled_canvas((height, width), (512, 512), 1, 12)
    return (rows, cols)


@lru_cache(maxsize=1)
def _molmo2() -> SimpleNamespace:
    return extracted("molmo2", "select_tiling", "compute_crop_geometry", itertools=itertools)


def molmo(height: int, width: int) -> Facts:
    return tuple(_molmo2().compute_crop_geometry(height, width, 8, [4, 4], 378, 14))


@lru_cache(maxsize=1)
def _kimi() -> SimpleNamespace:
    return extracted("kimi_k25", "navit_resize")


def kimi(height: int, width: int) -> Facts:
    content, padded = _kimi().navit_resize(height, width, 14, 2, 16384, 512)
    return (*content, *padded)


@lru_cache(maxsize=1)
def _phi4() -> SimpleNamespace:
    functional = SimpleNamespace(
        resize=lambda image, size: SimpleNamespace(content=size),
        pad=lambda image, padding, fill: SimpleNamespace(content=image.content, padding=padding),
    )
    return extracted(
        "phi4_multimodal", "dynamic_preprocess", "find_closest_aspect_ratio", tvF=functional
    )


def phi4(height: int, width: int) -> Facts:
    rules = _phi4()
    processor = SimpleNamespace()
    processor.find_closest_aspect_ratio = lambda *args: rules.find_closest_aspect_ratio(
        processor, *args
    )
    image = SimpleNamespace(shape=(3, height, width), device="cpu")
    resized, mask = rules.dynamic_preprocess(processor, image, 448, 14, 32)
    rows, cols = mask.shape[0] // 32, mask.shape[1] // 32
    valid = mask.reshape(rows, 32, cols, 32).transpose(1, 2)[:, :, 0::2, 0::2]
    tokens = 256 + 1 + 16 + int(valid.sum()) + int(valid[:, 0, :, 0].sum())
    return (rows, cols, *resized.content, tokens)


def idefics2_whole(height: int, width: int) -> Facts:
    limits = SizeDict(shortest_edge=378, longest_edge=980)
    return tuple(idefics2.get_resize_output_image_size(shaped(height, width), limits))


def idefics2_quarters(height: int, width: int) -> Facts:
    limits = SizeDict(shortest_edge=378, longest_edge=980)
    processor = SimpleNamespace()
    parts = idefics2.Idefics2ImageProcessorPil.split_images(processor, shaped(height, width))
    return tuple(
        side for part in parts for side in idefics2.get_resize_output_image_size(part, limits)
    )


def idefics(long_side: int, tile: int) -> Callable[[int, int], Facts]:
    processor = SimpleNamespace(resize=lambda image, size, resample: size)

    def rule(height: int, width: int) -> Facts:
        first = idefics3.get_resize_output_image_size(shaped(height, width), long_side)
        second = idefics3.Idefics3ImageProcessorPil.resize_for_vision_encoder(
            processor, shaped(*first), tile
        )
        return (*first, second.height, second.width)

    return rule


def qwen(factor: int, low: int, high: int) -> Callable[[int, int], Facts]:
    return lambda height, width: qwen2_vl.smart_resize(height, width, factor, low, high)


def mistral(long_side: int, cell: int) -> Callable[[int, int], Facts]:
    def rule(height: int, width: int) -> Facts:
        size = pixtral.get_resize_output_image_size(
            shaped(height, width), (long_side, long_side), (cell, cell), ChannelDimension.FIRST
        )
        if not all(size):
            raise ValueError("resize to nothing")
        return tuple(size)

    return rule


def naflex(budget: int) -> Callable[[int, int], Facts]:
    return lambda height, width: siglip2.get_image_size_for_max_num_patches(
        height, width, 16, budget
    )


def fuyu(height: int, width: int) -> Facts:
    processor = object.__new__(FuyuImageProcessorPil)
    seen: list[SizeDict] = []
    base = inspect.getmro(FuyuImageProcessorPil)[1]
    original = base.resize
    base.resize = lambda self, image, size, **kwargs: seen.append(size)  # type: ignore[method-assign]
    try:
        FuyuImageProcessorPil.resize(processor, shaped(height, width), SizeDict(1080, 1920))
    finally:
        base.resize = original  # type: ignore[method-assign]
    size = (seen[0].height, seen[0].width) if seen else (height, width)
    if not all(size):
        raise ValueError("resize to nothing")
    return size


def gemma3(height: int, width: int) -> Facts:
    crops = Gemma3ImageProcessorPil.pan_and_scan(
        SimpleNamespace(), shaped(height, width), 256, 4, 1.2
    )
    return tuple(side for crop in crops for side in crop.shape[1:])


def minicpm(mode: str) -> Callable[[int, int], Facts]:
    processor = MiniCPMV4_6ImageProcessorPil()

    def rule(height: int, width: int) -> Facts:
        size = (height, width)
        grid = processor.get_sliced_grid(size, 9, 448)
        source = processor.find_best_resize(size, 448, 14, mode, allow_upscale=grid is None)
        if grid is None:
            return (*source, 0, 0)
        refined = processor.get_refine_size(size, grid, 448, 14, mode, allow_upscale=True)
        return (*source, *grid, *refined)

    return rule
