"""From a size to canvases and views: one whole view, or a canvas cut into tiles.

In: the original's `Size`. Out: a `Cut`. A cutter knows nothing of token sequences or of names.
`crops` holds the cutters that crop the original instead of cutting a canvas.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal, NamedTuple, Protocol

from vtok.errors import DegenerateSizeError
from vtok.records import Grid, Size
from vtok.resolution.parts import Box, Canvas, Resample, View
from vtok.resolution.policies.fits import Fit
from vtok.resolution.policies.frames import Frame, identity
from vtok.resolution.policies.placements import Placer

MAX_TILES = 10_000


class Cut(NamedTuple):
    """What a cutter makes of a size: the plan without its tokens."""

    canvases: tuple[Canvas, ...]
    grid: Grid | None
    views: tuple[View, ...]


class Cutter(Protocol):
    """Turns a size into canvases and views; `single_view` says whether always into one view."""

    single_view: ClassVar[bool]

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
        num_tokens: Tokens whatever the size, for models that resample them; then the view has
            no token grid.
    """

    single_view: ClassVar[bool] = True

    frame: Frame
    cell_px: int = 1
    num_tokens: int | None = None

    def cut(self, size: Size) -> Cut:
        """Return the one view `whole`."""
        canvas, box = self.frame.lay(size)
        seen = canvas.size
        if (box.right - box.left, box.bottom - box.top) != (seen.width, seen.height):
            seen = box.size
        if self.num_tokens is None:
            grid = Grid(rows=seen.height // self.cell_px, cols=seen.width // self.cell_px)
            num_tokens = grid.rows * grid.cols
        else:
            grid, num_tokens = None, self.num_tokens
        view = View("whole", "whole", 0, box, seen, num_tokens, grid, canvas.resample)
        return Cut((canvas,), None, (view,))


@dataclass(frozen=True, slots=True)
class Overview:
    """The whole image as a view of its own.

    Attributes:
        order: Before or after the tiles.
        when: `always`, or only beside more than one tile (`tiled`).
        source: Resized from the `original`, from the filled `canvas`, or fitted anew into a
            square by `fit` (`fitted`).
        side_px: Side of the view.
        token_grid: Its tokens; None where they form no rectangle of the model's.
        resample: The filter.
        fit: The fit of a `fitted` overview.
    """

    order: Literal["first", "last"]
    when: Literal["always", "tiled"]
    source: Literal["original", "canvas", "fitted"]
    side_px: int
    token_grid: Grid
    resample: Resample = "bicubic"
    fit: Fit | None = None


@dataclass(frozen=True, slots=True)
class CanvasCutter:
    """A canvas cut into square tiles, row-major, with the whole image before or after them.

    Attributes:
        placer: Makes the grid and the canvas.
        token_grid: Tokens of one tile.
        overview: The thumbnail; None for none.
        class_token: Whether every tile has one vector more than its grid.
    """

    single_view: ClassVar[bool] = False

    placer: Placer
    token_grid: Grid
    overview: Overview | None = None
    class_token: bool = False

    def cut(self, size: Size) -> Cut:
        """Return the canvas's tiles and the overview in the scheme's order."""
        grid, canvas = self.placer.place(size)
        canvases: tuple[Canvas, ...] = () if canvas is None else (canvas,)
        tiles: tuple[View, ...] = ()
        if grid is not None:
            tiles = tile_views(
                grid,
                self.placer.tile_px,
                self.placer.tile_px,
                self.token_grid.num_cells + self.class_token,
                self.token_grid,
                overlap_px=self.placer.overlap_px,
            )
        overview = self.overview
        if overview is None or (overview.when == "tiled" and len(tiles) == 1):
            return Cut(canvases, grid, tiles)
        canvases, view = self._overview(overview, size, canvases)
        return Cut(canvases, grid, (view, *tiles) if overview.order == "first" else (*tiles, view))

    def _overview(
        self, overview: Overview, size: Size, canvases: tuple[Canvas, ...]
    ) -> tuple[tuple[Canvas, ...], View]:
        side = overview.side_px
        seen = Size(height=side, width=side)
        index = len(canvases)
        if overview.source == "canvas":
            index, source = 0, canvases[0].size
        elif overview.fit is not None:
            canvases, source = (*canvases, overview.fit.place(size, seen)), seen
        else:
            canvases, source = (*canvases, identity(size)), size
        tokens = overview.token_grid
        view = View(
            "thumbnail",
            "thumbnail",
            index,
            Box(0, 0, source.width, source.height),
            seen,
            tokens.rows * tokens.cols,
            tokens,
            overview.resample,
        )
        return canvases, view


@lru_cache(maxsize=8192)
def tile_views(
    grid: Grid,
    height_px: int,
    width_px: int,
    num_tokens: int,
    token_grid: Grid | None,
    *,
    overlap_px: int = 0,
    canvas: int = 0,
) -> tuple[View, ...]:
    """Return the views of a canvas that is cut into equal tiles, row-major.

    Args:
        grid: Rows and columns.
        height_px: Height of a tile.
        width_px: Width of a tile.
        num_tokens: Tokens of a tile.
        token_grid: Their rows and columns, if any.
        overlap_px: Pixels that neighbours share.
        canvas: Index of the canvas.

    Returns:
        `tile-000` and so on, without any resize after the cut.

    Raises:
        DegenerateSizeError: they are more than anything could encode; a header may claim any size.
    """
    if grid.num_cells > MAX_TILES:
        raise DegenerateSizeError(f"{grid} tiles: at most {MAX_TILES} can be cut")
    step_y, step_x = height_px - overlap_px, width_px - overlap_px
    size = Size(height=height_px, width=width_px)
    boxes = [
        Box(col * step_x, row * step_y, col * step_x + width_px, row * step_y + height_px)
        for row in range(grid.rows)
        for col in range(grid.cols)
    ]
    return tuple(
        View(name, "tile", canvas, box, size, num_tokens, token_grid)
        for name, box in zip(tile_names(grid.num_cells), boxes, strict=True)
    )


@lru_cache(maxsize=512)
def tile_names(count: int) -> tuple[str, ...]:
    """Return `tile-000`, `tile-001`, ... for so many tiles."""
    return tuple(f"tile-{index:03d}" for index in range(count))
