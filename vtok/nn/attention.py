"""Attention among tokens, from text to vision, and from text to vision through a gate.

In: sequences (B, N, D), optionally a mask, rotary angles, or the packing of several sequences laid
end to end. Out: sequences of the queries' shape. All of it runs on torch's
`scaled_dot_product_attention`. Knows nothing of images, blocks or norms.

Masks are boolean, True where a query may look, or additive floats; either broadcasts to
(B, heads, L, N). A query that may look nowhere receives zeros. (`torch.nn.MultiheadAttention`
means the opposite by True.)

Dimension letters: B batch, N tokens (keys), L queries, D channels, E channels of the
vision tokens, C channels of one head.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtok.nn.packing import Packing, attend_packed
from vtok.nn.rotary import Rotation, rotate
from vtok.nn.windows import Windows, attend_in_windows


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None = None,
    packing: Packing | None = None,
    key_packing: Packing | None = None,
) -> Tensor:
    """Return softmax(query key^T / sqrt(C)) value, head by head.

    Args:
        query: (B, heads, L, C).
        key: (B, heads, N, C).
        value: (B, heads, N, C).
        mask: Broadcasts to (B, heads, L, N).
        packing: The sequences that the L queries are made of; none sees another, nothing is padded
            (`vtok.nn.packing`). Excludes a mask.
        key_packing: The sequences that the N keys are made of, as many; the queries' by default.

    Returns:
        (B, heads, L, C).
    """
    if packing is None:
        if key_packing is not None:
            raise ValueError("packed keys need packed queries")
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    if mask is not None:
        raise ValueError("packed sequences take no mask")
    keys = key_packing or packing
    _check_lengths(packing, query.shape[2])
    _check_lengths(keys, key.shape[2])
    return attend_packed(query, key, value, packing, keys)


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
        windows: Windows | None = None,
    ) -> Tensor:
        """Return (B, N, D) of x (B, N, D).

        Args:
            x: Tokens.
            rotation: Angles that turn queries and keys.
            mask: Broadcasts to (B, heads, N, N).
            packing: The sequences that x is made of; none sees another; excludes a mask.
            windows: The windows that x's cells are confined to; excludes mask and packing.
        """
        heads = self.qkv(x).reshape(*x.shape[:2], 3, self.num_heads, self.head_dim)
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, N, C)
        if rotation is not None:
            query, key = rotate(query, rotation), rotate(key, rotation)
        if windows is None:
            mixed = attend(query, key, value, mask=mask, packing=packing)
        elif mask is None and packing is None:
            mixed = attend_in_windows(query, key, value, windows)
        else:
            raise ValueError("windows exclude a mask and packing")
        projected: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))  # (B, N, D)
        return projected


class CrossAttention(nn.Module):
    """Text asks, vision answers: queries from one sequence, keys and values from another.

    Args:
        dim: Channels of the text (D), and of the result.
        num_heads: Divides dim.
        context_dim: Channels of the vision tokens (E); dim by default.
        bias: Whether the projections have one.
    """

    def __init__(
        self, dim: int, num_heads: int, *, context_dim: int | None = None, bias: bool = True
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = _head_dim(dim, num_heads)
        self.q_proj = nn.Linear(dim, dim, bias=bias)
        self.k_proj = nn.Linear(context_dim or dim, dim, bias=bias)
        self.v_proj = nn.Linear(context_dim or dim, dim, bias=bias)
        self.out_proj = nn.Linear(dim, dim, bias=bias)

    def forward(
        self,
        text: Tensor,
        vision: Tensor,
        *,
        mask: Tensor | None = None,
        text_packing: Packing | None = None,
        vision_packing: Packing | None = None,
    ) -> Tensor:
        """Return (B, L, D): what every text token found in the image.

        Args:
            text: (B, L, D).
            vision: (B, N, E).
            mask: Broadcasts to (B, heads, L, N); a text token without any image receives
                out_proj's bias alone.
            text_packing: The sequences that the text is made of.
            vision_packing: The images that vision is made of; sequence i sees image i only.
        """
        query = self._heads(self.q_proj(text))  # (B, heads, L, C)
        key = self._heads(self.k_proj(vision))  # (B, heads, N, C)
        value = self._heads(self.v_proj(vision))
        mixed = attend(
            query, key, value, mask=mask, packing=text_packing, key_packing=vision_packing
        )
        projected: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))  # (B, L, D)
        return projected

    def _heads(self, x: Tensor) -> Tensor:
        """Return (B, heads, N, C) of (B, N, D)."""
        return x.reshape(*x.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)


class GatedCrossAttention(nn.Module):
    """Cross-attention behind a gate that starts shut: at first the text passes through unchanged.

    text + tanh(gate) * attention, with one learned gate that is 0 at initialisation. Source:
    Flamingo, arXiv 2204.14198, section 2.2.

    Args:
        dim: Channels of the text (D).
        num_heads: Divides dim.
        context_dim: Channels of the vision tokens; dim by default.
        bias: Whether the projections have one.
    """

    def __init__(
        self, dim: int, num_heads: int, *, context_dim: int | None = None, bias: bool = True
    ) -> None:
        super().__init__()
        self.attention = CrossAttention(dim, num_heads, context_dim=context_dim, bias=bias)
        self.gate = nn.Parameter(torch.zeros(1))

    def forward(
        self,
        text: Tensor,
        vision: Tensor,
        *,
        mask: Tensor | None = None,
        text_packing: Packing | None = None,
        vision_packing: Packing | None = None,
    ) -> Tensor:
        """Return (B, L, D) in the text's dtype; the arguments are `CrossAttention`'s."""
        found = self.attention(
            text, vision, mask=mask, text_packing=text_packing, vision_packing=vision_packing
        )
        # Cast before adding: under autocast a sum of two dtypes would round or widen the text.
        added: Tensor = self.gate.tanh() * found
        return text + added.to(text.dtype)


def _check_lengths(packing: Packing, num_tokens: int) -> None:
    """Require the sequences' lengths to add up to the tokens there are."""
    if packing.offsets[-1] != num_tokens:
        raise ValueError(f"a packing of {packing.offsets[-1]} tokens over {num_tokens}")


def _head_dim(dim: int, num_heads: int) -> int:
    """Return the channels of one head."""
    if num_heads < 1 or dim % num_heads:
        raise ValueError(f"{num_heads} heads do not divide {dim} channels")
    return dim // num_heads
