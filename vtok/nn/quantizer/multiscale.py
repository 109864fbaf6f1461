"""Indices of a whole map at several scales: each scale stands for what the coarser ones left over.

In: latents (B, h, w, D). Out: indices (B, L), the cells of each scale after those of the coarser
one. The latents' rest is averaged down to a scale's grid, its nearest codes are enlarged to (h, w)
and refined by a convolution, and what they make is taken off the rest. Source: VAR,
arXiv 2404.02905, algorithms 1 and 2. Knows nothing of pixels or files.

Dimension letters: B batch, h w the finest grid, D channels, K codebook size, L cells of all scales.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtok.nn.quantizer.exact import Metric
from vtok.nn.quantizer.protocol import checked_latents
from vtok.nn.quantizer.vector import VectorQuantizer


class MultiScaleQuantizer(VectorQuantizer):
    """One codebook at several scales, coarse to fine.

    Args:
        codebook_size: Number of codes (K).
        code_dim: Length of one code (D).
        scales: (rows, columns) of each; the last is the grid of the latents.
        num_refiners: Convolutions that the scales share, neighbours the same; 0 for none.
        share: How much of a code goes through its convolution, in [0, 1].
        metric: Of the search.
    """

    def __init__(
        self,
        codebook_size: int,
        code_dim: int,
        scales: Sequence[tuple[int, int]],
        *,
        num_refiners: int = 4,
        share: float = 0.5,
        metric: Metric = "l2",
    ) -> None:
        super().__init__(codebook_size, code_dim, metric)
        self.scales = tuple(scales)
        self.share = share
        self.refine = nn.ModuleList(
            nn.Conv2d(code_dim, code_dim, 3, padding=1) for _ in range(num_refiners)
        )

    def quantize(self, latents: Tensor) -> Tensor:
        """Return indices (B, L) int64 of latents (B, h, w, D).

        Raises:
            NonFiniteError: a latent is NaN or infinite.
        """
        rest = checked_latents(latents, self.code_dim).detach().float().movedim(-1, 1).clone()
        if tuple(rest.shape[2:]) != self.scales[-1]:
            raise ValueError(f"latents are of the grid {self.scales[-1]}, not {rest.shape[2:]}")
        indices = []
        for place, scale in enumerate(self.scales):
            is_last = place + 1 == len(self.scales)
            cells = rest if is_last else functional.interpolate(rest, size=scale, mode="area")
            found = super().quantize(cells.movedim(1, -1))  # (B, rows, columns)
            rest = rest - self._made(found, place)
            indices.append(found.flatten(1))
        return torch.cat(indices, dim=1)

    def lookup(self, indices: Tensor) -> Tensor:
        """Return codes (B, h, w, D) fp32, the sum over the scales, of indices (B, L).

        Raises:
            ShardError: an index is outside [0, K).
        """
        parts = torch.split(indices, [rows * columns for rows, columns in self.scales], dim=1)
        total = torch.zeros((), device=indices.device)
        for place, (part, scale) in enumerate(zip(parts, self.scales, strict=True)):
            total = total + self._made(part.reshape(-1, *scale), place)
        return total.movedim(1, -1)

    def _made(self, indices: Tensor, place: int) -> Tensor:
        """Return what one scale's indices (B, rows, columns) add: (B, D, h, w)."""
        codes = super().lookup(indices).movedim(-1, 1).contiguous()
        if place + 1 < len(self.scales):
            codes = functional.interpolate(codes, size=self.scales[-1], mode="bicubic")
        if not len(self.refine):
            return codes
        change: Tensor = self.refine[self._refiner(place)](codes)
        return codes * (1 - self.share) + change * self.share

    def _refiner(self, place: int) -> int:
        """Return which convolution a scale shares: the one whose place on [0, 1] is nearest."""
        count = len(self.refine)
        margin = 1 / (3 if count == 4 else 2) / count  # as the authors' code spaces them
        step = (1 - 2 * margin) / max(1, count - 1)
        at = place / max(1, len(self.scales) - 1)
        return min(range(count), key=lambda each: abs(margin + each * step - at))
