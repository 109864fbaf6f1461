"""Flattening orders: known small cases, neighbourhoods, and the inverse law."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtok.errors import UnknownNameError
from vtok.records import Grid
from vtok.sequences.order import Order, flatten, order_positions, unflatten

ORDERS = ["row-major", "column-major", "snake", "zigzag", "hilbert"]

# JPEG's zigzag of an 8x8 block, ITU-T T.81, figure A.6: position in the scan of every cell.
JPEG_ZIGZAG = np.array(
    [
        [0, 1, 5, 6, 14, 15, 27, 28],
        [2, 4, 7, 13, 16, 26, 29, 42],
        [3, 8, 12, 17, 25, 30, 41, 43],
        [9, 11, 18, 24, 31, 40, 44, 53],
        [10, 19, 23, 32, 39, 45, 52, 54],
        [20, 22, 33, 38, 46, 51, 55, 60],
        [21, 34, 37, 47, 50, 56, 59, 61],
        [35, 36, 48, 49, 57, 58, 62, 63],
    ]
)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("row-major", [0, 1, 2, 3, 4, 5]),
        ("column-major", [0, 3, 1, 4, 2, 5]),
        ("snake", [0, 1, 2, 5, 4, 3]),
        ("zigzag", [0, 1, 3, 4, 2, 5]),
    ],
)
def test_two_rows_of_three(order: Order, expected: list[int]) -> None:
    assert flatten(np.arange(6).reshape(2, 3), order).tolist() == expected


def test_zigzag_is_that_of_jpeg() -> None:
    assert np.array_equal(flatten(JPEG_ZIGZAG, "zigzag"), np.arange(64))


@pytest.mark.parametrize("side", [1, 2, 4, 8, 32])
def test_hilbert_only_ever_steps_to_a_neighbour(side: int) -> None:
    positions = order_positions(Grid(rows=side, cols=side), "hilbert")
    rows, cols = positions // side, positions % side
    steps = np.abs(np.diff(rows)) + np.abs(np.diff(cols))
    assert positions[0] == 0
    assert (steps == 1).all()


@given(
    rows=st.integers(1, 20),
    cols=st.integers(1, 20),
    depth=st.sampled_from([(), (3,)]),
    order=st.sampled_from(ORDERS),
)
def test_unflatten_undoes_flatten(
    rows: int, cols: int, depth: tuple[int, ...], order: Order
) -> None:
    cells = np.arange(rows * cols * int(np.prod(depth))).reshape(rows, cols, *depth)
    sequence = flatten(cells, order)
    assert sequence.shape == (rows * cols, *depth)
    assert np.array_equal(unflatten(sequence, Grid(rows=rows, cols=cols), order), cells)


def test_what_cannot_be_ordered_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="diagonal"):
        flatten(np.zeros((2, 2)), "diagonal")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="do not fill"):
        unflatten(np.zeros(5), Grid(rows=2, cols=3), "row-major")
    with pytest.raises(ValueError, match="two dimensions"):
        flatten(np.zeros(4), "row-major")
