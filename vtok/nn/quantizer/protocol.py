"""What every quantizer promises, and the checks at its two borders.

Dimension letters: D channels of a latent or code, K codebook size, G indices of one latent.
"""

from typing import Protocol

import torch
from torch import Tensor

from vtok.errors import NonFiniteError, ShardError


class Quantizer(Protocol):
    """An inverse pair: latents to the nearest indices, indices to their codes.

    One index a latent gives indices (...); several (product, residual) give (..., G).
    """

    @property
    def codebook_size(self) -> int:
        """Number of values that one index can take (K)."""
        ...

    @property
    def code_dim(self) -> int:
        """Channels of a latent and of a code (D)."""
        ...

    def quantize(self, latents: Tensor) -> Tensor:
        """Return int64 indices in [0, K) of latents (..., D)."""
        ...

    def lookup(self, indices: Tensor) -> Tensor:
        """Return codes (..., D) fp32 of indices."""
        ...


def checked_latents(latents: Tensor, code_dim: int) -> Tensor:
    """Return latents (..., D) as they came, finite and with their channels last.

    Raises:
        NonFiniteError: One is NaN or infinite.
    """
    if latents.ndim < 1 or latents.shape[-1] != code_dim:
        raise ValueError(f"latents are (..., {code_dim}), not {tuple(latents.shape)}")
    if not latents.isfinite().all():
        raise NonFiniteError("a latent is NaN or infinite: the model failed on this image")
    return latents


def checked_indices(indices: Tensor, codebook_size: int) -> Tensor:
    """Return indices as int64, each in [0, K).

    Raises:
        ShardError: One is not.
    """
    if indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool:
        raise TypeError(f"indices are integers, not {indices.dtype}")
    indices = indices.long()
    if indices.numel():
        low, high = (int(bound) for bound in indices.aminmax())
        if low < 0 or high >= codebook_size:
            raise ShardError(
                f"index {low if low < 0 else high} is outside a codebook of {codebook_size}:"
                " these indices are another model's, or damaged"
            )
    return indices
