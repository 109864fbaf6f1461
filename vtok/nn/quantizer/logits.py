"""Argmax of logits: the network has already scored every code.

In: logits (..., K). Out: one index each. Sources: DALL-E's discrete VAE, arXiv 2102.12092; the
Gumbel variant of VQGAN, whose codes are rows of a learned table.

Dimension letters: K codebook size, D channels of a code.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtok.nn.quantizer.protocol import checked_indices, checked_latents


class LogitQuantizer(nn.Module):
    """The largest of K logits.

    Its codes are a table's rows (taming's `quantize.embed`); one-hot vectors (DALL-E) are the table
    `torch.eye(K)`, or no table: D is K then.

    Args:
        codebook_size: Number of codes and of logits (K).
        code_dim: Channels of a code (D); None for one-hot codes.

    Attributes:
        codebook: (K, D) fp32 buffer, normal at first; None for one-hot codes.
    """

    codebook: Tensor | None

    def __init__(self, codebook_size: int, code_dim: int | None = None) -> None:
        super().__init__()
        self._codebook_size = codebook_size
        codes = None if code_dim is None else torch.randn(codebook_size, code_dim)
        self.register_buffer("codebook", codes)

    @property
    def codebook_size(self) -> int:
        """Number of codes (K)."""
        return self._codebook_size

    @property
    def code_dim(self) -> int:
        """Channels of a code (D); a latent here has K channels instead."""
        return self._codebook_size if self.codebook is None else self.codebook.shape[1]

    def quantize(self, latents: Tensor) -> Tensor:
        """Return indices (...) int64 of logits (..., K); ties go to the smaller index.

        Raises:
            NonFiniteError: A logit is NaN or infinite.
        """
        logits = checked_latents(latents, self.codebook_size)
        largest = logits == logits.amax(dim=-1, keepdim=True)
        # Not argmax, which does not say which of several equal ones it returns.
        places = torch.arange(self.codebook_size, device=logits.device)
        return torch.where(largest, places, self.codebook_size).amin(dim=-1)

    def lookup(self, indices: Tensor) -> Tensor:
        """Return codes (..., D) fp32 of indices (...).

        Raises:
            ShardError: An index is outside [0, K).
        """
        indices = checked_indices(indices, self.codebook_size)
        if self.codebook is None:
            return functional.one_hot(indices, self.codebook_size).float()
        return functional.embedding(indices, self.codebook.float())
