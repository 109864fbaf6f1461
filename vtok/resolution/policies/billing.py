"""How providers of closed models say that they resize and bill images: estimates, not code.

In: the original's `Size`. Out: frames and cuts whose tokens follow the documented arithmetic. No
reference implementation can be run, so every scheme of these is marked inexact.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from vtok.records import Grid, Size
from vtok.resolution.parts import BLACK, Box, Canvas, View
from vtok.resolution.policies.cutters import Cut, tile_views
from vtok.resolution.policies.frames import ceil_to, identity, squashed


def _scaled(size: Size, scale: float) -> Size:
    return Size(height=max(round(size.height * scale), 1), width=max(round(size.width * scale), 1))


@dataclass(frozen=True, slots=True)
class TileBilling:
    """Fit a square, then the short side to a length, then count covering tiles (OpenAI, tiles).

    Attributes:
        tile_px: Side of a billed tile.
        num_tokens: Price of a tile.
        fit_px: Side of the square fitted first; only reductions happen.
        short_side_px: Length of the short side then.
    """

    single_view: ClassVar[bool] = False

    tile_px: int
    num_tokens: int
    fit_px: int = 2048
    short_side_px: int = 768

    def cut(self, size: Size) -> Cut:
        """Return the billed tiles."""
        content = _scaled(size, min(1.0, self.fit_px / max(size.height, size.width)))
        short = min(content.height, content.width)
        if short > self.short_side_px:
            content = _scaled(content, self.short_side_px / short)
        tile = self.tile_px
        padded = Size(height=ceil_to(content.height, tile), width=ceil_to(content.width, tile))
        box = Box(0, 0, content.width, content.height)
        resizes = () if content == size else (content,)
        canvas = Canvas(padded, box, resizes, "bicubic", BLACK)
        grid = Grid(rows=padded.height // tile, cols=padded.width // tile)
        return Cut((canvas,), grid, tile_views(grid, tile, tile, self.num_tokens, None))


@dataclass(frozen=True, slots=True)
class UnitBilling:
    """Small images are one view, others crops of a unit of two thirds of the short side (Gemini).

    Attributes:
        num_tokens: Price of a view.
        small_px: Up to this side, both ways, an image is one view.
    """

    single_view: ClassVar[bool] = False

    num_tokens: int
    small_px: int = 384

    def cut(self, size: Size) -> Cut:
        """Return the billed crops."""
        if max(size.height, size.width) <= self.small_px:
            view = View(
                "whole", "whole", 0, Box(0, 0, size.width, size.height), size, self.num_tokens
            )
            return Cut((identity(size),), None, (view,))
        unit = max(math.floor(min(size.height, size.width) / 1.5), 1)
        grid = Grid(rows=math.ceil(size.height / unit), cols=math.ceil(size.width / unit))
        padded = Size(height=grid.rows * unit, width=grid.cols * unit)
        canvas = Canvas(padded, Box(0, 0, size.width, size.height), (), "bicubic", BLACK)
        return Cut((canvas,), grid, tile_views(grid, unit, unit, self.num_tokens, None))


@dataclass(frozen=True, slots=True)
class PatchBilling:
    """Patches of 32 px within a budget, times a multiplier (OpenAI, patches).

    Attributes:
        patch_px: Side of a patch.
        max_patches: The budget.
        multiplier: Tokens a patch.
    """

    single_view: ClassVar[bool] = True

    patch_px: int
    max_patches: int
    multiplier: float

    def cut(self, size: Size) -> Cut:
        """Return the one billed view."""
        patch, content = self.patch_px, size
        rows, cols = math.ceil(size.height / patch), math.ceil(size.width / patch)
        if rows * cols > self.max_patches:
            scale = math.sqrt(patch * patch * self.max_patches / size.num_pixels)
            across, down = size.width * scale / patch, size.height * scale / patch
            # The narrower loss of rounding down decides: whole patches on that side.
            if across >= 1 and down >= 1:
                scale *= min(math.floor(across) / across, math.floor(down) / down)
            rows = max(math.ceil(round(size.height * scale / patch, 6)), 1)
            cols = max(math.ceil(round(size.width * scale / patch, 6)), 1)
            content = _scaled(size, scale)
        num_patches = min(rows * cols, self.max_patches)
        view = View(
            "whole",
            "whole",
            0,
            Box(0, 0, content.width, content.height),
            content,
            math.ceil(round(num_patches * self.multiplier, 6)),
            Grid(rows=rows, cols=cols),
        )
        return Cut((identity(size) if content == size else squashed(content),), None, (view,))


@dataclass(frozen=True, slots=True)
class AreaBilling:
    """Reduced to a long side and an area, then pixels divided by a constant (Anthropic, legacy).

    Attributes:
        long_side_px: Longest side.
        max_tokens: About as many tokens at most.
        pixels_per_token: The constant.
    """

    single_view: ClassVar[bool] = True

    long_side_px: int
    max_tokens: int
    pixels_per_token: int = 750

    def cut(self, size: Size) -> Cut:
        """Return the one billed view."""
        scale = min(
            1.0,
            self.long_side_px / max(size.height, size.width),
            math.sqrt(self.max_tokens * self.pixels_per_token / size.num_pixels),
        )
        content = _scaled(size, scale)
        view = View(
            "whole",
            "whole",
            0,
            Box(0, 0, content.width, content.height),
            content,
            max(round(content.num_pixels / self.pixels_per_token), 1),
        )
        return Cut((identity(size) if content == size else squashed(content),), None, (view,))


@dataclass(frozen=True, slots=True)
class CellBilling:
    """Reduced to the largest long side whose cells stay within a budget (Anthropic, current).

    Attributes:
        cell_px: Side of a cell; one token each.
        long_side_px: Longest side.
        max_tokens: The budget.
    """

    single_view: ClassVar[bool] = True

    cell_px: int
    long_side_px: int
    max_tokens: int

    def cut(self, size: Size) -> Cut:
        """Return the one billed view."""
        long = max(size.height, size.width)
        low, high = 1, min(long, self.long_side_px)
        if self._num_cells(size, high, long) > self.max_tokens:
            while high - low > 1:
                middle = (low + high) // 2
                if self._num_cells(size, middle, long) <= self.max_tokens:
                    low = middle
                else:
                    high = middle
            high = low
        content = size if high == long else _scaled(size, high / long)
        cells = Grid(
            rows=math.ceil(content.height / self.cell_px),
            cols=math.ceil(content.width / self.cell_px),
        )
        box = Box(0, 0, content.width, content.height)
        view = View("whole", "whole", 0, box, content, cells.num_cells, cells)
        return Cut((identity(size) if content == size else squashed(content),), None, (view,))

    def _num_cells(self, size: Size, length: int, long: int) -> int:
        height = max(round(size.height * (length / long)), 1)
        width = max(round(size.width * (length / long)), 1)
        return -(-height // self.cell_px) * -(-width // self.cell_px)
