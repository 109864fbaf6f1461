"""Two-dimensional rotary positions: a row turns the first half of a head, a column the second.

In: row and column numbers of the tokens, then queries or keys. Out: the same queries or keys,
turned, so that the score of two tokens depends on their offset (rows apart, columns apart) and on
nothing else. There is no table, hence no largest grid. Knows nothing of attention or images.

Dimension letters: B batch, N tokens, C channels of one head, Q = C/4 frequencies of one axis.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vtok.records import Grid


class Rotation(NamedTuple):
    """Cosines and sines of every token's angles, computed once and shared by all layers.

    Attributes:
        cos: (N, 2, Q) fp32, or (B, N, 2, Q) where the images of a batch differ; axis 0 is the row.
        sin: Of the same shape.
    """

    cos: Tensor
    sin: Tensor


def grid_positions(grid: Grid, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Return the row and the column number, (N,) int64 each, of a grid's cells, row-major."""
    rows = torch.arange(grid.rows, device=device).repeat_interleave(grid.cols)  # (N,)
    cols = torch.arange(grid.cols, device=device).repeat(grid.rows)  # (N,)
    return rows, cols


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn queries or keys by their tokens' angles.

    Args:
        x: (B, heads, N, C); each half of C holds its pairs as (i, i + C/4).
        rotation: Angles of the N tokens, from `RotaryPosition2d`.

    Returns:
        Of x's shape and dtype; the arithmetic is fp32, since bf16 cannot tell angles apart.
    """
    quarter = rotation.cos.shape[-1]
    cos = rotation.cos.unsqueeze(-4)  # (1, N, 2, Q) or (B, 1, N, 2, Q)
    sin = rotation.sin.unsqueeze(-4)
    first, second = x.reshape(*x.shape[:-1], 2, 2, quarter).unbind(-2)  # each (B, heads, N, 2, Q)
    turned = torch.stack((first * cos - second * sin, second * cos + first * sin), dim=-2)
    return turned.flatten(-3).to(x.dtype)  # (B, heads, N, C)


@dataclass(frozen=True)
class RotaryPosition2d:
    """Angles of rotary positions on a grid (RoFormer, arXiv 2104.09864, one half per axis).

    Frequency i of Q turns by `position * base ** (-i / Q)` radians. A token that has no place on
    the grid (a class token) sits at row 0, column 0 and is not turned at all.

    Attributes:
        head_dim: Channels of one head (C); a multiple of 4.
        base: Ratio between the fastest and the slowest frequency, nearly.
    """

    head_dim: int
    base: float = 10000.0

    def __post_init__(self) -> None:
        if self.head_dim < 4 or self.head_dim % 4:
            raise ValueError(f"head_dim must be a multiple of 4, not {self.head_dim}")
        if self.base <= 1:
            raise ValueError(f"base must be above 1, not {self.base}")

    def angles(self, rows: Tensor, cols: Tensor) -> Rotation:
        """Return the rotation of tokens at these places.

        Args:
            rows: (N,) or (B, N); whole numbers, or fractions between cells, in cells.
            cols: Of the same shape and device.
        """
        quarter = self.head_dim // 4
        # fp64 until the cosine: fp32 angles of far cells would already be off by 1e-5.
        exponents = torch.arange(quarter, dtype=torch.float64, device=rows.device) / quarter
        frequencies = self.base**-exponents  # (Q,)
        positions = torch.stack((rows, cols), dim=-1).double()  # (..., N, 2)
        angles = positions.unsqueeze(-1) * frequencies  # (..., N, 2, Q)
        return Rotation(cos=angles.cos().float(), sin=angles.sin().float())

    def grid_angles(self, grid: Grid, device: torch.device | None = None) -> Rotation:
        """Return the rotation of a grid's cells, row-major: N = rows * cols."""
        return self.angles(*grid_positions(grid, device))

    def apply(self, x: Tensor, rotation: Rotation) -> Tensor:
        """Turn queries or keys (B, heads, N, C); see `rotate`."""
        if x.shape[-1] != self.head_dim:
            raise ValueError(f"heads of {x.shape[-1]} channels, {self.head_dim} expected")
        return rotate(x, rotation)
