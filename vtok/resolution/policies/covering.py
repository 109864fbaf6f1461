"""Ovis2's grid: the fewest tiles that together see most of the image at full resolution.

In: the original's `Size`. Out: a `Grid`. Separate from `grids` because the measure is a sum over
tiles, where the order of additions matters for equality with the published rule.
"""

from dataclasses import dataclass
from functools import lru_cache

from vtok.records import Grid, Size
from vtok.resolution.policies.grids import grids_by_rows


@lru_cache(maxsize=64)
def _candidates(max_tiles: int) -> tuple[Grid, ...]:
    return tuple(sorted(grids_by_rows(max_tiles), key=lambda grid: (grid.num_cells, grid.rows)))


@dataclass(frozen=True, slots=True)
class FewestCovering:
    """Of the grids that cover more than a share of the image, the smallest; else the best.

    A tile covers the area that is left of its cell once the cell's long side is reduced to the
    tile's side. Source: transformers `ovis2`, `get_min_tile_covering_grid`.

    The transformers processor measures a grid as rows x cols and then cuts cols x rows: a wide
    image is cut into more rows than columns. AIDC-AI's own code cuts what it measured. Both are
    here; the scheme follows the processor.

    Attributes:
        max_tiles: Most tiles.
        tile_px: Side of one tile.
        threshold: The share to be exceeded.
        swap: Whether the grid is turned after it was chosen, as the processor does.
    """

    max_tiles: int
    tile_px: int
    threshold: float = 0.9
    swap: bool = True

    def choose(self, size: Size) -> Grid:
        """Return the grid."""
        sufficient: Grid | None = None
        sufficient_share = 0.0
        best = Grid(rows=1, cols=1)
        best_share = -1.0
        for grid in _candidates(self.max_tiles):
            if sufficient is not None and grid.num_cells > sufficient.num_cells:
                break
            share = self._covered(size, grid) / size.num_pixels
            if share > self.threshold and share > sufficient_share:
                sufficient, sufficient_share = grid, share
            if share > best_share:
                best, best_share = grid, share
        chosen = sufficient or best
        return Grid(rows=chosen.cols, cols=chosen.rows) if self.swap else chosen

    def _covered(self, size: Size, grid: Grid) -> float:
        """Return the covered pixels: cells of floor size, the last row and column larger."""
        cell_height, cell_width = size.height // grid.rows, size.width // grid.cols
        last_height = size.height - cell_height * (grid.rows - 1)
        last_width = size.width - cell_width * (grid.cols - 1)
        row = [self._area(cell_width, cell_height)] * (grid.cols - 1)
        row.append(self._area(last_width, cell_height))
        last_row = [self._area(cell_width, last_height)] * (grid.cols - 1)
        last_row.append(self._area(last_width, last_height))
        return sum(row * (grid.rows - 1) + last_row)

    def _area(self, width: int, height: int) -> float:
        long, short = (width, height) if width >= height else (height, width)
        if long > self.tile_px:
            return self.tile_px * (short / long * self.tile_px)
        return long * short
