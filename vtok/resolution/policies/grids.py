"""Which grid an image is cut into: every published rule for rows and columns.

In: the original's `Size`. Out: a `Grid`, or None where the rule leaves the image whole. Ratios and
scales are compared in the precision and the order of candidates of the published rules, because
both decide ties.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
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


@lru_cache(maxsize=16)
def grids_by_factors(max_tiles: int) -> tuple[Grid, ...]:
    """Return all grids fewest cells first, equal counts in Llama 4's order of aspect ratios.

    That order groups equal ratios, the groups in the order in which they first appear when
    counts are walked down from max_tiles and the factors of each count up.
    """
    groups: dict[float, list[Grid]] = {}
    for count in range(max_tiles, 0, -1):
        for rows in range(1, count + 1):
            if count % rows == 0:
                cols = count // rows
                groups.setdefault(rows / cols, []).append(Grid(rows=rows, cols=cols))
    return tuple(
        sorted((grid for group in groups.values() for grid in group), key=lambda g: g.num_cells)
    )


@lru_cache(maxsize=64)
def _ratios_by_rows(max_tiles: int, min_tiles: int) -> tuple[tuple[float, Grid], ...]:
    return tuple((grid.cols / grid.rows, grid) for grid in grids_by_rows(max_tiles, min_tiles))


@lru_cache(maxsize=64)
def _ratios_by_cells(max_tiles: int, min_tiles: int) -> tuple[tuple[float, Grid, int], ...]:
    return tuple(
        (grid.cols / grid.rows, grid, grid.num_cells)
        for grid in grids_by_cells(max_tiles, min_tiles)
    )


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
        for ratio, grid in _ratios_by_rows(self.max_tiles, self.min_tiles):
            distance = abs(ratio - aspect)
            if distance < nearest:
                nearest = distance
                best = grid
        return best


@dataclass(frozen=True, slots=True)
class ClosestAspectByArea:
    """The grid of nearest aspect; of equals the larger one, where the image has pixels for it.

    A grid as near as the best so far replaces it when the image has more than half of its
    pixels. Source: OpenGVLab/InternVL, `dynamic_preprocess`; transformers `got_ocr2`.
    """

    max_tiles: int
    tile_px: int
    min_tiles: int = 1

    def choose(self, size: Size) -> Grid:
        """Return the nearest grid."""
        aspect = size.width / size.height
        half_tiles = size.num_pixels / (0.5 * self.tile_px * self.tile_px)
        nearest = float("inf")
        best = Grid(rows=1, cols=1)
        for ratio, grid, num_cells in _ratios_by_cells(self.max_tiles, self.min_tiles):
            distance = abs(aspect - ratio)
            if distance < nearest:
                nearest = distance
                best = grid
            elif distance == nearest and half_tiles > num_cells:
                best = grid
        return best


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
class BestResolution:
    """Of a list of grids, the one that keeps most of the image's pixels and wastes fewest.

    Source: LLaVA-NeXT `select_best_resolution`; DeepSeek-VL2 uses the same rule.

    Attributes:
        grids: The candidates in the checkpoint's order, which decides ties.
        tile_px: Side of one tile.
    """

    grids: tuple[Grid, ...]
    tile_px: int
    _smallest_first: tuple[tuple[int, int, int, Grid], ...] = field(
        init=False, repr=False, compare=False
    )
    _largest_first: tuple[tuple[int, int, int, Grid], ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        tile = self.tile_px
        canvases = [
            (grid.rows * tile, grid.cols * tile, grid.num_cells * tile * tile, grid)
            for grid in self.grids
        ]
        # Sorting is stable both ways, so that the first of equals stays first.
        object.__setattr__(self, "_smallest_first", tuple(sorted(canvases, key=lambda c: c[2])))
        object.__setattr__(self, "_largest_first", tuple(sorted(canvases, key=lambda c: -c[2])))

    def choose(self, size: Size) -> Grid:
        """Return the best grid."""
        height, width = size.height, size.width
        # A canvas that covers the image keeps every pixel: then the smallest wastes fewest.
        for full_height, full_width, _, grid in self._smallest_first:
            if full_height >= height and full_width >= width:
                return grid
        most, least_waste = -1, 0
        best = self.grids[0]
        for full_height, full_width, full, grid in self._largest_first:
            if full < most:
                break
            scale_x, scale_y = full_width / width, full_height / height
            scale = scale_x if scale_x < scale_y else scale_y
            kept = int(width * scale) * int(height * scale)
            if kept > most or (
                kept == most and self._is_better(full - kept, least_waste, grid, best)
            ):
                most, least_waste, best = kept, full - kept, grid
        return best

    def _is_better(self, waste: int, least_waste: int, grid: Grid, best: Grid) -> bool:
        """Whether a grid that keeps as much as the best one so far wastes less, or comes first."""
        if waste == least_waste:
            return self.grids.index(grid) < self.grids.index(best)
        return waste < least_waste


@dataclass(frozen=True, slots=True)
class LeastUpscale:
    """The grid that enlarges the image least; where all reduce it, the one that reduces least.

    Sources: transformers `mllama`, `llama4`, `cohere2_vision`; allenai/molmo and `molmo2`.

    Attributes:
        grids: The candidates; of equal scales the first wins.
        tile_px: Side that one more tile adds to the canvas.
        margin_px: Taken off both of the image's sides first (what overlapping tiles repeat).
        single_precision: Whether the published rule compares in single precision.
    """

    grids: tuple[Grid, ...]
    tile_px: int
    margin_px: int = 0
    single_precision: bool = False
    _candidates: tuple[tuple[int, int, Grid], ...] = field(init=False, repr=False, compare=False)
    _lengths_px: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        candidates = tuple((grid.rows, grid.cols, grid) for grid in self.grids)
        most = max(max(grid.rows, grid.cols) for grid in self.grids)
        lengths_px = tuple(count * self.tile_px for count in range(most + 1))
        object.__setattr__(self, "_candidates", candidates)
        object.__setattr__(self, "_lengths_px", lengths_px)

    def choose(self, size: Size) -> Grid:
        """Return the best grid."""
        scales_x = self._scales(size.width - self.margin_px)
        scales_y = self._scales(size.height - self.margin_px)
        up_scale, down_scale = math.inf, -math.inf
        up: Grid | None = None
        down = self.grids[0]
        for rows, cols, grid in self._candidates:
            scale_x, scale_y = scales_x[cols], scales_y[rows]
            scale = scale_x if scale_x < scale_y else scale_y
            if scale >= 1:
                if scale < up_scale:
                    up_scale, up = scale, grid
            elif scale > down_scale:
                down_scale, down = scale, grid
        # Where the margin uses up both sides every scale is infinite: then the first grid.
        return up or down

    def _scales(self, side: int) -> Sequence[float]:
        """Return the scale along one side for 0, 1, 2, ... tiles."""
        if side == 0:
            return [math.inf] * len(self._lengths_px)
        scales = [length / side for length in self._lengths_px]
        if not self.single_precision:
            return scales
        format_ = f"{len(scales)}f"
        return struct.unpack(format_, struct.pack(format_, *scales))


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

    Source: Phi-3.5-vision `HD_transform`.
    """

    max_tiles: int

    def choose(self, size: Size) -> Grid:
        """Return that grid."""
        long, short = max(size.height, size.width), min(size.height, size.width)
        ratio = long / short
        count = 1
        while (count + 1) * math.ceil((count + 1) / ratio) <= self.max_tiles:
            count += 1
        across = math.ceil(count / ratio)
        if size.width < size.height:
            return Grid(rows=count, cols=across)
        return Grid(rows=across, cols=count)


@lru_cache(maxsize=64)
def _log_ratios(num_slices: int) -> tuple[tuple[float, Grid], ...]:
    return tuple(
        (math.log(num_slices // rows / rows), Grid(rows=rows, cols=num_slices // rows))
        for rows in range(1, num_slices + 1)
        if num_slices % rows == 0
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
