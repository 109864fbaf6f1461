"""Any number of vision features become a fixed number of tokens, by learned queries.

In: features (B, N, E). Out: tokens (B, M, D), M the same for every image. Source: the Perceiver
resampler of Flamingo, arXiv 2204.14198, section 2.1: the queries look at the features and at
themselves.

Dimension letters: B batch, N features, M queries, E vision channels, D language channels.
"""

import torch
from torch import Tensor, nn

from vtok.nn.attention import CrossAttention
from vtok.nn.block import Mlp
from vtok.nn.projector import Projector
from vtok.records import Grid


class ResamplerLayer(nn.Module):
    """One look at the features, then an MLP; both behind norms and beside residuals.

    Args:
        dim: Channels (E).
        num_heads: Divides dim.
        hidden_dim: Channels inside the MLP.
        norm_eps: Of the LayerNorms.
    """

    def __init__(self, dim: int, num_heads: int, hidden_dim: int, *, norm_eps: float) -> None:
        super().__init__()
        self.norm_features = nn.LayerNorm(dim, eps=norm_eps)
        self.norm_queries = nn.LayerNorm(dim, eps=norm_eps)
        self.attention = CrossAttention(dim, num_heads, bias=False)
        self.norm_mlp = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = Mlp(dim, hidden_dim, dim, bias=False)

    def forward(self, queries: Tensor, features: Tensor, mask: Tensor | None) -> Tensor:
        """Return queries (B, M, E) after one look at features (B, N, E)."""
        asking = self.norm_queries(queries)
        answering = torch.cat((self.norm_features(features), asking), dim=1)  # (B, N + M, E)
        queries = queries + self.attention(asking, answering, mask=mask)
        return queries + self.mlp(self.norm_mlp(queries))  # type: ignore[no-any-return]


class Resampler(Projector):
    """A fixed number of tokens whatever the image.

    Args:
        in_dim: Vision channels (E).
        out_dim: Language channels (D).
        num_queries: Tokens out (M).
        num_heads: Divides in_dim.
        depth: Number of layers.
        mlp_ratio: Channels inside an MLP, as a multiple of in_dim.
        norm_eps: Of every LayerNorm.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        *,
        num_queries: int,
        num_heads: int,
        depth: int = 2,
        mlp_ratio: float = 4.0,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.queries = nn.Parameter(torch.empty(num_queries, in_dim))
        nn.init.trunc_normal_(self.queries, std=0.02)
        self.layers = nn.ModuleList(
            ResamplerLayer(in_dim, num_heads, round(in_dim * mlp_ratio), norm_eps=norm_eps)
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(in_dim, eps=norm_eps)
        self.proj = nn.Linear(in_dim, out_dim)

    def num_tokens(self, grid: Grid) -> int:
        """Return the number of queries, whatever the grid."""
        del grid
        return len(self.queries)

    def forward(self, features: Tensor, grid: Grid, *, mask: Tensor | None = None) -> Tensor:
        """Return (B, M, D).

        Args:
            features: (B, N, E), of any N: the order does not matter, so neither does the grid.
            grid: Not looked at; here because every projector is called alike.
            mask: (B, N) bool, False for padding that no query may see.
        """
        del grid
        batch, num_queries = len(features), len(self.queries)
        seen = None
        if mask is not None:
            own = mask.new_ones((batch, num_queries))
            seen = torch.cat((mask, own), dim=1)[:, None, None]  # (B, 1, 1, N + M)
        queries = self.queries.expand(batch, -1, -1)
        for layer in self.layers:
            queries = layer(queries, features, seen)
        projected: Tensor = self.proj(self.norm(queries))
        return projected
