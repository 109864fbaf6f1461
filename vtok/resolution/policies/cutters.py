"""From a size to canvases and views: one whole view, cropped tiles, or a canvas cut.

In: the original's `Size`. Out: a `Cut`. A cutter knows nothing of token sequences or of names.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

from vtok.errors import DegenerateSizeError
from vtok.records import Grid, Size
from vtok.resolution.plan import Box, Canvas, Resample, View
from vtok.resolution.policies.frames import Frame, identity
from vtok.resolution.policies.grids import GridPolicy


class Cut(NamedTuple):
    """What a cutter makes of a size: the plan without its tokens."""

    canvases: tuple[Canvas, ...]
    grid: Grid | None
    views: tuple[View, ...]


class Cutter(Protocol):
    """Turns a size into canvases and views."""

    def cut(self, size: Size) -> Cut:
        """Return the canvases, the grid and the views in the scheme's order.

        Raises:
            DegenerateSizeError: the rule has no answer for this size.
        """
        ...


@dataclass(frozen=True, slots=True)
class WholeCutter:
    """One view: the image on a frame.

    Attributes:
        frame: How the image is laid out.
        cell_px: Pixels per token along one side, patch merging included.
    """

    frame: Frame
    cell_px: int

    def cut(self, size: Size) -> Cut:
        """Return the one view `whole`."""
        canvas, box = self.frame.lay(size)
        view_size = (
            canvas.size if box == (0, 0, canvas.size.width, canvas.size.height) else box.size
        )
        grid = Grid(rows=view_size.height // self.cell_px, cols=view_size.width // self.cell_px)
        view = View("whole", "whole", 0, box, view_size, grid.num_cells, grid, canvas.resample)
        return Cut((canvas,), None, (view,))


@dataclass(frozen=True, slots=True)
class CropCutter:
    """Tiles cropped from the original's own pixels, each squashed to the tile's size.

    Sides are divided by floor: up to rows - 1 (cols - 1) pixels at the bottom (right) are in no
    tile. The thumbnail comes last, whatever the grid.

    Attributes:
        grids: Chooses the grid.
        tile: Height and width of every view.
        tile_tokens: Token grid of every view.
        thumbnail: Whether the whole image, squashed to a tile, follows.
        overlap_px: Original pixels that neighbours share.
    """

    grids: GridPolicy
    tile: Size
    tile_tokens: Grid
    thumbnail: bool
    overlap_px: int = 0
    resample: Resample = "bicubic"

    def cut(self, size: Size) -> Cut:
        """Return the tiles row-major, then the thumbnail."""
        grid = self.grids.choose(size)
        step_y, box_height = self._steps(size.height, grid.rows, size)
        step_x, box_width = self._steps(size.width, grid.cols, size)
        num_tokens = self.tile_tokens.num_cells
        boxes = [
            Box(x * step_x, y * step_y, x * step_x + box_width, y * step_y + box_height)
            for y in range(grid.rows)
            for x in range(grid.cols)
        ]
        views = [
            View(name, "tile", 0, box, self.tile, num_tokens, self.tile_tokens, self.resample)
            for name, box in zip(tile_names(len(boxes)), boxes, strict=True)
        ]
        if self.thumbnail:
            whole = Box(0, 0, size.width, size.height)
            views.append(
                View(
                    "thumbnail",
                    "thumbnail",
                    0,
                    whole,
                    self.tile,
                    num_tokens,
                    self.tile_tokens,
                    self.resample,
                )
            )
        return Cut((identity(size),), grid, tuple(views))

    def _steps(self, side: int, count: int, size: Size) -> tuple[int, int]:
        overlap = self.overlap_px if count > 1 else 0
        step = (side - overlap) // count
        if step < 1:
            raise DegenerateSizeError(
                f"a {size} image cannot be cut into {count} parts of at least one pixel"
                + (f" beside an overlap of {overlap}" if overlap else "")
            )
        return step, step + overlap


@lru_cache(maxsize=512)
def tile_names(count: int) -> tuple[str, ...]:
    """Return `tile-000`, `tile-001`, ... for so many tiles."""
    return tuple(f"tile-{index:03d}" for index in range(count))
