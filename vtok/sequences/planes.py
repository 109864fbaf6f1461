"""Indices of any of the four shapes as grids of cells, one after the other, and back.

In: an array of indices in the shape that its tokenizer gives. Out: its planes, each (h, w, G), in
the order in which a sequence has them; and the array again. Knows nothing of ids or orders.

    shape                            nesting    planes, in this order
    (h, w)                           either     one: (h, w, 1)
    (h, w, depth)                    cell       one: (h, w, depth)
                                     codebook   one a depth, coarse to fine: (h, w, 1) each
    (num_codebooks, L)               cell       one: (1, L, num_codebooks)
                                     codebook   one a codebook: (1, L, 1) each
    flat, the cells of each scale    either     one a scale, coarse to fine: (rows, cols, 1) each

Dimension letters: h w rows and columns, L positions, G indices that stay together.
"""

from itertools import accumulate
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vtok.codeshape import CodeShape

Nesting = Literal["cell", "codebook"]
"""cell: all indices of a cell, or position, come together. codebook: all cells of the first depth,
or codebook, come before those of the second."""

Ints = npt.NDArray[Any]
PlaneShape = tuple[int, int, int]


def num_codebooks(codes: CodeShape) -> int:
    """Return how many indices one cell, or position, has."""
    return codes.depth if codes.kind == "deep-grid" else codes.num_codebooks


def codebook_numbers(codes: CodeShape) -> Ints:
    """Return which index of its cell each one is; broadcasts to an array of this shape."""
    numbers = np.arange(num_codebooks(codes))
    return numbers[:, None] if codes.kind == "codebooks" else numbers


def plane_shapes(codes: CodeShape, nesting: Nesting, shape: tuple[int, ...]) -> list[PlaneShape]:
    """Return the shapes (h, w, G) of the planes of an array of this shape, which is of its kind."""
    if codes.kind == "scales":
        return [(each.rows, each.cols, 1) for each in codes.scales]
    rows, cols = (1, shape[1]) if codes.kind == "codebooks" else shape[:2]
    together = num_codebooks(codes)
    return [(rows, cols, together)] if nesting == "cell" else [(rows, cols, 1)] * together


def to_planes(indices: Ints, codes: CodeShape, nesting: Nesting) -> list[Ints]:
    """Return the planes (h, w, G) of indices, which are of the shape."""
    shapes = plane_shapes(codes, nesting, indices.shape)
    if codes.kind == "scales":
        ends = list(accumulate(rows * cols for rows, cols, _ in shapes))
        parts = np.split(indices, ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
    whole = (
        indices.T[None] if codes.kind == "codebooks" else indices.reshape(*indices.shape[:2], -1)
    )
    return np.split(whole, len(shapes), axis=2)  # (h, w, G) each


def from_planes(planes: list[Ints], codes: CodeShape) -> Ints:
    """Return the indices of planes (h, w, G): the inverse of `to_planes`."""
    if codes.kind == "scales":
        return np.concatenate([plane.reshape(-1) for plane in planes])
    whole: Ints = np.concatenate(planes, axis=2)  # (h, w, all indices of a cell)
    if codes.kind == "codebooks":
        return whole.reshape(-1, whole.shape[2]).T  # (num_codebooks, L)
    return whole if codes.kind == "deep-grid" else whole[:, :, 0]
