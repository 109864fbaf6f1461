"""Learned positions: one table over the grid, or one for rows and one for columns.

In: the grid of the tokens. Out: vectors to add to them, row-major. Knows nothing of attention,
images or blocks.

Dimension letters: N tokens of a grid, D channels, R rows and S columns of the training grid,
T prefix tokens (a class token, registers) that stand before the grid and have no place on it.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtok.records import Grid

Interpolation = Literal["bilinear", "bicubic"]

_INIT_STD = 0.02  # of ViT (arXiv 2010.11929) and what followed it


def interpolate_positions(
    table: Tensor,
    source: Grid,
    target: Grid,
    *,
    num_prefix: int = 0,
    mode: Interpolation = "bilinear",
) -> Tensor:
    """Return a position table, resampled to another grid.

    Cells are areas, as pixels are: cell i of n spans [i / n, (i + 1) / n] (align_corners off).

    Args:
        table: (T + N, D); rows T and on are the source grid, row-major.
        source: The grid that the table was trained on.
        target: The grid wanted, square or not, larger or smaller.
        num_prefix: T; these rows are kept as they are.
        mode: `bilinear`, or `bicubic` as DINOv2 and transformers' ViT do.

    Returns:
        (T + N', D) in the table's dtype, computed in fp32; the table itself where the grids agree.
    """
    if len(table) != num_prefix + source.num_cells:
        raise ValueError(
            f"a table of {len(table)} rows is not {num_prefix} prefix tokens and a {source} grid"
        )
    if source == target:
        return table
    cells = table[num_prefix:].float().T.reshape(1, -1, source.rows, source.cols)  # (1, D, R, S)
    resized = functional.interpolate(
        cells, size=(target.rows, target.cols), mode=mode, align_corners=False
    )
    positions = resized.flatten(2)[0].T.to(table.dtype)  # (N', D)
    return torch.cat((table[:num_prefix], positions))


class LearnedPosition1d(nn.Module):
    """One learned vector per token of the sequence; knows no rows or columns by itself.

    Args:
        grid: The training grid; others are interpolated.
        dim: Channels (D).
        num_prefix: Prefix tokens that have a position of their own (T).
        mode: How other grids are interpolated.
    """

    def __init__(
        self, grid: Grid, dim: int, *, num_prefix: int = 0, mode: Interpolation = "bilinear"
    ) -> None:
        super().__init__()
        self.grid = grid
        self.num_prefix = num_prefix
        self.mode: Interpolation = mode
        self.table = nn.Parameter(torch.empty(num_prefix + grid.num_cells, dim))
        nn.init.trunc_normal_(self.table, std=_INIT_STD)

    def forward(self, grid: Grid) -> Tensor:
        """Return the positions (T + N, D) of the prefix and of a grid's cells."""
        return interpolate_positions(
            self.table, self.grid, grid, num_prefix=self.num_prefix, mode=self.mode
        )


class LearnedPosition2d(nn.Module):
    """A learned half for the row beside a learned half for the column.

    A grid inside the training grid takes the first rows and columns; a larger one needs tables
    `resized` to it, since a row that was never trained has no vector.

    Args:
        grid: The training grid, (R, S).
        dim: Channels (D), even.
        num_prefix: Prefix tokens (T); their position is zero, since they lie nowhere.
    """

    def __init__(self, grid: Grid, dim: int, *, num_prefix: int = 0) -> None:
        super().__init__()
        if dim % 2:
            raise ValueError(f"dim must be even, not {dim}")
        self.num_prefix = num_prefix
        self.rows = nn.Parameter(torch.empty(grid.rows, dim // 2))
        self.cols = nn.Parameter(torch.empty(grid.cols, dim // 2))
        nn.init.trunc_normal_(self.rows, std=_INIT_STD)
        nn.init.trunc_normal_(self.cols, std=_INIT_STD)

    @property
    def grid(self) -> Grid:
        """The largest grid that has positions."""
        return Grid(rows=len(self.rows), cols=len(self.cols))

    def forward(self, grid: Grid) -> Tensor:
        """Return the positions (T + N, D) of the prefix and of a grid's cells.

        Raises:
            ValueError: The grid is larger than the tables.
        """
        if grid.rows > len(self.rows) or grid.cols > len(self.cols):
            raise ValueError(
                f"a {grid} grid has no positions in tables of {self.grid}: use resized({grid})"
            )
        cells = torch.cat(  # (rows, cols, D)
            (
                self.rows[: grid.rows].unsqueeze(1).expand(-1, grid.cols, -1),
                self.cols[: grid.cols].unsqueeze(0).expand(grid.rows, -1, -1),
            ),
            dim=-1,
        )
        return functional.pad(cells.flatten(0, 1), (0, 0, self.num_prefix, 0))

    def resized(self, grid: Grid) -> "LearnedPosition2d":
        """Return tables for another grid, interpolated linearly along each axis."""
        other = LearnedPosition2d(grid, 2 * self.rows.shape[1], num_prefix=self.num_prefix)
        other = other.to(device=self.rows.device, dtype=self.rows.dtype)
        with torch.no_grad():
            other.rows.copy_(_resized_axis(self.rows, grid.rows))
            other.cols.copy_(_resized_axis(self.cols, grid.cols))
        return other


def _resized_axis(table: Tensor, length: int) -> Tensor:
    """Return a table (n, D / 2) of one axis, resampled to (length, D / 2)."""
    along = table.float().T.unsqueeze(0)  # (1, D / 2, n)
    return functional.interpolate(along, size=length, mode="linear", align_corners=False)[0].T
