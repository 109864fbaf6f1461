"""Which grid an image is cut into: every published rule for rows and columns.

In: the original's `Size`. Out: a `Grid`. Ratios are compared in the double precision that the
published rules use, in their order of candidates, because ties are decided by both.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from vtok.records import Grid, Size


class GridPolicy(Protocol):
    """Chooses rows and columns."""

    def choose(self, size: Size) -> Grid:
        """Return the grid for an image of this size."""
        ...


@lru_cache(maxsize=64)
def grids_up_to(max_tiles: int, min_tiles: int = 1) -> tuple[Grid, ...]:
    """Return every grid of min_tiles to max_tiles cells, rows in the outer loop."""
    return tuple(
        Grid(rows=rows, cols=cols)
        for rows in range(1, max_tiles + 1)
        for cols in range(1, max_tiles // rows + 1)
        if rows * cols >= min_tiles
    )


@lru_cache(maxsize=64)
def _ratios(max_tiles: int, min_tiles: int) -> tuple[tuple[float, Grid], ...]:
    return tuple((grid.cols / grid.rows, grid) for grid in grids_up_to(max_tiles, min_tiles))


@dataclass(frozen=True, slots=True)
class ClosestAspect:
    """The grid whose width:height is nearest to the image's; the first of equals, rows outer."""

    max_tiles: int
    min_tiles: int = 1

    def choose(self, size: Size) -> Grid:
        """Return the nearest grid by absolute difference of the ratios."""
        aspect = size.width / size.height
        nearest = float("inf")
        best = Grid(rows=1, cols=1)
        for ratio, grid in _ratios(self.max_tiles, self.min_tiles):
            distance = abs(ratio - aspect)
            if distance < nearest:
                nearest = distance
                best = grid
        return best
