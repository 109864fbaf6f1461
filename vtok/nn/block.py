"""One pre-norm transformer block: x + attention(norm(x)), then x + mlp(norm(x)).

In and out: tokens (B, N, D). Knows nothing of what the tokens are.

Dimension letters: B batch, N tokens, D channels.
"""

import torch
from torch import Tensor, nn

from vtok.nn.attention import SelfAttention
from vtok.nn.packing import Packing
from vtok.nn.rotary import Rotation
from vtok.nn.windows import Windows


class Mlp(nn.Sequential):
    """Linear, GELU (exact, not the tanh approximation), linear.

    Args:
        in_dim: Channels in.
        hidden_dim: Channels between.
        out_dim: Channels out.
        bias: Whether the linear layers have one.
    """

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int, *, bias: bool = True) -> None:
        super().__init__(
            nn.Linear(in_dim, hidden_dim, bias=bias),
            nn.GELU(),
            nn.Linear(hidden_dim, out_dim, bias=bias),
        )


class LayerScale(nn.Module):
    """A learned factor per channel on a residual branch (CaiT, arXiv 2103.17239).

    Args:
        dim: Channels (D).
        initial: What the factors start from.
    """

    def __init__(self, dim: int, initial: float) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.full((dim,), initial))

    def forward(self, x: Tensor) -> Tensor:
        """Return x (B, N, D), scaled."""
        return x * self.factors


class Block(nn.Module):
    """Attention and MLP, each behind a LayerNorm and beside a residual.

    Args:
        dim: Channels (D).
        num_heads: Divides dim.
        hidden_dim: Channels inside the MLP.
        norm_eps: Of the LayerNorms; 1e-6 in ViT and its kin, 1e-5 in CLIP.
        layer_scale: Initial factor of both branches; None for branches without.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        hidden_dim: int,
        *,
        norm_eps: float,
        layer_scale: float | None = None,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attention = SelfAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = Mlp(dim, hidden_dim, dim)
        self.scale1 = _scale(dim, layer_scale)
        self.scale2 = _scale(dim, layer_scale)

    def forward(
        self,
        x: Tensor,
        *,
        rotation: Rotation | None = None,
        mask: Tensor | None = None,
        packing: Packing | None = None,
        windows: Windows | None = None,
    ) -> Tensor:
        """Return (B, N, D) of x (B, N, D); the options are `SelfAttention`'s."""
        mixed = self.attention(
            self.norm1(x), rotation=rotation, mask=mask, packing=packing, windows=windows
        )
        x = x + self.scale1(mixed)
        return x + self.scale2(self.mlp(self.norm2(x)))  # type: ignore[no-any-return]


def _scale(dim: int, initial: float | None) -> nn.Module:
    """Return the scale of a residual branch, or nothing at all."""
    return nn.Identity() if initial is None else LayerScale(dim, initial)
