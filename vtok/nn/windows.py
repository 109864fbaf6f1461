"""Attention inside square windows of a grid: cost linear in the area, nothing padded.

In: queries, keys and values on a grid, row-major. Out: every cell's mix of its own window. Borders
cut some windows short. Instead of padding those and masking the padding, the grid is cut into at
most nine regions (first, middle and last band of rows times the same of columns), in each of
which all windows have one size. Shifting the borders in every other layer lets neighbours meet
(Swin, arXiv 2103.14030, but without its wrap-around).

Dimension letters: B batch, N cells, C channels of one head, R rows and S columns of a region.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from vtok.records import Grid


class Band(NamedTuple):
    """Equal windows along one axis: `number` of them, `size` cells each, from cell `start` on."""

    start: int
    size: int
    number: int

    @property
    def stop(self) -> int:
        """The cell after the last."""
        return self.start + self.size * self.number


@dataclass(frozen=True, kw_only=True)
class Windows:
    """How a grid is cut: borders at shift, shift + window, ... along both axes.

    Attributes:
        grid: The cells.
        window: Side of a window, in cells.
        shift: Where the first border lies, in [0, window).
    """

    grid: Grid
    window: int
    shift: int = 0

    def __post_init__(self) -> None:
        if self.window < 1 or not 0 <= self.shift < self.window:
            raise ValueError(f"a window of {self.window} cells cannot be shifted by {self.shift}")

    def row_bands(self) -> list[Band]:
        """Return the bands of equally high windows, top to bottom."""
        return _bands(self.grid.rows, self.window, self.shift)

    def col_bands(self) -> list[Band]:
        """Return the bands of equally wide windows, left to right."""
        return _bands(self.grid.cols, self.window, self.shift)

    def mask(self, device: torch.device | None = None) -> Tensor:
        """Return (N, N) bool, True within a window: what full attention needs to do the same."""
        rows = (torch.arange(self.grid.rows, device=device) - self.shift) // self.window
        cols = (torch.arange(self.grid.cols, device=device) - self.shift) // self.window
        same_row = rows.unsqueeze(0) == rows.unsqueeze(1)
        same_col = cols.unsqueeze(0) == cols.unsqueeze(1)
        return torch.kron(same_row.byte(), same_col.byte()).bool()


def attend_in_windows(query: Tensor, key: Tensor, value: Tensor, windows: Windows) -> Tensor:
    """Return softmax(query key^T / sqrt(C)) value, each cell among those of its window.

    Args:
        query: (B, heads, N, C), N the cells of the windows' grid, row-major.
        key: (B, heads, N, C).
        value: (B, heads, N, C).
        windows: The windows.

    Returns:
        (B, heads, N, C).
    """
    grid = windows.grid
    if query.shape[2] != grid.num_cells:
        raise ValueError(f"{query.shape[2]} tokens are not a {grid} grid")
    planes = [
        x.reshape(*x.shape[:2], grid.rows, grid.cols, x.shape[3]) for x in (query, key, value)
    ]
    rows = []
    for row_band in windows.row_bands():
        row = [_attend_region(planes, row_band, col_band) for col_band in windows.col_bands()]
        rows.append(torch.cat(row, dim=3))
    return torch.cat(rows, dim=2).flatten(2, 3)  # (B, heads, N, C)


def _attend_region(planes: list[Tensor], rows: Band, cols: Band) -> Tensor:
    """Return attention within the equal windows of one region: (B, heads, R, S, C)."""
    batch, heads, _, _, channels = planes[0].shape
    query, key, value = (
        plane[:, :, rows.start : rows.stop, cols.start : cols.stop]
        .reshape(batch, heads, rows.number, rows.size, cols.number, cols.size, channels)
        .permute(0, 2, 4, 1, 3, 5, 6)  # (B, windows down, windows across, heads, high, wide, C)
        .reshape(-1, heads, rows.size * cols.size, channels)
        for plane in planes
    )
    mixed = functional.scaled_dot_product_attention(query, key, value)
    return (
        mixed.reshape(batch, rows.number, cols.number, heads, rows.size, cols.size, channels)
        .permute(0, 3, 1, 4, 2, 5, 6)
        .reshape(batch, heads, rows.size * rows.number, cols.size * cols.number, channels)
    )


def _bands(length: int, window: int, shift: int) -> list[Band]:
    """Return the bands of one axis: a cut first window, whole ones, a cut last one, if any."""
    first = min(shift, length)
    whole, last = divmod(length - first, window)
    bands = [
        Band(start=0, size=first, number=1),
        Band(start=first, size=window, number=whole),
        Band(start=length - last, size=last, number=1),
    ]
    return [band for band in bands if band.size and band.number]
