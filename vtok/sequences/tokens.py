"""Indices of an image ↔ token ids in a language model's vocabulary: an exact inverse pair.

In: the indices of one view, integers in [0, K), in whichever of the four shapes its tokenizer
gives. Out: a sequence of ids: the indices in some order, moved up by an offset, with ids that mark
the begin, the end and the rows; and the array again, after every id has been checked. Knows
nothing of models, shards or text.

What comes after what is said in `vtok.sequences.planes`: the planes of a shape follow each other;
in each, cells follow each other in the layout's order, and a cell's own indices stay together.

Dimension letters: h w latent grid, K codebook size, G indices of one cell, L length of a sequence.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vtok.codeshape import CodeShape
from vtok.errors import ShardError, UsageError
from vtok.quantities import counted
from vtok.records import Grid
from vtok.sequences.order import Order, flatten, unflatten
from vtok.sequences.planes import (
    Nesting,
    PlaneShape,
    codebook_numbers,
    from_planes,
    num_codebooks,
    plane_shapes,
    to_planes,
)

RowPlacement = Literal["after", "between"]
Vocabularies = Literal["shared", "separate"]

_LARGEST_ID = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLayout:
    """How an image is spelt in a vocabulary.

    Attributes:
        codebook_size: K; the image's ids are [offset, offset + K), or as many times K as a cell has
            indices where the vocabularies are separate.
        codes: The shape of one view's indices, as the shard's header has it.
        offset: Id of index 0.
        order: The order of the cells of a plane.
        nesting: Whether the indices of a `cell` come together, or those of a depth or `codebook`.
        vocabularies: Whether all indices of a cell `shared` the same K ids, or each has `separate`
            ones: its own K after those of the one before.
        begin: Id before the first cell, None for none.
        end: Id after all, None for none.
        row: Id that marks the rows of every plane, None for none; the order must go row by row
            then, and the cells have places.
        row_placement: `after` every row, or only `between` rows (as Emu3 writes them).
    """

    codebook_size: int
    codes: CodeShape = field(default_factory=CodeShape)
    offset: int = 0
    order: Order = "row-major"
    nesting: Nesting = "cell"
    vocabularies: Vocabularies = "shared"
    begin: int | None = None
    end: int | None = None
    row: int | None = None
    row_placement: RowPlacement = "after"

    def __post_init__(self) -> None:
        if self.codebook_size < 1 or not 0 <= self.offset <= _LARGEST_ID - self.num_ids:
            codes = counted(self.num_ids, "code")
            raise UsageError(f"no vocabulary has {codes} from id {self.offset} on")
        special = [each for each in (self.begin, self.end, self.row) if each is not None]
        taken = range(self.offset, self.offset + self.num_ids)
        for each in special:
            if each in taken or not 0 <= each <= _LARGEST_ID:
                raise UsageError(f"separator {each} is an index's id or no id at all")
        if self.row is not None and self.order not in ("row-major", "snake"):
            raise UsageError(f"rows cannot be marked in {self.order} order")
        if self.row is not None and self.row in (self.begin, self.end):
            raise UsageError(f"id {self.row} cannot mark rows and an end of the image too")
        if self.codes.kind == "codebooks" and (self.row is not None or self.order != "row-major"):
            raise UsageError(
                f"indices {self.codes} are a sequence: they have no rows and one order"
            )

    @property
    def num_ids(self) -> int:
        """Ids that indices can have."""
        shared = self.vocabularies == "shared"
        return self.codebook_size * (1 if shared else num_codebooks(self.codes))

    def num_tokens(self, grid: Grid | None = None) -> int:
        """Return L, the length of the sequence of an image of this latent grid.

        Args:
            grid: May be left out where all images have as many indices.

        Raises:
            ValueError: it is needed, or the indices' scales end in another one.
        """
        ends = (self.begin is not None) + (self.end is not None)
        return ends + sum(self._plane_tokens(each) for each in self._planes(grid))

    def _shape(self, grid: Grid | None) -> tuple[int, ...]:
        """Return the shape of the indices."""
        if grid is None:
            if self.codes.scales:
                grid = self.codes.scales[-1]
            elif self.codes.length is None:
                raise ValueError(f"indices {self.codes} are as many as their grid says: give it")
            else:
                grid = Grid(rows=1, cols=self.codes.length)
        return self.codes.shape_of(grid)

    def _planes(self, grid: Grid | None) -> list[PlaneShape]:
        return plane_shapes(self.codes, self.nesting, self._shape(grid))

    def _plane_tokens(self, shape: PlaneShape) -> int:
        rows, cols, together = shape
        marks = rows if self.row_placement == "after" else rows - 1
        return rows * cols * together + (marks if self.row is not None else 0)


def indices_to_ids(
    indices: npt.NDArray[np.integer[Any]], layout: TokenLayout
) -> npt.NDArray[np.int64]:
    """Return the ids (L,) int64 of the indices of one view, in the shape of the layout's `codes`.

    Raises:
        ValueError: the array is not of that shape, or not of integers.
        ShardError: an index is outside [0, K).
    """
    problem = layout.codes.problem(indices.shape)
    if problem or indices.dtype.kind not in "iu":
        raise ValueError(f"expected {layout.codes} integers, not {indices.dtype} {indices.shape}")
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= layout.codebook_size:
        bad = low if low < 0 else high
        raise ShardError(f"index {bad} is outside the codebook of {layout.codebook_size}")
    ids = indices.astype(np.int64) + layout.offset
    if layout.vocabularies == "separate":
        ids += codebook_numbers(layout.codes) * layout.codebook_size
    planes = to_planes(ids, layout.codes, layout.nesting)
    before = [] if layout.begin is None else [layout.begin]
    after = [] if layout.end is None else [layout.end]
    spelt = [_spell(plane, layout) for plane in planes]
    return np.concatenate([np.array(before, np.int64), *spelt, np.array(after, np.int64)])


def ids_to_indices(
    ids: npt.NDArray[np.integer[Any]], layout: TokenLayout, grid: Grid | None = None
) -> npt.NDArray[np.int64]:
    """Return the indices int64 of ids (L,): the inverse of `indices_to_ids`.

    Args:
        ids: The whole sequence of one view.
        layout: How it was spelt.
        grid: The latent grid; may be left out where all images have as many indices.

    Raises:
        ValueError: not a sequence of integers, or not of the length that the grid needs.
        ShardError: a separator is missing or misplaced, or an id is not an index's.
    """
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or len(ids) != layout.num_tokens(grid):
        what = f"a grid of {grid}" if grid else f"indices {layout.codes}"
        raise ValueError(
            f"{what} needs {layout.num_tokens(grid)} ids, not {ids.dtype} of {ids.shape}"
        )
    left = _strip(ids, layout)
    planes = []
    for shape in layout._planes(grid):
        length = layout._plane_tokens(shape)
        planes.append(_read(left[:length], shape, layout))
        left = left[length:]
    found = from_planes(planes, layout.codes)
    first = np.full(found.shape, layout.offset, np.int64)
    if layout.vocabularies == "separate":
        first += codebook_numbers(layout.codes) * layout.codebook_size
    outside = (found < first) | (found >= first + layout.codebook_size)
    if outside.any():
        wrong, low = found[outside][0], first[outside][0]
        raise ShardError(
            f"id {wrong} is not one of the image's [{low}, {low + layout.codebook_size})"
        )
    return found - first


def _spell(plane: npt.NDArray[np.int64], layout: TokenLayout) -> npt.NDArray[np.int64]:
    """Return the ids of one plane (h, w, G), rows marked."""
    cells = flatten(plane, layout.order)  # (h * w, G)
    if layout.row is None:
        return cells.reshape(-1)
    rows = cells.reshape(len(plane), -1)  # (h, w * G)
    marks = np.full((len(rows), 1), layout.row, np.int64)
    marked = np.concatenate([rows, marks], axis=1).reshape(-1)  # (h * (w * G + 1),)
    return marked[:-1] if layout.row_placement == "between" else marked


def _read(
    ids: npt.NDArray[np.int64], shape: PlaneShape, layout: TokenLayout
) -> npt.NDArray[np.int64]:
    """Return the ids (h, w, G) of one plane, marks taken off."""
    rows, cols, together = shape
    if layout.row is not None:
        if layout.row_placement == "between":
            ids = np.append(ids, layout.row)
        marked = ids.reshape(rows, -1)  # (h, w * G + 1)
        if (marked[:, -1] != layout.row).any():
            raise ShardError(f"a row does not end in id {layout.row}")
        ids = marked[:, :-1]
    cells = ids.reshape(-1, together)  # (h * w, G)
    return unflatten(cells, Grid(rows=rows, cols=cols), layout.order)


def grid_of_ids(ids: npt.NDArray[np.integer[Any]], layout: TokenLayout) -> Grid:
    """Return the grid of a sequence whose rows are marked.

    Raises:
        ValueError: the layout marks no rows, or has more than one plane.
        ShardError: the rows are not all of one length, or a separator is missing.
    """
    together = num_codebooks(layout.codes)
    is_one_plane = not layout.codes.scales and (layout.nesting == "cell" or together == 1)
    if layout.row is None or not is_one_plane:
        raise ValueError("without row marks in one plane, a sequence does not tell its grid")
    cells = _strip(ids, layout)
    ends = np.flatnonzero(cells == layout.row)
    if layout.row_placement == "between":
        ends = np.append(ends, len(cells))
    lengths = np.diff(ends, prepend=-1) - 1
    if not len(ends) or ends[-1] + (layout.row_placement == "after") != len(cells):
        raise ShardError(f"the last row does not end in id {layout.row}")
    if lengths[0] < 1 or (lengths != lengths[0]).any():
        raise ShardError(f"rows of different lengths: {sorted(set(lengths.tolist()))}")
    if lengths[0] % together:
        raise ShardError(f"rows of {lengths[0]} ids are no cells of {together} each")
    return Grid(rows=len(ends), cols=int(lengths[0]) // together)


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
