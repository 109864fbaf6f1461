"""Indices of an image ↔ token ids in a language model's vocabulary: an exact inverse pair.

In: a grid of indices, (h, w) integers in [0, K). Out: a sequence of ids: the indices in some
order, moved up by an offset, with ids that mark the begin, the end and the rows; and the grid
again, after every id has been checked. Knows nothing of models, shards or text.

Dimension letters: h w latent grid, K codebook size, L length of a sequence.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vtok.errors import ShardError, UsageError
from vtok.records import Grid
from vtok.sequences.order import Order, flatten, unflatten

RowPlacement = Literal["after", "between"]

_LARGEST_ID = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLayout:
    """How an image is spelt in a vocabulary.

    Attributes:
        codebook_size: K; the image's ids are [offset, offset + K).
        offset: Id of index 0.
        order: The order of the cells.
        begin: Id before the first cell, None for none.
        end: Id after all, None for none.
        row: Id that marks the rows, None for none; the order must go row by row then.
        row_placement: `after` every row, or only `between` rows (as Emu3 writes them).
    """

    codebook_size: int
    offset: int = 0
    order: Order = "row-major"
    begin: int | None = None
    end: int | None = None
    row: int | None = None
    row_placement: RowPlacement = "after"

    def __post_init__(self) -> None:
        if self.codebook_size < 1 or not 0 <= self.offset <= _LARGEST_ID - self.codebook_size:
            raise UsageError(
                f"{self.codebook_size} codes from id {self.offset} on are not a vocabulary"
            )
        special = [each for each in (self.begin, self.end, self.row) if each is not None]
        taken = range(self.offset, self.offset + self.codebook_size)
        for each in special:
            if each in taken or not 0 <= each <= _LARGEST_ID:
                raise UsageError(f"separator {each} is an index's id or no id at all")
        if self.row is not None and self.order not in ("row-major", "snake"):
            raise UsageError(f"rows cannot be marked in {self.order} order")
        if self.row is not None and self.row in (self.begin, self.end):
            raise UsageError(f"id {self.row} cannot mark rows and an end of the image too")

    def num_tokens(self, grid: Grid) -> int:
        """Return L, the length of the sequence of an image of this grid."""
        num_rows = grid.rows if self.row_placement == "after" else grid.rows - 1
        return (
            grid.num_cells
            + (num_rows if self.row is not None else 0)
            + (self.begin is not None)
            + (self.end is not None)
        )


def indices_to_ids(
    indices: npt.NDArray[np.integer[Any]], layout: TokenLayout
) -> npt.NDArray[np.int64]:
    """Return the ids (L,) int64 of indices (h, w).

    Raises:
        ValueError: the array is not (h, w) of integers.
        ShardError: an index is outside [0, K).
    """
    if indices.ndim != 2 or indices.dtype.kind not in "iu" or not indices.size:
        raise ValueError(f"expected (h, w) integers, not {indices.dtype} of {indices.shape}")
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= layout.codebook_size:
        bad = low if low < 0 else high
        raise ShardError(f"index {bad} is outside the codebook of {layout.codebook_size}")
    cells = flatten(indices, layout.order).astype(np.int64) + layout.offset  # (h * w,)
    if layout.row is not None:
        rows = cells.reshape(indices.shape)  # (h, w)
        marks = np.full((len(rows), 1), layout.row, np.int64)
        cells = np.concatenate([rows, marks], axis=1).reshape(-1)  # (h * (w + 1),)
        if layout.row_placement == "between":
            cells = cells[:-1]
    before = [] if layout.begin is None else [layout.begin]
    after = [] if layout.end is None else [layout.end]
    return np.concatenate([np.array(before, np.int64), cells, np.array(after, np.int64)])


def ids_to_indices(
    ids: npt.NDArray[np.integer[Any]], layout: TokenLayout, grid: Grid
) -> npt.NDArray[np.int64]:
    """Return the indices (h, w) int64 of ids (L,): the inverse of `indices_to_ids`.

    Raises:
        ValueError: not a sequence of integers, or not of the length that the grid needs.
        ShardError: a separator is missing or misplaced, or an id is not an index's.
    """
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or len(ids) != layout.num_tokens(grid):
        raise ValueError(
            f"a grid of {grid} needs {layout.num_tokens(grid)} ids, not {ids.dtype} of {ids.shape}"
        )
    cells = _strip(ids, layout)
    if layout.row is not None:
        if layout.row_placement == "between":
            cells = np.append(cells, layout.row)
        rows = cells.reshape(grid.rows, grid.cols + 1)  # (h, w + 1)
        if (rows[:, -1] != layout.row).any():
            raise ShardError(f"a row does not end in id {layout.row}")
        cells = rows[:, :-1].reshape(-1)  # (h * w,)
    outside = (cells < layout.offset) | (cells >= layout.offset + layout.codebook_size)
    if outside.any():
        raise ShardError(
            f"id {cells[outside][0]} is not one of the image's "
            f"[{layout.offset}, {layout.offset + layout.codebook_size})"
        )
    return unflatten(cells - layout.offset, grid, layout.order)


def grid_of_ids(ids: npt.NDArray[np.integer[Any]], layout: TokenLayout) -> Grid:
    """Return the grid of a sequence whose rows are marked.

    Raises:
        ValueError: the layout marks no rows.
        ShardError: the rows are not all of one length, or a separator is missing.
    """
    if layout.row is None:
        raise ValueError("without row marks, a sequence does not tell its grid")
    cells = _strip(ids, layout)
    ends = np.flatnonzero(cells == layout.row)
    if layout.row_placement == "between":
        ends = np.append(ends, len(cells))
    lengths = np.diff(ends, prepend=-1) - 1
    if not len(ends) or ends[-1] + (layout.row_placement == "after") != len(cells):
        raise ShardError(f"the last row does not end in id {layout.row}")
    if lengths[0] < 1 or (lengths != lengths[0]).any():
        raise ShardError(f"rows of different lengths: {sorted(set(lengths.tolist()))}")
    return Grid(rows=len(ends), cols=int(lengths[0]))


def _strip(ids: npt.NDArray[np.integer[Any]], layout: TokenLayout) -> npt.NDArray[np.int64]:
    """Return the ids without begin and end, which must be where they belong; int64."""
    left = ids.astype(np.int64)  # a narrow dtype could not even hold some of the ids it lacks
    if layout.begin is not None:
        if not len(left) or left[0] != layout.begin:
            raise ShardError(f"the sequence does not begin with id {layout.begin}")
        left = left[1:]
    if layout.end is not None:
        if not len(left) or left[-1] != layout.end:
            raise ShardError(f"the sequence does not end with id {layout.end}")
        left = left[:-1]
    return left
