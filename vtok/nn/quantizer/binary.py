"""Binary quantization: an index's bits are the signs of the channels.

In: latents (..., D). Out: one index each. Sources: lookup-free quantization (MAGVIT-v2,
arXiv 2310.05737) and its spherical kin (BSQ, arXiv 2406.07548), which differ in the length of the
codes alone. Published models disagree about which end channel 0 is; reading indices with the wrong
order scrambles them silently, so it has no default.

Dimension letters: D channels, K = 2^D.
"""

from typing import Literal

import torch
from torch import Tensor

from vtok.nn.quantizer.protocol import checked_indices, checked_latents

BitOrder = Literal["big", "little"]

_MAX_BITS = 62  # int64, with its sign and some room


class BinaryQuantizer:
    """The signs of the channels.

    Args:
        code_dim: Channels (D), one bit each.
        bit_order: `big`, channel 0 is the most significant bit (Show-o, vector-quantize-pytorch);
            `little`, the least (Open-MAGVIT2, MaskBit).
        scale: Magnitude of a code's channels: 1 for LFQ, D ** -0.5 for spherical codes.
    """

    def __init__(self, code_dim: int, *, bit_order: BitOrder, scale: float = 1.0) -> None:
        if not 1 <= code_dim <= _MAX_BITS:
            raise ValueError(f"code_dim must be in [1, {_MAX_BITS}], not {code_dim}")
        if bit_order not in ("big", "little"):
            raise ValueError(f"bit_order must be big or little, not {bit_order!r}")
        self._code_dim = code_dim
        self.bit_order = bit_order
        self.scale = scale

    @property
    def codebook_size(self) -> int:
        """Number of codes (K)."""
        return 1 << self._code_dim

    @property
    def code_dim(self) -> int:
        """Channels (D)."""
        return self._code_dim

    def quantize(self, latents: Tensor) -> Tensor:
        """Return indices (...) int64 of latents (..., D); zero counts as negative.

        Raises:
            NonFiniteError: A latent is NaN or infinite.
        """
        bits = (checked_latents(latents, self.code_dim) > 0).long()
        return (bits << self._shifts(latents.device)).sum(dim=-1)

    def lookup(self, indices: Tensor) -> Tensor:
        """Return codes (..., D) fp32, each channel plus or minus the scale, of indices (...).

        Raises:
            ShardError: An index is outside [0, K).
        """
        indices = checked_indices(indices, self.codebook_size)
        bits = indices.unsqueeze(-1) >> self._shifts(indices.device) & 1
        return (bits.float() * 2 - 1) * self.scale

    def _shifts(self, device: torch.device) -> Tensor:
        """Return the place of each channel's bit: (D,) int64."""
        places = torch.arange(self.code_dim, device=device)
        return places.flip(0) if self.bit_order == "big" else places
