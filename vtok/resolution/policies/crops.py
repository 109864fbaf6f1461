"""Cutters that crop the original's own pixels, or cut it into tiles of its own proportions.

In: the original's `Size`. Out: a `Cut`. Knows nothing of token sequences or of names.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from vtok.errors import DegenerateSizeError
from vtok.records import Grid, Size
from vtok.resolution.parts import Box, Resample, Role, View
from vtok.resolution.policies.aspects import ClosestAspect
from vtok.resolution.policies.cutters import Cut, tile_names, tile_views
from vtok.resolution.policies.frames import identity, squashed
from vtok.resolution.policies.grids import AreaThenLogAspect
from vtok.resolution.policies.native import HoldSides


@dataclass(frozen=True, slots=True)
class FloorCrops:
    """Tiles of floor size cropped from the original, each squashed to the tile's size.

    Up to rows - 1 (cols - 1) pixels at the bottom (right) are in no tile. The thumbnail comes
    last, whatever the grid.

    Attributes:
        grids: Chooses the grid.
        tile: Height and width of every view.
        token_grid: Tokens of every view.
        thumbnail: Whether the whole image, squashed to a tile, follows.
        overlap_px: Original pixels that neighbours share.
    """

    single_view: ClassVar[bool] = False

    grids: ClosestAspect
    tile: Size
    token_grid: Grid
    thumbnail: bool
    overlap_px: int = 0

    def cut(self, size: Size) -> Cut:
        """Return the tiles row-major, then the thumbnail."""
        grid = self.grids.choose(size)
        step_y, box_height = self._steps(size.height, grid.rows, size)
        step_x, box_width = self._steps(size.width, grid.cols, size)
        tile, tokens = self.tile, self.token_grid
        num_tokens = tokens.rows * tokens.cols
        names = iter(tile_names(grid.rows * grid.cols))
        views = [
            View(
                next(names),
                "tile",
                0,
                Box(left, top, left + box_width, top + box_height),
                tile,
                num_tokens,
                tokens,
            )
            for top in range(0, grid.rows * step_y, step_y)
            for left in range(0, grid.cols * step_x, step_x)
        ]
        if self.thumbnail:
            box = Box(0, 0, size.width, size.height)
            views.append(View("thumbnail", "thumbnail", 0, box, tile, num_tokens, tokens))
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


@dataclass(frozen=True, slots=True)
class Quarters:
    """The four quarters (remainders to the right and bottom), then the original.

    A quarter of no width is a blank view, as in the reference. Source: transformers `idefics2`
    with image splitting.
    """

    single_view: ClassVar[bool] = False

    sides: HoldSides
    num_tokens: int

    def cut(self, size: Size) -> Cut:
        """Return the quarters row-major and the original last."""
        across, down = size.width // 2, size.height // 2
        quarters = [
            Box(0, 0, across, down),
            Box(across, 0, size.width, down),
            Box(0, down, across, size.height),
            Box(across, down, size.width, size.height),
        ]
        views = [self._view(name, box) for name, box in zip(tile_names(4), quarters, strict=True)]
        views.append(self._view("thumbnail", Box(0, 0, size.width, size.height)))
        return Cut((identity(size),), Grid(rows=2, cols=2), tuple(views))

    def _view(self, name: str, box: Box) -> View:
        seen = self.sides.target(box.bottom - box.top, box.right - box.left)
        role: Role = "thumbnail" if name == "thumbnail" else "tile"
        return View(name, role, 0, box, seen, self.num_tokens, None, self.sides.resample)


@dataclass(frozen=True, slots=True)
class PanAndScan:
    """The original, then a few crops along its long side where it is long enough.

    Source: transformers `gemma3`.

    Attributes:
        side_px: Side of every view.
        token_grid: Tokens of every view.
        max_tiles: Most crops.
        min_crop_px: No crops at all where one would be smaller.
        min_ratio: No crops below this ratio of the sides.
    """

    single_view: ClassVar[bool] = False

    side_px: int
    token_grid: Grid
    max_tiles: int
    min_crop_px: int = 256
    min_ratio: float = 1.2
    resample: Resample = "bilinear"

    def cut(self, size: Size) -> Cut:
        """Return the original first, then the crops."""
        seen = Size(height=self.side_px, width=self.side_px)
        tokens = self.token_grid
        boxes = self._crops(size)
        names = ("thumbnail", *tile_names(len(boxes)))
        views = tuple(
            View(
                name,
                "tile" if index else "thumbnail",
                0,
                box,
                seen,
                tokens.rows * tokens.cols,
                tokens,
                self.resample,
            )
            for index, (name, box) in enumerate(
                zip(names, (Box(0, 0, size.width, size.height), *boxes), strict=True)
            )
        )
        grid = None
        if boxes:
            wide = size.width >= size.height
            grid = Grid(rows=1 if wide else len(boxes), cols=len(boxes) if wide else 1)
        return Cut((identity(size),), grid, views)

    def _crops(self, size: Size) -> list[Box]:
        wide = size.width >= size.height
        long, short = (size.width, size.height) if wide else (size.height, size.width)
        if long / short < self.min_ratio:
            return []
        count = min(math.floor(long / self.min_crop_px), math.floor(long / short + 0.5))
        count = min(self.max_tiles, max(2, count))
        step = math.ceil(long / count)
        if min(step, short) < self.min_crop_px:
            return []
        spans = [(start * step, min((start + 1) * step, long)) for start in range(count)]
        if wide:
            return [Box(start, 0, end, short) for start, end in spans]
        return [Box(0, start, short, end) for start, end in spans]


@dataclass(frozen=True, slots=True)
class Slices:
    """The whole image at about one slice's area, then slices of the image's own proportions.

    Source: OpenBMB/MiniCPM-V `slice_image`; transformers `minicpmv4_6`.

    Attributes:
        grids: Chooses the grid.
        side_px: Side of the square whose area a slice has.
        multiple_px: Sides of every view are multiples of this.
        cell_px: Pixels per token along one side; 0 where a resampler gives a fixed number.
        num_tokens: That fixed number.
    """

    single_view: ClassVar[bool] = False

    grids: AreaThenLogAspect
    side_px: int
    multiple_px: int
    cell_px: int = 0
    num_tokens: int = 64

    def cut(self, size: Size) -> Cut:
        """Return the whole image first, then the slices row-major."""
        grid = self.grids.choose(size)
        source = self._best(size.height, size.width, enlarge=grid is None)
        box = Box(0, 0, source.width, source.height)
        views = [View("thumbnail", "thumbnail", 0, box, source, *self._tokens(source))]
        canvases = [squashed(source)]
        if grid is not None:
            piece = self._best(
                _divisible(size.height, grid.rows) / grid.rows,
                _divisible(size.width, grid.cols) / grid.cols,
                enlarge=True,
            )
            canvases.append(
                squashed(Size(height=piece.height * grid.rows, width=piece.width * grid.cols))
            )
            num_tokens, tokens = self._tokens(piece)
            views += tile_views(grid, piece.height, piece.width, num_tokens, tokens, canvas=1)
        return Cut(tuple(canvases), grid, tuple(views))

    def _best(self, height: float, width: float, *, enlarge: bool) -> Size:
        if height * width > self.side_px * self.side_px or enlarge:
            aspect = width / height
            height = int(self.side_px / math.sqrt(aspect))
            width = int(height * aspect)
        return Size(
            height=_divisible(height, self.multiple_px), width=_divisible(width, self.multiple_px)
        )

    def _tokens(self, size: Size) -> tuple[int, Grid | None]:
        if not self.cell_px:
            return self.num_tokens, None
        tokens = Grid(rows=size.height // self.cell_px, cols=size.width // self.cell_px)
        return tokens.rows * tokens.cols, tokens


def _divisible(length: float, divisor: int) -> int:
    return max(round(length / divisor) * divisor, divisor)
