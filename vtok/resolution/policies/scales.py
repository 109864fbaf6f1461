"""The grid whose canvas keeps most of the image, or has to enlarge or reduce it least.

In: the original's `Size`. Out: a `Grid`. Scales are compared in the precision of the published
rules, ties are decided by the order of the candidates.
"""

import math
from dataclasses import dataclass, field

from vtok.records import Grid, Size
from vtok.resolution.policies.grids import float32


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

    The scale of a grid is the smaller of its two sides' scales. The published rules try every
    grid and give ties to the smallest; since both scales only grow with rows and columns, the
    answer is the fewest rows and the fewest columns that reach the winning scale.

    Sources: transformers `mllama`, `llama4`, `cohere2_vision`; allenai/molmo and `molmo2`.

    Attributes:
        max_tiles: Most tiles.
        tile_px: Side that one more tile adds to the canvas.
        margin_px: Taken off both of the image's sides first (what overlapping tiles repeat).
        single_precision: Whether the published rule compares in single precision.
    """

    max_tiles: int
    tile_px: int
    margin_px: int = 0
    single_precision: bool = False

    def choose(self, size: Size) -> Grid:
        """Return the best grid."""
        height, width = size.height - self.margin_px, size.width - self.margin_px
        if height < 0 or width < 0:
            # The published scales turn negative here, and the first grid is the least negative.
            return Grid(rows=1, cols=1)
        tile = self.tile_px
        rows, cols = -(-height // tile) or 1, -(-width // tile) or 1
        if rows * cols > self.max_tiles:
            best = self._least_reduction(height, width)
            rows, cols = self._fewest(height, best), self._fewest(width, best)
        return Grid(rows=rows, cols=cols)

    def _least_reduction(self, height: int, width: int) -> float:
        """Return the largest scale of any grid; all are below 1."""
        best, most = 0.0, self.max_tiles
        for rows in range(1, most + 1):
            # With more rows the vertical scale grows, and the horizontal one falls.
            vertical, horizontal = self._scale(rows, height), self._scale(most // rows, width)
            if vertical >= horizontal:
                best = horizontal if horizontal > best else best
                break
            best = vertical
        # Rounding keeps the order, so that rounding the best is as good as comparing rounded ones.
        return float32(best) if self.single_precision else best

    def _fewest(self, side: int, scale: float) -> int:
        """Return the fewest tiles along a side that reach a scale."""
        count = int(scale * side / self.tile_px * (1 - 1e-6)) or 1
        while (reached := self._scale(count, side)) < scale:
            if self.single_precision and float32(reached) >= scale:
                break
            count += 1
        return count

    def _scale(self, count: int, side: int) -> float:
        return count * self.tile_px / side if side else math.inf
