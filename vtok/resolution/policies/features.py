"""Layouts of models that rearrange a view's vectors: line breaks added, padding taken out.

In: the original's size and its `Cut`. Out: segments of runs. All of these stand in the prompt as
the same placeholder, so every run is of kind `image`; which vectors they are is told by the parts.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from vtok.records import Grid, Size
from vtok.resolution.parts import Run, Segment
from vtok.resolution.policies.cutters import Cut
from vtok.resolution.policies.layouts import Mark


@lru_cache(maxsize=16384)
def rows_of(token: str, grid: Grid, row_end: str, view: int | None = None) -> Segment:
    """Return a segment of a grid's rows, each closed by a vector of its own."""
    return Segment((Run(token, grid.cols, "image", view), Run(row_end, 1, "image")), grid.rows)


@dataclass(frozen=True, slots=True)
class Unpadded:
    """The overview, then the tiles' joint grid without its padding, a newline vector per row.

    Which rows or columns are padding is worked out from the ratios, rounded to 7 places.
    Sources: transformers `llava_next`, `llava_onevision`; the upper limit is `anyres_max_9`.

    Attributes:
        token: The image placeholder.
        max_tiles: Grids of more than 1.21 times the tokens of so many tiles are shrunk by
            bilinear interpolation; None for no limit.
    """

    token: str = "<image>"
    max_tiles: int | None = None

    def sequence(self, size: Size, cut: Cut) -> tuple[Segment, ...]:
        """Return the overview's run and the rows."""
        grid, tokens = cut.grid, cut.views[0].token_grid
        assert grid is not None
        assert tokens is not None
        rows, cols = self._unpadded(size, grid.rows * tokens.rows, grid.cols * tokens.cols)
        if self.max_tiles is not None:
            ratio = math.sqrt(rows * cols / (self.max_tiles * tokens.rows**2))
            if ratio > 1.1:
                rows, cols = int(rows // ratio), int(cols // ratio)
        overview = Segment((Run(self.token, cut.views[0].num_tokens, "image", 0),))
        newline = Run(self.token, 1, "image")
        return (overview, Segment((Run(self.token, cols, "image"), newline), rows))

    def _unpadded(self, size: Size, rows: int, cols: int) -> tuple[int, int]:
        if size.width / size.height > cols / rows:
            kept = int(round(size.height * (cols / size.width), 7))
            rows -= (rows - kept) // 2 * 2
        else:
            kept = int(round(size.width * (rows / size.height), 7))
            cols -= (cols - kept) // 2 * 2
        return rows, cols


@dataclass(frozen=True, slots=True)
class JointRows:
    """Overview and tiles as token grids with a newline vector a row, a separator between them.

    The tiles form one joint grid. Sources: DeepSeek-VL2 `tokenize_with_images`; Phi-3.5-vision
    `hd_feature_transform`, where the tiles come first.

    Attributes:
        token: The image placeholder.
    """

    token: str = "<image>"

    def sequence(self, size: Size, cut: Cut) -> tuple[Segment, ...]:
        """Return the parts in the order of the views."""
        overview_first = cut.views[0].role != "tile"
        overview = cut.views[0 if overview_first else -1]
        tile = cut.views[-1 if overview_first else 0]
        assert cut.grid is not None
        assert overview.token_grid is not None
        assert tile.token_grid is not None
        joint = Grid(
            rows=cut.grid.rows * tile.token_grid.rows, cols=cut.grid.cols * tile.token_grid.cols
        )
        index = 0 if overview_first else len(cut.views) - 1
        whole = rows_of(self.token, overview.token_grid, self.token, index)
        tiles = rows_of(self.token, joint, self.token)
        separator = Segment((Run(self.token, 1, "image"),))
        return (whole, separator, tiles) if overview_first else (tiles, separator, whole)


@dataclass(frozen=True, slots=True)
class MaskedRows:
    """Phi-4's order: the tiles' joint grid without padded cells, a separator, the overview.

    A cell is two patches wide and high and counts when its first patch holds any of the image.
    Source: transformers `phi4_multimodal`.

    Attributes:
        patch_px: Side of a patch.
        token: The image placeholder.
    """

    patch_px: int
    token: str = "<|endoftext10|>"

    def sequence(self, size: Size, cut: Cut) -> tuple[Segment, ...]:
        """Return the valid rows, the separator and the overview's rows."""
        canvas = cut.canvases[0]
        rows = self._valid(canvas.size.height, canvas.content.bottom)
        cols = self._valid(canvas.size.width, canvas.content.right)
        tokens = cut.views[0].token_grid
        assert tokens is not None
        return (
            rows_of(self.token, Grid(rows=rows, cols=cols), self.token),
            Segment((Run(self.token, 1, "image"),)),
            rows_of(self.token, tokens, self.token, 0),
        )

    def _valid(self, side: int, content: int) -> int:
        patches = side // self.patch_px - (side - content) // self.patch_px
        return math.ceil(patches / 2)


class _Part(NamedTuple):
    opening: str
    grid: Grid
    view: int | None


@dataclass(frozen=True, slots=True)
class PooledRows:
    """Molmo's order: the overview's pooled rows, then those of the overlapping tiles' canvas.

    Every row ends with a column token; each part stands between its own marks.

    Attributes:
        pool_px: Pixels per token along one side (a pooled group of patches).
        overview_start: Opens the overview.
        token: The image placeholder.
    """

    pool_px: int
    overview_start: str
    token: str = "<im_patch>"
    start: str = "<im_start>"
    end: str = "<im_end>"
    row_end: str = "<im_col>"

    def sequence(self, size: Size, cut: Cut) -> tuple[Segment, ...]:
        """Return both parts."""
        overview = cut.views[0].token_grid
        assert overview is not None
        full = cut.canvases[0].size
        return _pooled(
            self, overview, -(-full.height // self.pool_px), -(-full.width // self.pool_px)
        )


@lru_cache(maxsize=4096)
def _pooled(layout: PooledRows, overview: Grid, rows: int, cols: int) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    joint = Grid(rows=rows, cols=cols)
    for part in (_Part(layout.overview_start, overview, 0), _Part(layout.start, joint, None)):
        row = Run(layout.token, part.grid.cols, "image", part.view)
        segments += (
            Segment((Mark(part.opening).run(),)),
            Segment((row, Mark(layout.row_end).run()), part.grid.rows),
            Segment((Mark(layout.end).run(),)),
        )
    return tuple(segments)


@dataclass(frozen=True, slots=True)
class Priced:
    """A provider's bill: a base and a price a view, as one figure each.

    Attributes:
        base: Tokens of every image.
    """

    base: int

    def sequence(self, size: Size, cut: Cut) -> tuple[Segment, ...]:
        """Return the base and the views' tokens."""
        runs = [Run("<base>", self.base, "image")] if self.base else []
        runs += [
            Run("<tile>", view.num_tokens, "image", index) for index, view in enumerate(cut.views)
        ]
        return (Segment(tuple(runs)),)
