"""The token sequence that stands for an image in a prompt: placeholders, separators, line breaks.

In: the original's size and its `Cut`. Out: segments of runs, from which every total is summed.
`features` holds the layouts whose length depends on the image's padding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

from vtok.records import Size
from vtok.resolution.parts import Run, RunKind, Segment
from vtok.resolution.policies.cutters import Cut


class Layout(Protocol):
    """Writes the token sequence."""

    def sequence(self, size: Size, cut: Cut) -> tuple[Segment, ...]:
        """Return the segments in reading order."""
        ...


class Mark(NamedTuple):
    """One token (or piece of text) between the vectors of the views.

    `{row}`, `{col}` and `{index}`, all from 1, are filled in where a mark stands at a tile.
    """

    token: str
    kind: RunKind = "separator"
    num_tokens: int = 1

    def run(self, row: int = 0, col: int = 0, index: int = 0) -> Run:
        """Return the mark as a run, its numbers filled in."""
        token = self.token
        if "{" in token:
            token = token.format(row=row, col=col, index=index)
        return Run(token, self.num_tokens, self.kind)


NEWLINE = Mark("\n", "text")


@dataclass(frozen=True, slots=True)
class Plain:
    """The views' vectors one after the other, between an optional opening and closing.

    Attributes:
        token: The image placeholder.
        opening: Before all.
        closing: After all.
    """

    token: str = "<image>"
    opening: tuple[Mark, ...] = ()
    closing: tuple[Mark, ...] = ()

    def sequence(self, size: Size, cut: Cut) -> tuple[Segment, ...]:
        """Return one segment."""
        runs = [mark.run() for mark in self.opening]
        token = self.token
        for index, view in enumerate(cut.views):
            runs.append(Run(token, view.num_tokens, "image", index))
        runs += [mark.run() for mark in self.closing]
        return (Segment(tuple(runs)),)


@dataclass(frozen=True, slots=True)
class Tiled:
    """Tiles row by row with marks around and between them, and the whole image before or after.

    A lone view is laid out as the whole image. The order is that of the views.

    Attributes:
        token: The image placeholder.
        opening: Before all.
        closing: After all.
        tile_before: Before every tile.
        tile_after: After every tile.
        between_cols: Between neighbours of a row.
        between_rows: Between rows.
        between_parts: Between the tiles and the whole image, whichever comes first.
        whole_before: Before the whole image.
        whole_after: After it.
    """

    token: str
    opening: tuple[Mark, ...] = ()
    closing: tuple[Mark, ...] = ()
    tile_before: tuple[Mark, ...] = ()
    tile_after: tuple[Mark, ...] = ()
    between_cols: tuple[Mark, ...] = ()
    between_rows: tuple[Mark, ...] = ()
    between_parts: tuple[Mark, ...] = ()
    whole_before: tuple[Mark, ...] = ()
    whole_after: tuple[Mark, ...] = ()

    def sequence(self, size: Size, cut: Cut) -> tuple[Segment, ...]:
        """Return one segment."""
        views, grid = cut.views, cut.grid
        if len(views) == 1 or grid is None:
            return _tiled(self, 0, 0, 0, -1, 0, views[0].num_tokens)
        num_tiles = grid.rows * grid.cols
        whole = -1 if num_tiles == len(views) else (0 if views[0].role != "tile" else num_tiles)
        first_tile = 1 if whole == 0 else 0
        return _tiled(
            self,
            grid.rows,
            grid.cols,
            views[first_tile].num_tokens,
            first_tile,
            whole,
            views[whole].num_tokens,
        )


@lru_cache(maxsize=8192)
def _tiled(
    layout: Tiled,
    rows: int,
    cols: int,
    tile_tokens: int,
    first_tile: int,
    whole: int,
    whole_tokens: int,
) -> tuple[Segment, ...]:
    runs = [mark.run() for mark in layout.opening]
    parts = []
    if rows:
        parts.append(list(_tile_runs(layout, rows, cols, tile_tokens, first_tile)))
    if whole >= 0:
        around = [mark.run() for mark in layout.whole_before]
        around.append(Run(layout.token, whole_tokens, "image", whole))
        around += [mark.run() for mark in layout.whole_after]
        parts.insert(0 if whole == 0 else len(parts), around)
    runs += parts[0]
    for part in parts[1:]:
        runs += [mark.run() for mark in layout.between_parts]
        runs += part
    runs += [mark.run() for mark in layout.closing]
    return (Segment(tuple(runs)),)


def _tile_runs(
    layout: Tiled, rows: int, cols: int, num_tokens: int, first_tile: int
) -> Iterator[Run]:
    for row in range(rows):
        if row:
            yield from (mark.run() for mark in layout.between_rows)
        for col in range(cols):
            if col:
                yield from (mark.run() for mark in layout.between_cols)
            index = row * cols + col
            numbers = (row + 1, col + 1, index + 1)
            yield from (mark.run(*numbers) for mark in layout.tile_before)
            yield Run(layout.token, num_tokens, "image", first_tile + index)
            yield from (mark.run(*numbers) for mark in layout.tile_after)


@dataclass(frozen=True, slots=True)
class Rows:
    """The token grid of one whole view row by row, each row closed by a mark.

    Attributes:
        token: The image placeholder.
        row_end: After every row.
        last_end: After the last row instead; None for the same.
        closing: After all.
    """

    token: str
    row_end: Mark
    last_end: Mark | None = None
    closing: tuple[Mark, ...] = ()

    def sequence(self, size: Size, cut: Cut) -> tuple[Segment, ...]:
        """Return a segment for all rows but the last, and one for the last."""
        grid = cut.views[0].token_grid
        assert grid is not None
        row = Run(self.token, grid.cols, "image", 0)
        last = Segment((row, (self.last_end or self.row_end).run(), *_runs(self.closing)))
        if grid.rows == 1:
            return (last,)
        return (Segment((row, self.row_end.run()), grid.rows - 1), last)


def _runs(marks: tuple[Mark, ...]) -> list[Run]:
    return [mark.run() for mark in marks]


@dataclass(frozen=True, slots=True)
class CrossAttended:
    """One token in the prompt; the vectors enter beside it, padded to a fixed number of tiles.

    Attributes:
        token: The token in the prompt.
        max_tiles: The number of tiles padded to.
    """

    token: str
    max_tiles: int

    def sequence(self, size: Size, cut: Cut) -> tuple[Segment, ...]:
        """Return the prompt's token and the vectors beside it."""
        runs = [Run(self.token, 1, "image")]
        runs += [
            Run("<vision>", view.num_tokens, "cross-attention", index)
            for index, view in enumerate(cut.views)
        ]
        missing = self.max_tiles - len(cut.views)
        if missing:
            runs.append(
                Run("<vision-padding>", missing * cut.views[0].num_tokens, "cross-attention")
            )
        return (Segment(tuple(runs)),)


@dataclass(frozen=True, slots=True)
class PanAndScanText:
    """Gemma 3's sequence: each view between two marks, with a sentence around the crops."""

    token: str = "<image_soft_token>"
    start: str = "<start_of_image>"
    end: str = "<end_of_image>"

    def sequence(self, size: Size, cut: Cut) -> tuple[Segment, ...]:
        """Return one segment."""
        return _pan_and_scan(self, len(cut.views), cut.views[0].num_tokens)


@lru_cache(maxsize=64)
def _pan_and_scan(layout: PanAndScanText, num_views: int, num_tokens: int) -> tuple[Segment, ...]:
    def view(index: int) -> tuple[Run, Run, Run]:
        vectors = Run(layout.token, num_tokens, "image", index)
        return Mark(layout.start).run(), vectors, Mark(layout.end).run()

    if num_views == 1:
        return (Segment((_text("\n\n"), *view(0), _text("\n\n"))),)
    runs = [_text("Here is the original image \n\n"), *view(0)]
    runs.append(_text("\n\n and here are some crops to help you see better \n\n"))
    for index in range(1, num_views):
        if index > 1:
            runs.append(_text("\n\n \n\n"))
        runs += view(index)
    runs.append(_text("\n\n"))
    return (Segment(tuple(runs)),)


def _text(text: str) -> Run:
    """Return text as a run: one token a word and one a paragraph break."""
    return Run(text, len(text.split()) + text.count("\n\n"), "text")
