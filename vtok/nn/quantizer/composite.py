"""Several indices a latent: of its parts side by side, or of what the last one left over.

In: latents (..., D). Out: indices (..., G), and codes (..., D) from them. Made of other quantizers;
knows nothing of their metrics.

Dimension letters: D channels, G indices of one latent, K values of one index.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vtok.nn.quantizer.protocol import checked_latents
from vtok.nn.quantizer.vector import VectorQuantizer


class ProductQuantizer(nn.Module):
    """Channels in G runs, each with a codebook of its own (UniTok, arXiv 2502.20321).

    Args:
        parts: One quantizer for each run of channels, in order, all of one codebook size.
    """

    def __init__(self, parts: Sequence[VectorQuantizer]) -> None:
        super().__init__()
        _one_size(parts)
        self.parts = nn.ModuleList(parts)

    @property
    def codebook_size(self) -> int:
        """Values of one index (K)."""
        return self._parts()[0].codebook_size

    @property
    def code_dim(self) -> int:
        """Channels of all parts together (D)."""
        return sum(part.code_dim for part in self._parts())

    def quantize(self, latents: Tensor) -> Tensor:
        """Return indices (..., G) int64 of latents (..., D).

        Raises:
            NonFiniteError: A latent is NaN or infinite.
        """
        latents = checked_latents(latents, self.code_dim)
        runs = torch.split(latents, [part.code_dim for part in self._parts()], dim=-1)
        indices = [part.quantize(run) for part, run in zip(self._parts(), runs, strict=True)]
        return torch.stack(indices, dim=-1)

    def lookup(self, indices: Tensor) -> Tensor:
        """Return codes (..., D) fp32 of indices (..., G).

        Raises:
            ShardError: An index is outside [0, K).
        """
        columns = indices.unbind(-1)
        codes = [part.lookup(column) for part, column in zip(self._parts(), columns, strict=True)]
        return torch.cat(codes, dim=-1)

    def _parts(self) -> list[VectorQuantizer]:
        """Return the parts with their type."""
        return [part for part in self.parts if isinstance(part, VectorQuantizer)]


class ResidualQuantizer(nn.Module):
    """Each index stands for what the ones before left over (RQ-VAE, arXiv 2203.01941).

    Args:
        steps: One quantizer for each depth, all of one shape; the same object where the depths
            share a codebook.
    """

    def __init__(self, steps: Sequence[VectorQuantizer]) -> None:
        super().__init__()
        _one_size(steps)
        if len({step.code_dim for step in steps}) > 1:
            raise ValueError("the steps of a residual quantizer have codes of one length")
        self.steps = nn.ModuleList(steps)

    @property
    def codebook_size(self) -> int:
        """Values of one index (K)."""
        return self._steps()[0].codebook_size

    @property
    def code_dim(self) -> int:
        """Channels (D)."""
        return self._steps()[0].code_dim

    def quantize(self, latents: Tensor) -> Tensor:
        """Return indices (..., G) int64 of latents (..., D), coarse to fine.

        Raises:
            NonFiniteError: A latent is NaN or infinite.
        """
        rest = checked_latents(latents, self.code_dim).detach().float()
        indices = []
        for step in self._steps():
            indices.append(step.quantize(rest))
            rest = rest - step.lookup(indices[-1])
        return torch.stack(indices, dim=-1)

    def lookup(self, indices: Tensor) -> Tensor:
        """Return codes (..., D) fp32, the sums over depth, of indices (..., G).

        Raises:
            ShardError: An index is outside [0, K).
        """
        columns = zip(self._steps(), indices.unbind(-1), strict=True)
        return torch.stack([step.lookup(column) for step, column in columns]).sum(dim=0)

    def _steps(self) -> list[VectorQuantizer]:
        """Return the steps with their type."""
        return [step for step in self.steps if isinstance(step, VectorQuantizer)]


def _one_size(parts: Sequence[VectorQuantizer]) -> None:
    """Refuse parts of different codebook sizes: one range is checked and stored for all."""
    sizes = {part.codebook_size for part in parts}
    if len(sizes) != 1:
        raise ValueError(f"parts of one codebook size are needed, not of {sorted(sizes)}")
