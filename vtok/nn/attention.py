"""Attention among tokens, from text to vision, and from text to vision through a gate.

In: sequences (B, N, D), optionally a mask, rotary angles, or the packing of several sequences laid
end to end. Out: sequences of the queries' shape. All of it runs on torch's
`scaled_dot_product_attention`. Knows nothing of images, blocks or norms.

Masks are boolean, True where a query may look, or additive floats; either broadcasts to
(B, heads, L, N). A query that may look nowhere receives zeros. (`torch.nn.MultiheadAttention`
means the opposite by True.)

Dimension letters: B batch, N tokens (keys), L queries, D channels, C channels of one head.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtok.nn.rotary import Rotation, rotate


@dataclass(frozen=True)
class Packing:
    """Several sequences in one: where each begins, and the total length at the end.

    Attributes:
        offsets: Increasing, from 0 to N; sequence i is [offsets[i], offsets[i + 1]).
    """

    offsets: tuple[int, ...]

    def __post_init__(self) -> None:
        starts_at_zero = len(self.offsets) > 1 and self.offsets[0] == 0
        if not starts_at_zero or any(a >= b for a, b in itertools.pairwise(self.offsets)):
            raise ValueError(f"offsets must increase strictly from 0, not {self.offsets}")

    @classmethod
    def of_lengths(cls, lengths: Sequence[int]) -> "Packing":
        """Return the packing of sequences of these lengths, in this order."""
        return cls(offsets=(0, *itertools.accumulate(lengths)))

    @property
    def lengths(self) -> list[int]:
        """The length of each sequence."""
        return [end - start for start, end in itertools.pairwise(self.offsets)]

    def mask(self, device: torch.device | None = None) -> Tensor:
        """Return the block-diagonal mask, (N, N) bool: for kernels that want one, and for tests."""
        lengths = torch.tensor(self.lengths, device=device)
        owner = torch.arange(len(lengths), device=device).repeat_interleave(lengths)  # (N,)
        return owner.unsqueeze(0) == owner.unsqueeze(1)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None = None,
    packing: Packing | None = None,
) -> Tensor:
    """Return softmax(query key^T / sqrt(C)) value, head by head.

    Args:
        query: (B, heads, L, C).
        key: (B, heads, N, C).
        value: (B, heads, N, C).
        mask: Broadcasts to (B, heads, L, N).
        packing: The sequences that the L = N tokens are made of; none sees another. Every
            sequence is attended to by itself, so the cost is the sum of the squares of their
            lengths, with no padding; excludes a mask.

    Returns:
        (B, heads, L, C).
    """
    if packing is None:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    if mask is not None:
        raise ValueError("packed sequences take no mask")
    if not query.shape[2] == key.shape[2] == packing.offsets[-1]:
        raise ValueError(
            f"packing of {packing.offsets[-1]} tokens over {query.shape[2]} queries"
            f" and {key.shape[2]} keys"
        )
    lengths = packing.lengths
    parts = zip(
        torch.split(query, lengths, dim=2),
        torch.split(key, lengths, dim=2),
        torch.split(value, lengths, dim=2),
        strict=True,
    )
    return torch.cat([functional.scaled_dot_product_attention(*part) for part in parts], dim=2)


class SelfAttention(nn.Module):
    """Every token looks at every token.

    The weights lie as in `torch.nn.MultiheadAttention`: `qkv` is its `in_proj`, `proj` its
    `out_proj`.

    Args:
        dim: Channels (D).
        num_heads: Divides dim.
        bias: Whether the projections have one.
    """

    def __init__(self, dim: int, num_heads: int, *, bias: bool = True) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = _head_dim(dim, num_heads)
        self.qkv = nn.Linear(dim, 3 * dim, bias=bias)
        self.proj = nn.Linear(dim, dim, bias=bias)

    def forward(
        self,
        x: Tensor,
        *,
        rotation: Rotation | None = None,
        mask: Tensor | None = None,
        packing: Packing | None = None,
    ) -> Tensor:
        """Return (B, N, D) of x (B, N, D).

        Args:
            x: Tokens.
            rotation: Angles that turn queries and keys.
            mask: Broadcasts to (B, heads, N, N).
            packing: The sequences that x is made of; none sees another.
        """
        heads = self.qkv(x).unflatten(-1, (3, self.num_heads, self.head_dim))  # (B, N, 3, heads, C)
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, N, C)
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        mixed = attend(query, key, value, mask=mask, packing=packing)
        projected: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))  # (B, N, D)
        return projected


def _head_dim(dim: int, num_heads: int) -> int:
    """Return the channels of one head."""
    if num_heads < 1 or dim % num_heads:
        raise ValueError(f"{num_heads} heads do not divide {dim} channels")
    return dim // num_heads
