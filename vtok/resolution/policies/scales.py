"""The grid whose canvas keeps most of the image, or has to enlarge or reduce it least.

In: the original's `Size`. Out: a `Grid`. Scales are compared in the precision of the published
rules, ties are decided by the order of the candidates.
"""

import math
import struct
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
