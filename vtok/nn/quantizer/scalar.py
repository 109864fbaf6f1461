"""Finite scalar quantization: every channel is bounded, then rounded to one of a few levels.

In: latents (..., D). Out: one index each; channel 0 is its least significant digit. There is no
codebook to learn or to load. Source: FSQ, arXiv 2309.15505.

Dimension letters: D channels, K the product of the levels.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vtok.nn.quantizer.protocol import checked_indices, checked_latents

_MARGIN = 1e-3  # by how much the published bound exceeds the outermost levels


class FiniteScalarQuantizer:
    """Rounding to a grid of levels.

    Arithmetic is fp64, so that the last bits of a device's tanh decide nothing.

    Args:
        levels: Levels of each channel, at least 2; (8, 5, 5, 5) gives 1,000 codes.
        symmetric: Levels evenly spread over [-1, 1], both ends included (vector-quantize-pytorch's
            `preserve_symmetry`), instead of the paper's, whose even counts reach -1 but not 1.
    """

    def __init__(self, levels: Sequence[int], *, symmetric: bool = False) -> None:
        if not levels or min(levels) < 2:
            raise ValueError(f"every channel needs at least 2 levels, not {tuple(levels)}")
        self.levels = tuple(levels)
        self.symmetric = symmetric

    @property
    def codebook_size(self) -> int:
        """Number of codes (K)."""
        return math.prod(self.levels)

    @property
    def code_dim(self) -> int:
        """Channels (D)."""
        return len(self.levels)

    def quantize(self, latents: Tensor) -> Tensor:
        """Return indices (...) int64 of latents (..., D), unbounded floats.

        Raises:
            NonFiniteError: A latent is NaN or infinite.
        """
        latents = checked_latents(latents, self.code_dim).detach().double()
        levels = torch.tensor(self.levels, dtype=torch.float64, device=latents.device)
        if self.symmetric:
            digits = ((levels - 1) * (latents.tanh() + 1) / 2 + 0.5).floor()
        else:
            half = (levels - 1) * (1 + _MARGIN) / 2
            offset = torch.where(levels % 2 == 0, 0.5, 0.0)  # even counts have no level at zero
            bounded = (latents + (offset / half).atanh()).tanh() * half - offset
            digits = bounded.round() + levels.div(2, rounding_mode="floor")
        return (digits.long() * self._weights(latents.device)).sum(dim=-1)

    def lookup(self, indices: Tensor) -> Tensor:
        """Return codes (..., D) fp32 in [-1, 1] of indices (...).

        Raises:
            ShardError: An index is outside [0, K).
        """
        indices = checked_indices(indices, self.codebook_size)
        levels = torch.tensor(self.levels, device=indices.device)
        digits = indices.unsqueeze(-1) // self._weights(indices.device) % levels
        if self.symmetric:
            return (digits * 2 / (levels - 1) - 1).float()
        return ((digits - levels // 2) / (levels // 2)).float()

    def _weights(self, device: torch.device) -> Tensor:
        """Return what a step of each channel adds to the index: (D,) int64."""
        weights = [math.prod(self.levels[:channel]) for channel in range(len(self.levels))]
        return torch.tensor(weights, device=device)
