"""How one whole image is laid on a canvas, for schemes without a grid.

In: the original's `Size`. Out: a `Canvas` and the `Box` of it that becomes the view. Roundings are
the published ones (floor, ceil, Python's round to even), in the same order of operations.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from vtok.errors import DegenerateSizeError
from vtok.records import Size
from vtok.resolution.options import Align
from vtok.resolution.parts import BLACK, Box, Canvas, Resample


class Laid(NamedTuple):
    """A canvas, and the part of it that the model sees."""

    canvas: Canvas
    box: Box


class Frame(Protocol):
    """Lays an image on a canvas."""

    def lay(self, size: Size) -> Laid:
        """Return the canvas and the view's box.

        Raises:
            DegenerateSizeError: the rule has no answer for this size.
        """
        ...


def identity(size: Size) -> Canvas:
    """Return a canvas that is the original itself."""
    return Canvas(size, Box(0, 0, size.width, size.height))


def squashed(size: Size, resample: Resample = "bicubic") -> Canvas:
    """Return a canvas of this size that the image is resized to, whatever its aspect."""
    return Canvas(size, Box(0, 0, size.width, size.height), (size,), resample)


def whole(canvas: Canvas) -> Laid:
    """Return the canvas with all of it as the view."""
    return Laid(canvas, Box(0, 0, canvas.size.width, canvas.size.height))


def degenerate(size: Size, why: str) -> DegenerateSizeError:
    """Return the error of a size that a rule has no answer for."""
    return DegenerateSizeError(f"a {size} image {why}; the reference fails too: resize it first")


@dataclass(frozen=True, slots=True)
class Squash:
    """Every image to one size."""

    size: Size
    resample: Resample = "bicubic"

    def lay(self, size: Size) -> Laid:
        """Return the one canvas."""
        return whole(squashed(self.size, self.resample))


@dataclass(frozen=True, slots=True)
class CentreCrop:
    """The short side to a length, the long one in proportion (rounded down), the centre cut out.

    Source: the ImageNet evaluation transform, as transformers' `CLIPImageProcessor` does it.

    Attributes:
        short_side_px: The short side after the resize; at least the crop's.
        side_px: Side of the crop.
        resample: The filter.
    """

    short_side_px: int
    side_px: int
    resample: Resample = "bicubic"

    def lay(self, size: Size) -> Laid:
        """Return the canvas and the crop."""
        short, long = sorted((size.height, size.width))
        scaled = int(self.short_side_px * long / short)
        is_tall = size.height > size.width
        height, width = (scaled, self.short_side_px) if is_tall else (self.short_side_px, scaled)
        left, top = (width - self.side_px) // 2, (height - self.side_px) // 2
        box = Box(left, top, left + self.side_px, top + self.side_px)
        return Laid(squashed(Size(height=height, width=width), self.resample), box)


@dataclass(frozen=True, slots=True)
class FloorPatches:
    """Native ratio under a token budget: as many whole patches as fit, fewer when over budget.

    Within the budget the image keeps its pixels and the remainder at the right and bottom is cut
    off; over it, the whole image is resized to whole patches. A side shorter than one patch is
    stretched to one.

    Source: the native-resolution idea of NaViT (arXiv 2307.06304) as floor patches and
    `scale = sqrt(max_tokens / patches)`.
    """

    patch_px: int
    max_tokens: int

    def lay(self, size: Size) -> Laid:
        """Return the canvas and the box of whole patches."""
        patch = self.patch_px
        rows, cols = size.height // patch, size.width // patch
        if rows and cols and rows * cols <= self.max_tokens:
            return Laid(identity(size), Box(0, 0, cols * patch, rows * patch))
        rows, cols = max(rows, 1), max(cols, 1)
        if rows * cols > self.max_tokens:
            scale = (self.max_tokens / (rows * cols)) ** 0.5
            rows, cols = max(int(rows * scale), 1), max(int(cols * scale), 1)
            # A strip one patch thin cannot give up anything on its thin side.
            if rows * cols > self.max_tokens:
                rows, cols = min(rows, self.max_tokens), min(cols, self.max_tokens)
        return whole(squashed(Size(height=rows * patch, width=cols * patch)))


@dataclass(frozen=True, slots=True)
class Native:
    """The image's own pixels, sides brought to a multiple of a few pixels without resampling.

    Attributes:
        alignment_px: The multiple.
        align: `pad` repeats the last row and column at the bottom and right; `centre` leaves black
            on all sides, as the script of NVIDIA's Cosmos-Tokenizer does; `crop` drops the
            outermost pixels. What is even on both sides has its odd pixel at the bottom and right.
            A side shorter than one multiple is padded in either case.
        max_pixels: Larger images are first reduced to this many pixels, keeping their ratio;
            None never resizes.
    """

    alignment_px: int
    align: Align = "pad"
    max_pixels: int | None = None

    def lay(self, size: Size) -> Laid:
        """Return the canvas and the aligned box."""
        resizes: tuple[Size, ...] = ()
        if self.max_pixels is not None and size.num_pixels > self.max_pixels:
            size = shrink_to_area(size, self.max_pixels)
            resizes = (size,)
        step = self.alignment_px
        if self.align != "crop":
            padded = Size(height=ceil_to(size.height, step), width=ceil_to(size.width, step))
            box = Box(0, 0, padded.width, padded.height)
        else:
            padded = Size(height=max(size.height, step), width=max(size.width, step))
            height, width = padded.height // step * step, padded.width // step * step
            left, top = (padded.width - width) // 2, (padded.height - height) // 2
            box = Box(left, top, left + width, top + height)
        if self.align == "centre":
            left, top = (padded.width - size.width) // 2, (padded.height - size.height) // 2
            content = Box(left, top, left + size.width, top + size.height)
            return Laid(Canvas(padded, content, resizes, "bicubic", BLACK), box)
        content = Box(0, 0, size.width, size.height)
        return Laid(Canvas(padded, content, resizes, "bicubic", "edge"), box)


def ceil_to(length: int, step: int) -> int:
    """Return the smallest multiple of step that is not below length."""
    return -(-length // step) * step


def shrink_to_area(size: Size, max_pixels: int) -> Size:
    """Return the largest size of the same ratio (rounded down, at least 1) within an area."""
    scale = math.sqrt(max_pixels / size.num_pixels)
    height = min(max(int(size.height * scale), 1), max_pixels)
    width = min(max(int(size.width * scale), 1), max_pixels // height)
    return Size(height=height, width=width)
