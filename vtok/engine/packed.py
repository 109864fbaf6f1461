"""A pack through an encoder: views of any sizes as one sequence, and apart again.

In: arrays (H, W, 3) of any sizes. Out: for each its features (N, D) on the host. This file does not
know how an encoder keeps them apart, nor how packs are formed.

Dimension letters: V views, H W pixels, N tokens, D channels.
"""

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor

from vtok.engine.device import to_pixels
from vtok.engine.forward import Array, FeaturesForward, Launched
from vtok.models.base import Encoder


class PackedForward(FeaturesForward):
    """V arrays (H, W, 3) uint8 of any sizes → V arrays (N, D) float features."""

    def kind(self, part: Sequence[Array]) -> Hashable:
        """Return the same for all: a pack's size is bounded by its pixels, not by its shapes."""
        return "pack"

    def start(self, part: Sequence[Array]) -> Launched:
        """Send a pack to the device and have it computed."""
        spec = self.encoder.spec
        images = [
            to_pixels(view, spec.pixels, device=self.device, dtype=self.dtype)[0]
            for view in self._views(part)
        ]
        features = self.encoder.features_packed(images)
        is_finite = torch.stack([each.isfinite().all() for each in features])
        launched = self.bring_home(torch.cat(features), is_finite)
        return launched._replace(lengths=tuple(len(each) for each in features))

    def _views(self, part: Sequence[Array]) -> list[Tensor]:
        """Return the arrays (1, H, W, 3) on the device, whereto they travel in one piece."""
        flat = np.concatenate([array.reshape(-1) for array in part])
        moved = self.send(torch.from_numpy(flat))
        pieces = torch.split(moved, [array.size for array in part])
        return [piece.view(1, *array.shape) for piece, array in zip(pieces, part, strict=True)]


def features_forward(
    encoder: Encoder, *, device: torch.device, dtype: torch.dtype, may_pack: bool = True
) -> FeaturesForward:
    """Return what runs an encoder: packed if it packs and may, else in batches of equal views."""
    kind = PackedForward if encoder.spec.packs and may_pack else FeaturesForward
    return kind(encoder, device=device, dtype=dtype)
