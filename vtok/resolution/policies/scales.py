"""The grid whose canvas keeps most of the image, or has to enlarge or reduce it least.

In: the original's `Size`. Out: a `Grid`. Scales are compared in the precision of the published
rules, ties are decided by the order of the candidates.
"""

import math
import struct
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from vtok.records import Grid, Size


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
        scales_x, scales_y = self._scales(width), self._scales(height)
        cols, rows = bisect_left(scales_x, 1.0), bisect_left(scales_y, 1.0)
        most = self.max_tiles
        if rows * cols > most:
            best = 0.0
            for count in range(1, most + 1):
                scale_x, scale_y = scales_x[most // count], scales_y[count]
                scale = scale_x if scale_x < scale_y else scale_y
                if scale > best:
                    best = scale
            cols, rows = bisect_left(scales_x, best), bisect_left(scales_y, best)
        return Grid(rows=rows, cols=cols)

    def _scales(self, side: int) -> Sequence[float]:
        """Return the scale along one side for 0, 1, 2, ... tiles, ascending."""
        if side == 0:
            return [0.0] + [math.inf] * self.max_tiles
        tile = self.tile_px
        scales = [length / side for length in range(0, (self.max_tiles + 1) * tile, tile)]
        if not self.single_precision:
            return scales
        format_ = f"{len(scales)}f"
        return struct.unpack(format_, struct.pack(format_, *scales))
