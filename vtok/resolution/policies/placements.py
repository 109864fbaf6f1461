"""A grid and the canvas it cuts: chosen first and then filled, or the other way round.

In: the original's `Size`. Out: a `Placement`. Knows nothing of overviews or tokens.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from vtok.errors import DegenerateSizeError
from vtok.records import Grid, Size
from vtok.resolution.parts import Box, Canvas, Resample
from vtok.resolution.policies.fits import Fit
from vtok.resolution.policies.grids import GridPolicy


class Placement(NamedTuple):
    """A canvas and its grid; no grid and no canvas where the image is not cut.

    A canvas without a grid is not cut but still the source of the overview.
    """

    grid: Grid | None
    canvas: Canvas | None


class Placer(Protocol):
    """Turns a size into a grid and a canvas."""

    @property
    def tile_px(self) -> int:
        """Side of a tile."""
        ...

    @property
    def overlap_px(self) -> int:
        """Canvas pixels that neighbouring tiles share."""
        ...

    def place(self, size: Size) -> Placement:
        """Return the grid and the canvas.

        Raises:
            DegenerateSizeError: the rule has no answer for this size.
        """
        ...


@dataclass(frozen=True, slots=True)
class Gridded:
    """The grid from a grid policy, the canvas as large as its tiles.

    Attributes:
        grids: Chooses the grid.
        fit: Fills the canvas.
        tile_px: Side of a tile.
        overlap_px: Canvas pixels that neighbours share: the canvas shrinks by as many.
    """

    grids: GridPolicy
    fit: Fit
    tile_px: int
    overlap_px: int = 0

    def place(self, size: Size) -> Placement:
        """Return the grid and its canvas."""
        grid = self.grids.choose(size)
        if grid is None:
            return Placement(None, None)
        step = self.tile_px - self.overlap_px
        target = Size(
            height=grid.rows * step + self.overlap_px, width=grid.cols * step + self.overlap_px
        )
        return Placement(grid, self.fit.place(size, target))


@dataclass(frozen=True, slots=True)
class LongSideTiles:
    """The long side to a fixed length, both sides up to whole tiles, the grid what comes of it.

    Source: transformers `idefics3` and `smolvlm`: two resizes in a row, the first to an even
    short side (rounded down, then up to even) under a cap, the second to whole tiles.
    """

    tile_px: int
    long_side_px: int
    resample: Resample = "lanczos"
    cap_px: int = 4096
    overlap_px: int = 0

    def place(self, size: Size) -> Placement:
        """Return the grid (None for a single tile) and its canvas."""
        first = self._to_long_side(size)
        tile = self.tile_px
        aspect = first.width / first.height
        if first.width >= first.height:
            width = math.ceil(first.width / tile) * tile
            height = math.ceil(int(width / aspect) / tile) * tile
        else:
            height = math.ceil(first.height / tile) * tile
            width = math.ceil(int(height * aspect) / tile) * tile
        if not (height and width):
            raise DegenerateSizeError(f"a {size} image has a side that rounds to no tile")
        target = Size(height=height, width=width)
        canvas = Canvas(target, Box(0, 0, width, height), (first, target), self.resample)
        if max(height, width) <= tile:
            return Placement(None, canvas)
        return Placement(Grid(rows=height // tile, cols=width // tile), canvas)

    def _to_long_side(self, size: Size) -> Size:
        aspect = size.width / size.height
        long = self.long_side_px
        if size.width >= size.height:
            height, width = int(long / aspect), long
            height += height % 2
        else:
            height, width = long, int(long * aspect)
            width += width % 2
        height, width = max(height, 1), max(width, 1)
        if max(height, width) > self.cap_px:
            aspect = width / height
            if width >= height:
                height, width = int(self.cap_px / aspect), self.cap_px
            else:
                height, width = self.cap_px, int(self.cap_px * aspect)
        return Size(height=max(height, 1), width=max(width, 1))
