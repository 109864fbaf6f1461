"""Ovis2's grid: the fewest tiles that together see most of the image at full resolution.

In: the original's `Size`. Out: a `Grid`. Separate from `grids` because the measure is a sum over
tiles, where the order of additions matters for equality with the published rule.
"""

from dataclasses import dataclass
from functools import lru_cache

from vtok.records import Grid, Size
from vtok.resolution.policies.grids import grids_by_rows


@lru_cache(maxsize=64)
def _candidates(max_tiles: int) -> tuple[tuple[int, Grid], ...]:
    grids = sorted(grids_by_rows(max_tiles), key=lambda grid: (grid.num_cells, grid.rows))
    return tuple((grid.num_cells, grid) for grid in grids)


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
        chosen = self._fewest_sufficient(size) or self._best(size)
        return Grid(rows=chosen.cols, cols=chosen.rows) if self.swap else chosen

    def _fewest_sufficient(self, size: Size) -> Grid | None:
        """Return the best of the smallest grids above the threshold."""
        pixels = size.num_pixels
        # No tile covers more than its own area; the last bit is left to the exact sum.
        needed_cells = self.threshold * pixels / (self.tile_px * self.tile_px) * (1 - 1e-9)
        if needed_cells > self.max_tiles:
            return None
        found: Grid | None = None
        found_cells, found_share = self.max_tiles, self.threshold
        for num_cells, grid in _candidates(self.max_tiles):
            if num_cells > found_cells:
                break
            if num_cells >= needed_cells:
                share = self._covered(size, grid) / pixels
                if share > found_share:
                    found, found_cells, found_share = grid, num_cells, share
        return found

    def _best(self, size: Size) -> Grid:
        """Return the grid that covers most; of equals the smallest, then the first."""
        pixels = size.num_pixels
        share_of_cell = self.tile_px * self.tile_px / pixels * (1 + 1e-9)
        best, best_share = Grid(rows=1, cols=1), 0.0
        for num_cells, grid in reversed(_candidates(self.max_tiles)):
            bound = num_cells * share_of_cell
            if bound < best_share:
                break
            if bound * self._slenderness(size, grid) < best_share:
                continue
            share = self._covered(size, grid) / pixels
            if share >= best_share:
                best, best_share = grid, share
        return best

    def _slenderness(self, size: Size, grid: Grid) -> float:
        """Return what no cell's short side exceeds, as a share of its long side.

        That is also the largest share of its own area that a tile can cover. Two divisions tell
        most grids apart from the best one without adding up their cells.
        """
        rows, cols = grid.rows, grid.cols
        height, width = size.height // rows, size.width // cols
        if not (height and width):
            return 1.0
        return min(1.0, (height + rows) / width, (width + cols) / height)

    def _covered(self, size: Size, grid: Grid) -> float:
        """Return the covered pixels: cells of floor size, the last row and column larger."""
        rows, cols, area = grid.rows, grid.cols, self._area
        cell_height, cell_width = size.height // rows, size.width // cols
        last_height = size.height - cell_height * (rows - 1)
        last_width = size.width - cell_width * (cols - 1)
        cells: list[float] = []
        # The published rule adds cell by cell, row-major; so must this, to round alike.
        if rows > 1:
            row = [area(cell_width, cell_height)] * (cols - 1)
            cells = [*row, area(last_width, cell_height)] * (rows - 1)
        if cols > 1:
            cells += [area(cell_width, last_height)] * (cols - 1)
        cells.append(area(last_width, last_height))
        return sum(cells)

    def _area(self, width: int, height: int) -> float:
        long, short = (width, height) if width >= height else (height, width)
        if long > self.tile_px:
            return self.tile_px * (short / long * self.tile_px)
        return long * short
