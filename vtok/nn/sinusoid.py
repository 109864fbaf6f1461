"""Fixed positions on a grid: sines and cosines of the row beside those of the column.

In: a grid. Out: vectors to add to its tokens, row-major. Nothing is learned, any grid will do.

Dimension letters: N tokens, D channels, Q = D/4 frequencies of one axis.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtok.nn.rotary import grid_positions
from vtok.records import Grid


def sine_cosine_positions(
    grid: Grid, dim: int, *, base: float = 10000.0, device: torch.device | None = None
) -> Tensor:
    """Return fixed positions: [sin row, cos row, sin column, cos column], a quarter each.

    Frequency i of Q is `base ** (-i / Q)` radians a cell. Source: MoCo v3 (arXiv 2104.02057) and
    MAE (arXiv 2111.06377), whose published code has the column half first.

    Args:
        grid: Rows and columns.
        dim: Channels (D), a multiple of 4.
        base: Ratio between the fastest and the slowest frequency, nearly.
        device: Where the result shall lie.

    Returns:
        (N, D) fp32.
    """
    if dim < 4 or dim % 4:
        raise ValueError(f"dim must be a multiple of 4, not {dim}")
    quarter = dim // 4
    frequencies = base ** -(torch.arange(quarter, dtype=torch.float64, device=device) / quarter)
    places = torch.stack(grid_positions(grid, device), dim=1).double()  # (N, 2)
    angles = places.unsqueeze(-1) * frequencies  # (N, 2, Q)
    return torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1).float()  # (N, D)


class SineCosinePosition2d(nn.Module):
    """`sine_cosine_positions` in the shape of the learned ones.

    Args:
        dim: Channels (D), a multiple of 4.
        num_prefix: Prefix tokens (T); their position is zero, since they lie nowhere.
        base: See `sine_cosine_positions`.
    """

    def __init__(self, dim: int, *, num_prefix: int = 0, base: float = 10000.0) -> None:
        super().__init__()
        self.dim = dim
        self.num_prefix = num_prefix
        self.base = base
        sine_cosine_positions(Grid(rows=1, cols=1), dim)  # refuses a dim that cannot be

    def forward(self, grid: Grid, device: torch.device | None = None) -> Tensor:
        """Return the positions (T + N, D) fp32 of the prefix and of a grid's cells."""
        cells = sine_cosine_positions(grid, self.dim, base=self.base, device=device)
        return functional.pad(cells, (0, 0, self.num_prefix, 0))
