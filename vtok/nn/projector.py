"""From a vision encoder's space into a language model's.

In: features (B, N, E) on a grid, row-major. Out: tokens (B, M, D), M known from the grid alone.
Knows nothing of the encoder or of the language model. `resampler` is one more of these.

Dimension letters: B batch, N vision tokens, M tokens out, E vision channels, D language channels.
"""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from vtok.nn.block import Mlp
from vtok.records import Grid


class Projector(nn.Module, ABC):
    """What every projector promises."""

    @abstractmethod
    def num_tokens(self, grid: Grid) -> int:
        """Return how many tokens (M) come out of a grid of features."""

    @abstractmethod
    def forward(self, features: Tensor, grid: Grid) -> Tensor:
        """Return tokens (B, M, D) of features (B, N, E), row-major over the grid."""


class LinearProjector(Projector):
    """One matrix (LLaVA's first edition, arXiv 2304.08485).

    Args:
        in_dim: Vision channels (E).
        out_dim: Language channels (D).
    """

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_dim, out_dim)

    def num_tokens(self, grid: Grid) -> int:
        """Return one token per feature."""
        return grid.num_cells

    def forward(self, features: Tensor, grid: Grid) -> Tensor:
        """Return (B, N, D)."""
        projected: Tensor = self.linear(_checked(features, grid))
        return projected


class MlpProjector(Projector):
    """Linear, GELU, linear (LLaVA-1.5, arXiv 2310.03744).

    Args:
        in_dim: Vision channels (E).
        out_dim: Language channels (D).
        hidden_dim: Channels between; D by default, as in LLaVA-1.5.
    """

    def __init__(self, in_dim: int, out_dim: int, *, hidden_dim: int | None = None) -> None:
        super().__init__()
        self.mlp = Mlp(in_dim, hidden_dim or out_dim, out_dim)

    def num_tokens(self, grid: Grid) -> int:
        """Return one token per feature."""
        return grid.num_cells

    def forward(self, features: Tensor, grid: Grid) -> Tensor:
        """Return (B, N, D)."""
        projected: Tensor = self.mlp(_checked(features, grid))
        return projected


class PixelShuffleProjector(Projector):
    """Squares of features become one token: shuffle, norm, MLP (InternVL-1.5, arXiv 2404.16821).

    Args:
        in_dim: Vision channels (E).
        out_dim: Language channels (D).
        factor: Side of a square; a token stands for factor * factor features.
        norm_eps: Of the LayerNorm.
    """

    def __init__(
        self, in_dim: int, out_dim: int, *, factor: int = 2, norm_eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.factor = factor
        self.norm = nn.LayerNorm(in_dim * factor**2, eps=norm_eps)
        self.mlp = Mlp(in_dim * factor**2, out_dim, out_dim)

    def num_tokens(self, grid: Grid) -> int:
        """Return one token per square of features."""
        return grid.num_cells // self.factor**2

    def forward(self, features: Tensor, grid: Grid) -> Tensor:
        """Return (B, N / factor^2, D), row-major over the squares.

        Raises:
            ValueError: The factor does not divide the grid.
        """
        projected: Tensor = self.mlp(self.norm(pixel_shuffle(features, grid, self.factor)))
        return projected


def pixel_shuffle(features: Tensor, grid: Grid, factor: int) -> Tensor:
    """Return every square of features as one long vector, its cells row by row.

    Args:
        features: (B, N, E), row-major over the grid.
        grid: Rows and columns, both multiples of the factor.
        factor: Side of a square.

    Returns:
        (B, N / factor^2, E * factor^2).
    """
    if grid.rows % factor or grid.cols % factor:
        raise ValueError(f"squares of {factor} features do not divide a {grid} grid")
    batch, _, channels = _checked(features, grid).shape
    squares = features.reshape(
        batch, grid.rows // factor, factor, grid.cols // factor, factor, channels
    )
    return squares.transpose(2, 3).flatten(3).flatten(1, 2)  # (B, N / f^2, f * f * E)


def _checked(features: Tensor, grid: Grid) -> Tensor:
    """Return the features, which must be as many as the grid's cells."""
    if features.ndim != 3 or features.shape[1] != grid.num_cells:
        raise ValueError(f"features {tuple(features.shape)} are not (B, {grid.num_cells}, E)")
    return features
