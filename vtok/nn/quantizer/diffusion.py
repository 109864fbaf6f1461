"""Codes chosen together: each makes up for what its neighbours' codes left over.

In: a grid of latents (B, h, w, D) and the quantizer that knows the codes. Out: indices (B, h, w).
A decoder looks at several codes for every pixel, so the nearest code of each latent by itself is
not the best of choices: what a neighbour's code lacks, this one can bring. Printers have done so
with grey values since 1976; here a matrix a neighbour takes the place of a weight.

The error of an image is, near the latents, a quadratic form of the errors e of all codes; the one
code that is best while the others stay is about the one nearest to the latent plus a linear map of
the eight neighbours' errors (exactly so where a cell's own errors count alike in all directions).
The cells form four quarters, by odd and even rows and columns: those of one quarter are no
neighbours, so that a quarter is chosen at once, and a sweep over the four is one search of the
codebook for every cell. The quarters' order makes the result a function of the image alone,
whatever else is in the batch; sums are fp64, so that a device's order of adding decides nothing.

Source: Floyd and Steinberg, An adaptive algorithm for spatial greyscale, Proc. SID 17(2), 1976
(the principle); Besag, On the statistical analysis of dirty pictures, JRSS B 48(3), 1986 (choosing
coded sets of cells at once, by turns).

Dimension letters: B images, h w cells, D code channels.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vtok.nn.quantizer.vector import VectorQuantizer

NEIGHBOURS = tuple((row, col) for row in (-1, 0, 1) for col in (-1, 0, 1) if (row, col) != (0, 0))
"""Offsets of the neighbours of a cell, in the order of the filter's rows."""

PERIOD_CELLS = 2
"""A part of a grid has the whole's quarters only if it begins at a multiple of so many cells."""

_QUARTERS = tuple((row, col) for row in (0, 1) for col in (0, 1))


class Choice(NamedTuple):
    """Codes chosen together.

    Attributes:
        indices: (B, h, w) int64.
        targets: (B, h, w, D) fp32: what each chosen code is the nearest one to.
    """

    indices: Tensor
    targets: Tensor


class ErrorDiffusion(nn.Module):
    """The choice of codes with regard to the neighbours' errors.

    Args:
        code_dim: Length of one code (D).
        num_sweeps: Rounds over the grid, at least 1; each costs one search a cell. The first one
            starts as if no code had an error.

    Attributes:
        error_filter: (8 D, D) buffer, zero at first, which chooses each latent's nearest code: the
            neighbours' errors side by side, times this, are added to a latent before its search.
    """

    error_filter: Tensor

    def __init__(self, code_dim: int, num_sweeps: int) -> None:
        super().__init__()
        if num_sweeps < 1:
            raise ValueError(f"num_sweeps must be at least 1, not {num_sweeps}")
        self.num_sweeps = num_sweeps
        self.register_buffer("error_filter", torch.zeros(len(NEIGHBOURS) * code_dim, code_dim))

    @property
    def reach_cells(self) -> int:
        """How far from a cell a latent can lie that its index depends on.

        The first quarter of the first sweep sees its own latent; each quarter after it sees one
        cell farther than the one before.
        """
        return len(_QUARTERS) * self.num_sweeps - 1

    @torch.no_grad()
    def choose(self, latents: Tensor, quantizer: VectorQuantizer) -> Choice:
        """Return the codes of a grid.

        Args:
            latents: (B, h, w, D) float; compared as fp32.
            quantizer: Of the Euclidean metric: errors of directions do not add up.

        Raises:
            NonFiniteError: a latent is NaN or infinite.
            WeightsError: the codebook is.
        """
        if quantizer.metric != "l2":
            raise ValueError(f"errors are diffused under l2, not {quantizer.metric}")
        latents = latents.detach().float()
        num_images, height, width, dim = latents.shape
        exact_filter = self.error_filter.double()
        # One cell of no error around the grid, where its border cells have no neighbours.
        errors = latents.new_zeros((num_images, height + 2, width + 2, dim), dtype=torch.float64)
        indices = latents.new_zeros((num_images, height, width), dtype=torch.int64)
        targets = torch.empty_like(latents)
        for _ in range(self.num_sweeps):
            for row, col in _QUARTERS:
                cells = (slice(None), slice(row, None, 2), slice(col, None, 2))
                own = latents[cells]
                around = neighbours_errors(errors, (row, col), own.shape[1:3], stride=2)
                aim = (own.double() + around @ exact_filter).float()
                targets[cells] = aim
                indices[cells] = chosen = quantizer.quantize(aim)
                left = own.double() - quantizer.lookup(chosen).double()
                errors[:, 1 + row : 1 + height : 2, 1 + col : 1 + width : 2] = left
        return Choice(indices, targets)


def neighbours_errors(
    padded: Tensor, first: tuple[int, int], shape: tuple[int, ...], *, stride: int = 1
) -> Tensor:
    """Return the errors of the eight neighbours of some cells side by side, (B, rows, cols, 8 D).

    Args:
        padded: (B, h + 2, w + 2, D) errors, with a border of one cell.
        first: Row and column of the first of the cells, without the border.
        shape: Rows and columns of cells.
        stride: From one of these cells to the next, along both axes.
    """
    sides = []
    for offsets in NEIGHBOURS:
        rows, cols = (
            slice(begin + 1 + offset, begin + 1 + offset + stride * number, stride)
            for begin, offset, number in zip(first, offsets, shape, strict=True)
        )
        sides.append(padded[:, rows, cols][:, : shape[0], : shape[1]])
    return torch.cat(sides, dim=-1)
