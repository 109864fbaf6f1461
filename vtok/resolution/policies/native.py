"""Published rules for one view at (about) its native ratio, one for each family of models.

In: the original's `Size`. Out: a `Canvas` and the `Box` of it that becomes the view. Roundings are
the published ones (floor, ceil, Python's round to even), in the same order of operations.
"""

import math
from dataclasses import dataclass

from vtok.errors import DegenerateSizeError
from vtok.records import Size
from vtok.resolution.parts import BLACK, Box, Canvas, Fill, Resample
from vtok.resolution.policies.frames import Laid, ceil_to, degenerate, squashed, whole


@dataclass(frozen=True, slots=True)
class SmartResize:
    """Sides rounded to a multiple, the area held between two limits.

    Source: Qwen2-VL `smart_resize` in transformers `qwen2_vl`: round to even, floor when above
    the upper limit, ceil when below the lower one.
    """

    cell_px: int
    min_pixels: int
    max_pixels: int
    max_aspect: int = 200

    def lay(self, size: Size) -> Laid:
        """Return the canvas."""
        height, width, cell = size.height, size.width, self.cell_px
        if max(height, width) / min(height, width) > self.max_aspect:
            raise degenerate(size, f"is more than {self.max_aspect} times as long as it is wide")
        rows, cols = round(height / cell), round(width / cell)
        pixels = rows * cell * (cols * cell)
        if pixels > self.max_pixels:
            beta = math.sqrt(height * width / self.max_pixels)
            rows = max(1, math.floor(height / beta / cell))
            cols = max(1, math.floor(width / beta / cell))
        elif pixels < self.min_pixels:
            beta = math.sqrt(self.min_pixels / (height * width))
            rows = math.ceil(height * beta / cell)
            cols = math.ceil(width * beta / cell)
        if not (rows and cols):
            raise degenerate(size, "rounds to no patches")
        return whole(squashed(Size(height=rows * cell, width=cols * cell)))


@dataclass(frozen=True, slots=True)
class LimitLongSide:
    """Reduced until the long side fits, then stretched to whole cells; never enlarged more.

    Source: transformers `pixtral`, `get_resize_output_image_size`.
    """

    long_side_px: int
    cell_px: int

    def lay(self, size: Size) -> Laid:
        """Return the canvas."""
        height, width = size.height, size.width
        ratio = max(height / self.long_side_px, width / self.long_side_px)
        if ratio > 1:
            height, width = math.floor(height / ratio), math.floor(width / ratio)
            if not (height and width):
                raise degenerate(size, f"is thinner than a pixel at {self.long_side_px} px")
        return whole(
            squashed(Size(height=ceil_to(height, self.cell_px), width=ceil_to(width, self.cell_px)))
        )


@dataclass(frozen=True, slots=True)
class FillBudget:
    """The largest scale at which the patches of the stretched image stay within a budget.

    The scale is found by bisection between 1e-6 and 100, to 1e-5, and enlarges as well as
    reduces. Source: google-research/big_vision NaFlex; transformers `siglip2`.
    """

    patch_px: int
    max_patches: int

    def lay(self, size: Size) -> Laid:
        """Return the canvas."""
        height, width, patch, budget = size.height, size.width, self.patch_px, self.max_patches
        ceil = math.ceil
        low, high = 1e-5 / 10, 100.0
        while high - low >= 1e-5:
            scale = (low + high) / 2
            rows, cols = ceil(height * scale / patch), ceil(width * scale / patch)
            if (rows or 1) * (cols or 1) <= budget:
                low = scale
            else:
                high = scale
        rows, cols = ceil(height * low / patch) or 1, ceil(width * low / patch) or 1
        return whole(squashed(Size(height=rows * patch, width=cols * patch), "bilinear"))


@dataclass(frozen=True, slots=True)
class ShrinkAndPad:
    """Reduced (never enlarged) to a number of patches and a longest side, padded to whole cells.

    Source: transformers `kimi_k25`, `navit_resize`.
    """

    patch_px: int
    cell_px: int
    max_patches: int
    max_patches_per_side: int
    fill: Fill = BLACK

    def lay(self, size: Size) -> Laid:
        """Return the canvas."""
        height, width = size.height, size.width
        longest = self.max_patches_per_side * self.patch_px
        patches = max(1, height // self.patch_px) * max(1, width // self.patch_px)
        scale = min(1.0, math.sqrt(self.max_patches / patches), longest / height, longest / width)
        content = Size(
            height=min(max(1, int(height * scale)), longest),
            width=min(max(1, int(width * scale)), longest),
        )
        padded = Size(
            height=ceil_to(content.height, self.cell_px),
            width=ceil_to(content.width, self.cell_px),
        )
        return whole(
            Canvas(
                padded, Box(0, 0, content.width, content.height), (content,), "bicubic", self.fill
            )
        )


@dataclass(frozen=True, slots=True)
class ReducedAndPadded:
    """Reduced (never enlarged) to a number of patches, padded to whole cells; no limit to a side.

    Source: moonshotai/Kimi-VL-A3B-Instruct `image_processing_kimi_vl.py`, `rescale`, which refuses
    an image that then has a side of `patches_refused` or more.
    """

    patch_px: int
    cell_px: int
    max_patches: int
    patches_refused: int
    fill: Fill = BLACK

    def lay(self, size: Size) -> Laid:
        """Return the canvas."""
        height, width = size.height, size.width
        resizes: tuple[Size, ...] = ()
        patches = (width // self.patch_px) * (height // self.patch_px)
        if patches > self.max_patches:
            scale = math.sqrt(self.max_patches / patches)
            height, width = int(height * scale), int(width * scale)
            if not (height and width):
                raise degenerate(size, "is thinner than a pixel within the limit of patches")
            resizes = (Size(height=height, width=width),)
        padded = Size(height=ceil_to(height, self.cell_px), width=ceil_to(width, self.cell_px))
        if max(padded.height, padded.width) // self.patch_px >= self.patches_refused:
            raise degenerate(size, f"has a side of {self.patches_refused} patches or more")
        return whole(Canvas(padded, Box(0, 0, width, height), resizes, "bicubic", self.fill))


@dataclass(frozen=True, slots=True)
class FitWithin:
    """Reduced (never enlarged) to fit a page, padded to it; the view keeps the patches in use.

    Source: transformers `fuyu`. The padding is 1 on the scale of 0..255, as the reference has it.
    """

    page: Size
    patch_px: int
    resample: Resample = "bilinear"
    fill: Fill = (1, 1, 1)

    def lay(self, size: Size) -> Laid:
        """Return the canvas and the box of patches that hold any of the image."""
        height, width = size.height, size.width
        resizes: tuple[Size, ...] = ()
        if width > self.page.width or height > self.page.height:
            scale = min(self.page.height / height, self.page.width / width)
            height, width = int(height * scale), int(width * scale)
            if not (height and width):
                raise degenerate(size, f"is thinner than a pixel within {self.page}")
            resizes = (Size(height=height, width=width),)
        canvas = Canvas(self.page, Box(0, 0, width, height), resizes, self.resample, self.fill)
        patch = self.patch_px
        return Laid(canvas, Box(0, 0, ceil_to(width, patch), ceil_to(height, patch)))


@dataclass(frozen=True, slots=True)
class HoldSides:
    """Long side reduced to a limit, then each side enlarged to a least one (which distorts).

    Source: transformers `idefics2`, `get_resize_output_image_size`.
    """

    min_side_px: int
    max_side_px: int
    resample: Resample = "bilinear"

    def target(self, height: int, width: int) -> Size:
        """Return the size of a picture of these sides, of which one may be 0.

        Raises:
            DegenerateSizeError: the height is 0.
        """
        if height == 0:
            raise DegenerateSizeError(
                "an image of one row cannot be split; the reference fails too: resize it first"
            )
        aspect = width / height
        if width >= height and width > self.max_side_px:
            width = self.max_side_px
            height = int(width / aspect)
        elif height > width and height > self.max_side_px:
            height = self.max_side_px
            width = int(height * aspect)
        return Size(height=max(height, self.min_side_px), width=max(width, self.min_side_px))

    def lay(self, size: Size) -> Laid:
        """Return the canvas."""
        return whole(squashed(self.target(size.height, size.width), self.resample))
