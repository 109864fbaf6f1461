"""Which grid an image is cut into: every published rule for rows and columns.

In: the original's `Size`. Out: a `Grid`, or None where the rule leaves the image whole. Ratios and
scales are compared in the precision and the order of candidates of the published rules, because
both decide ties.
"""

import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from vtok.records import Grid, Size

_FLOAT32 = struct.Struct("f")


class GridPolicy(Protocol):
    """Chooses rows and columns."""

    def choose(self, size: Size) -> Grid | None:
        """Return the grid for an image of this size; None leaves it whole."""
        ...


def float32(value: float) -> float:
    """Return the nearest single-precision number, for rules that compare in single precision."""
    rounded: float = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    return rounded


@lru_cache(maxsize=64)
def grids_by_rows(max_tiles: int, min_tiles: int = 1) -> tuple[Grid, ...]:
    """Return every grid of min_tiles to max_tiles cells, rows in the outer loop."""
    return tuple(
        Grid(rows=rows, cols=cols)
        for rows in range(1, max_tiles + 1)
        for cols in range(1, max_tiles // rows + 1)
        if rows * cols >= min_tiles
    )


@lru_cache(maxsize=64)
def grids_by_cells(max_tiles: int, min_tiles: int = 1) -> tuple[Grid, ...]:
    """Return the same grids, fewest cells first; of equal counts, fewer columns first."""
    return tuple(
        sorted(grids_by_rows(max_tiles, min_tiles), key=lambda grid: (grid.num_cells, grid.cols))
    )


@dataclass(frozen=True, slots=True)
class OnlyAbove:
    """Another policy, for images whose long side exceeds a limit; the others stay whole."""

    long_side_px: int
    policy: GridPolicy

    def choose(self, size: Size) -> Grid | None:
        """Return the other policy's grid, or None."""
        if max(size.height, size.width) <= self.long_side_px:
            return None
        return self.policy.choose(size)


@dataclass(frozen=True, slots=True)
class CeilTiles:
    """As many whole tiles as cover the image's own pixels; over the limit, another policy.

    Source: Phi-4-multimodal `dynamic_preprocess`.
    """

    tile_px: int
    max_tiles: int
    otherwise: GridPolicy

    def choose(self, size: Size) -> Grid | None:
        """Return the covering grid, or the other policy's."""
        cols, rows = math.ceil(size.width / self.tile_px), math.ceil(size.height / self.tile_px)
        if rows * cols > self.max_tiles:
            return self.otherwise.choose(size)
        return Grid(rows=rows, cols=cols)


@dataclass(frozen=True, slots=True)
class LargestFitting:
    """The most tiles along the long side such that the grid of the image's ratio has max_tiles.

    The short side then has as many as hold the image once it is scaled to that (whole) length.
    Source: Phi-3.5-vision `HD_transform`, `padding_336`.
    """

    max_tiles: int
    tile_px: int

    def choose(self, size: Size) -> Grid:
        """Return that grid."""
        long, short = max(size.height, size.width), min(size.height, size.width)
        ratio = long / short
        count = 1
        while (count + 1) * math.ceil((count + 1) / ratio) <= self.max_tiles:
            count += 1
        across = max(math.ceil(int(count * self.tile_px / ratio) / self.tile_px), 1)
        if size.width < size.height:
            return Grid(rows=count, cols=across)
        return Grid(rows=across, cols=count)


@lru_cache(maxsize=64)
def _log_ratios(num_slices: int) -> tuple[tuple[float, Grid], ...]:
    return tuple(
        (math.log(cols / (num_slices // cols)), Grid(rows=num_slices // cols, cols=cols))
        for cols in range(1, num_slices + 1)
        if num_slices % cols == 0
    )


@dataclass(frozen=True, slots=True)
class AreaThenLogAspect:
    """About as many slices as the image has areas of one slice, of the nearest log ratio.

    Source: OpenBMB/MiniCPM-V `slice_image`; transformers `minicpmv4_6`.

    Attributes:
        max_tiles: Most slices.
        slice_px: Side of the square whose area is one slice's.
        more_rows: Of equally near grids, the one of more rows (4.6) instead of the first.
    """

    max_tiles: int
    slice_px: int
    more_rows: bool = False

    def choose(self, size: Size) -> Grid | None:
        """Return the grid, or None for an image of one slice's area."""
        areas = size.width * size.height / (self.slice_px * self.slice_px)
        wanted = min(math.ceil(areas), self.max_tiles)
        if wanted <= 1:
            return None
        log_ratio = math.log(size.width / size.height)
        nearest = float("inf")
        best = Grid(rows=1, cols=1)
        for num_slices in (wanted - 1, wanted, wanted + 1):
            if num_slices == 1 or num_slices > self.max_tiles:
                continue
            for candidate, grid in _log_ratios(num_slices):
                error = abs(log_ratio - candidate)
                if error < nearest or (
                    self.more_rows and error == nearest and grid.rows > best.rows
                ):
                    nearest, best = error, grid
        return best
