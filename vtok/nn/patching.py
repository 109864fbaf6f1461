"""Pixels to the channels of a coarser grid, and exactly back: a Haar wavelet, or plain patches.

In: an image (B, C, H, W), H and W multiples of the side P. Out: cells (B, C P P, H/P, W/P), or the
image of such cells. Nothing is learned. Source: NVIDIA's Cosmos Tokenizer, arXiv 2501.03575.

Dimension letters: B batch, C channels, H W pixels, P side of a patch, h w cells.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

PatchMethod = Literal["haar", "rearrange"]


@dataclass(frozen=True, slots=True)
class Patching:
    """A way of patches.

    Attributes:
        side: Pixels along one side of a patch (P), a power of two.
        method: `haar`, or pixels as they are (`rearrange`), row-major inside each channel.
    """

    side: int
    method: PatchMethod

    def __post_init__(self) -> None:
        """Refuse a side that halving does not reach."""
        if self.side < 1 or self.side & (self.side - 1):
            raise ValueError(f"the side of a patch is a power of two, not {self.side}")

    def apart(self, image: Tensor) -> Tensor:
        """Return cells (B, C P P, h, w) of an image (B, C, H, W)."""
        if self.method == "rearrange":
            return functional.pixel_unshuffle(image, self.side)
        for _ in range(self.side.bit_length() - 1):
            image = _haar(image)
        return image

    def together(self, cells: Tensor) -> Tensor:
        """Return the image (B, C, H, W) of cells (B, C P P, h, w)."""
        if self.method == "rearrange":
            return functional.pixel_shuffle(cells, self.side)
        for _ in range(self.side.bit_length() - 1):
            cells = _unhaar(cells)
        return cells


def _haar(image: Tensor) -> Tensor:
    """Return means, then differences down, across, and of both: (B, 4C, H/2, W/2).

    Each is a quarter of a sum or difference of four pixels, so that a flat image keeps its values.
    """
    left, right = image[..., 0::2], image[..., 1::2]
    parts = []
    for across in (left + right, left - right):
        above, below = across[..., 0::2, :], across[..., 1::2, :]
        parts += [above + below, above - below]
    return torch.cat(parts, dim=1) / 4


def _unhaar(cells: Tensor) -> Tensor:
    """Return the image (B, C, 2h, 2w) of what `_haar` gives, (B, 4C, h, w)."""
    mean, down, across, both = cells.chunk(4, dim=1)
    rows = [
        torch.stack((sums + differences, sums - differences), dim=-1).flatten(-2)  # (B, C, h, 2w)
        for sums, differences in ((mean + down, across + both), (mean - down, across - both))
    ]
    return torch.stack(rows, dim=-2).flatten(-3, -2)  # (B, C, 2h, 2w)
