"""The order in which a grid of indices becomes a sequence, and back.

In: an array (h, w) or (h, w, ...). Out: (h * w, ...) in the order asked for, and the array again:
the two functions are exact inverses for every grid. Knows nothing of token ids.

Dimension letters: h w rows and columns of the grid, N = h * w cells.
"""

from functools import lru_cache
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from vtok.errors import UnknownNameError
from vtok.records import Grid

Order = Literal["row-major", "column-major", "snake", "zigzag", "hilbert"]
"""row-major: as one reads. column-major: columns from left to right. snake: as one reads, every
second row backwards. zigzag: anti-diagonals, as JPEG's coefficients. hilbert: along the Hilbert
curve of the smallest enclosing square whose side is a power of two; neighbours stay near."""

Scalar = TypeVar("Scalar", bound=np.generic)


def flatten(cells: npt.NDArray[Scalar], order: Order) -> npt.NDArray[Scalar]:
    """Return the cells (h, w, ...) as a sequence (h * w, ...).

    Raises:
        ValueError: fewer than two dimensions.
        UnknownNameError: no such order.
    """
    if cells.ndim < 2:
        raise ValueError(f"a grid has at least two dimensions, not {cells.ndim}")
    positions = order_positions(Grid(rows=cells.shape[0], cols=cells.shape[1]), order)
    return cells.reshape(-1, *cells.shape[2:])[positions]  # (h * w, ...)


def unflatten(sequence: npt.NDArray[Scalar], grid: Grid, order: Order) -> npt.NDArray[Scalar]:
    """Return the cells (h, w, ...) of a sequence (h * w, ...): the inverse of `flatten`.

    Raises:
        ValueError: the sequence's length is not that of the grid.
        UnknownNameError: no such order.
    """
    if len(sequence) != grid.num_cells:
        raise ValueError(f"{len(sequence)} cells do not fill a grid of {grid}")
    cells = np.empty_like(sequence)
    cells[order_positions(grid, order)] = sequence
    return cells.reshape(grid.rows, grid.cols, *sequence.shape[1:])  # (h, w, ...)


@lru_cache(maxsize=256)
def order_positions(grid: Grid, order: Order) -> npt.NDArray[np.int64]:
    """Return, (h * w,) and read-only, the row-major position of each cell in this order.

    Raises:
        UnknownNameError: no such order.
    """
    if order not in get_args(Order):
        raise UnknownNameError(f"no order {order!r}: one of {', '.join(get_args(Order))}")
    rows, cols = np.indices((grid.rows, grid.cols)).reshape(2, -1)  # (h * w,) each
    keys = _sort_keys(rows, cols, grid, order)
    positions = np.lexsort(keys[::-1]).astype(np.int64)  # lexsort's last key comes first
    positions.flags.writeable = False
    return positions


Ints = npt.NDArray[Any]


def _sort_keys(rows: Ints, cols: Ints, grid: Grid, order: Order) -> tuple[Ints, ...]:
    """Return what to sort the cells by, the most significant key first."""
    if order == "column-major":
        return cols, rows
    if order == "snake":
        return rows, np.where(rows % 2 == 0, cols, -cols)
    if order == "zigzag":
        diagonal = rows + cols
        return diagonal, np.where(diagonal % 2 == 0, -rows, rows)
    if order == "hilbert":
        return (_hilbert_distance(rows, cols, max(grid.rows, grid.cols)),)
    return rows, cols


def _hilbert_distance(rows: Ints, cols: Ints, side: int) -> Ints:
    """Return how far along the Hilbert curve each cell lies.

    The curve starts at row 0, column 0. The square is quartered in each round: the quarter that a
    cell lies in gives two more bits of its distance, and how the curve is turned inside (the
    construction of D. Hilbert, Math. Ann. 38, 1891).
    """
    y, x = rows.copy(), cols.copy()
    distance = np.zeros_like(x)
    half = 1 << max(0, (side - 1).bit_length() - 1)
    while half:
        right, below = (x & half) > 0, (y & half) > 0
        distance += half * half * ((3 * right) ^ below)
        mirrored = right & ~below
        x, y = np.where(mirrored, half - 1 - x, x), np.where(mirrored, half - 1 - y, y)
        x, y = np.where(below, x, y), np.where(below, y, x)
        x, y = x & (half - 1), y & (half - 1)
        half //= 2
    return distance
