"""How an image is fitted into a canvas of a given size before the canvas is cut into tiles.

In: the original's `Size` and the canvas's. Out: a `Canvas`. The roundings are the published ones;
where a published rule works in single precision, so does this file.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from vtok.records import Size
from vtok.resolution.parts import BLACK, WHITE, Box, Canvas, Fill, Resample
from vtok.resolution.policies.frames import degenerate, squashed
from vtok.resolution.policies.grids import float32


class Fit(Protocol):
    """Fits an image into a canvas."""

    def place(self, size: Size, target: Size) -> Canvas:
        """Return the canvas of the target's size with the image on it.

        Raises:
            DegenerateSizeError: the rule has no answer for this size.
        """
        ...


@dataclass(frozen=True, slots=True)
class SquashFit:
    """Resized to the canvas, whatever the aspect."""

    resample: Resample = "bicubic"

    def place(self, size: Size, target: Size) -> Canvas:
        """Return the filled canvas."""
        return squashed(target, self.resample)


def top_left(content: Size, target: Size, resample: Resample, fill: Fill) -> Canvas:
    """Return a canvas with the image in its corner and padding at the bottom and right."""
    return Canvas(target, Box(0, 0, content.width, content.height), (content,), resample, fill)


def centred(content: Size, target: Size, resample: Resample, fill: Fill) -> Canvas:
    """Return a canvas with the image in the middle; an odd pixel goes to the bottom and right."""
    left = (target.width - content.width) // 2
    top = (target.height - content.height) // 2
    box = Box(left, top, left + content.width, top + content.height)
    return Canvas(target, box, (content,), resample, fill)


@dataclass(frozen=True, slots=True)
class CeilCentred:
    """Scaled to fit, the free side rounded up, centred on black.

    Source: LLaVA-NeXT; transformers `get_patch_output_size`.
    """

    def place(self, size: Size, target: Size) -> Canvas:
        """Return the canvas."""
        scale_x, scale_y = target.width / size.width, target.height / size.height
        if scale_x < scale_y:
            height = min(math.ceil(size.height * scale_x), target.height)
            content = Size(height=height, width=target.width)
        else:
            width = min(math.ceil(size.width * scale_y), target.width)
            content = Size(height=target.height, width=width)
        return centred(content, target, "bicubic", BLACK)


@dataclass(frozen=True, slots=True)
class RoundCentred:
    """Scaled to fit, the free side rounded to even halves, centred on a colour.

    A side that rounds to nothing leaves the canvas blank, as it does in the reference. Source:
    `PIL.ImageOps.pad`, which DeepSeek-VL2 calls.
    """

    fill: Fill

    def place(self, size: Size, target: Size) -> Canvas:
        """Return the canvas."""
        height, width = target.height, target.width
        if size.width / size.height > target.width / target.height:
            height = round(size.height / size.width * target.width)
        else:
            width = round(size.width / size.height * target.height)
        # A square image on a square canvas rounds to it; equal ratios need no case of their own.
        left, top = round((target.width - width) * 0.5), round((target.height - height) * 0.5)
        resizes = (Size(height=height, width=width),) if height and width else ()
        box = Box(left, top, left + width, top + height)
        return Canvas(target, box, resizes, "bicubic", self.fill)


@dataclass(frozen=True, slots=True)
class Letterboxed:
    """Scaled so that the long side fills a square, the free side rounded, centred on a colour.

    Source: transformers `deepseek_ocr2` (global view).
    """

    fill: Fill

    def place(self, size: Size, target: Size) -> Canvas:
        """Return the canvas."""
        scale = target.width / max(size.width, size.height)
        height, width = round(size.height * scale), round(size.width * scale)
        if not (height and width):
            raise degenerate(size, f"is thinner than a pixel at {target.width} px")
        return centred(Size(height=height, width=width), target, "bicubic", self.fill)


@dataclass(frozen=True, slots=True)
class ClippedFit:
    """Enlarged at most to one tile, reduced at most to the canvas; floor; black below and right.

    Source: transformers `mllama`, `get_image_size_fit_to_canvas`.
    """

    tile_px: int

    def place(self, size: Size, target: Size) -> Canvas:
        """Return the canvas."""
        most_width = min(max(size.width, self.tile_px), target.width)
        most_height = min(max(size.height, self.tile_px), target.height)
        scale_x, scale_y = most_width / size.width, most_height / size.height
        if scale_x < scale_y:
            height = min(math.floor(size.height * scale_x) or 1, most_height)
            content = Size(height=height, width=most_width)
        else:
            width = min(math.floor(size.width * scale_y) or 1, most_width)
            content = Size(height=most_height, width=width)
        return top_left(content, target, "bilinear", BLACK)


@dataclass(frozen=True, slots=True)
class ClippedFitMixed:
    """The same idea as `ClippedFit` in the mixed precision of the published code.

    A side that the canvas limits is a tensor there, so its scale is a single-precision number;
    a side that it does not limit stays a double. Source: transformers `llama4`.
    """

    tile_px: int

    def place(self, size: Size, target: Size) -> Canvas:
        """Return the canvas."""
        free_width, free_height = max(size.width, self.tile_px), max(size.height, self.tile_px)
        limited_x, limited_y = target.width < free_width, target.height < free_height
        most_width, most_height = min(free_width, target.width), min(free_height, target.height)
        scale_x = _quotient(most_width, size.width, limited_x)
        scale_y = _quotient(most_height, size.height, limited_y)
        single = limited_x or limited_y
        if (float32(scale_x) < float32(scale_y)) if single else (scale_x < scale_y):
            height = _floor_product(size.height, scale_x, limited_x)
            content = Size(height=max(min(height, most_height), 1), width=most_width)
        else:
            width = _floor_product(size.width, scale_y, limited_y)
            content = Size(height=most_height, width=max(min(width, most_width), 1))
        return top_left(content, target, "bilinear", BLACK)


def _quotient(numerator: int, denominator: int, single: bool) -> float:
    value = numerator / denominator
    return float32(value) if single else value


def _floor_product(side: int, scale: float, single: bool) -> int:
    value = side * scale
    return math.floor(float32(value) if single else value)


@dataclass(frozen=True, slots=True)
class FloorCorner:
    """Scaled to fill one side, the other rounded down, white below and right.

    Source: transformers `phi4_multimodal`, which refuses contents under 10 px.
    """

    least_px: int = 10

    def place(self, size: Size, target: Size) -> Canvas:
        """Return the canvas."""
        scale_x, scale_y = target.width / size.width, target.height / size.height
        if scale_x < scale_y:
            height, width = int(size.height * scale_x), target.width
        else:
            height, width = target.height, int(size.width * scale_y)
        if min(height, width) < self.least_px:
            raise degenerate(size, f"is thinner than {self.least_px} px on a canvas of {target}")
        return top_left(Size(height=height, width=width), target, "bilinear", WHITE)


@dataclass(frozen=True, slots=True)
class LongSideCentred:
    """The long side fills the canvas, the short one follows the ratio, rounded down; white.

    Source: Phi-3.5-vision `HD_transform` and `padding_336` (which turn tall images on their side
    and back).
    """

    def place(self, size: Size, target: Size) -> Canvas:
        """Return the canvas."""
        tall = size.width < size.height
        long, short = (size.height, size.width) if tall else (size.width, size.height)
        filled = target.height if tall else target.width
        free = int(filled / (long / short))
        if free == 0:
            raise degenerate(size, f"is thinner than a pixel on a canvas of {target}")
        content = Size(height=filled, width=free) if tall else Size(height=free, width=filled)
        return centred(content, target, "bilinear", WHITE)


@dataclass(frozen=True, slots=True)
class SingleCentred:
    """Scaled to fit in single precision, both sides rounded down, centred on black.

    Source: allenai/molmo `resize_and_pad`.
    """

    def place(self, size: Size, target: Size) -> Canvas:
        """Return the canvas."""
        # Rounding keeps the order: the smaller scale is the same before and after.
        scale = float32(min(target.height / size.height, target.width / size.width))
        height, width = int(float32(size.height * scale)), int(float32(size.width * scale))
        if not (height and width):
            raise degenerate(size, f"is thinner than a pixel on a canvas of {target}")
        return centred(Size(height=height, width=width), target, "bilinear", BLACK)
