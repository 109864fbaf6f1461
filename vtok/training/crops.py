"""Random crops of photographs, drawn so that a step's crops depend on the seed and its number only.

In: images, uint8 (H, W, 3) arrays. Out: batches of crops, (B, 3, S, S) uint8. Knows nothing of
files, models or losses. A run that is interrupted and resumed sees the crops that it would have
seen.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

Pixels = npt.NDArray[np.uint8]


class RandomCrops:
    """Crops at random places, scales and flips.

    Args:
        images: (H, W, 3) uint8 each, of any sizes; sides below the crop's are enlarged to it.
        crop_px: Side of a crop (S).
        min_scale: Images are reduced by a factor drawn from [min_scale, 1] in half of the draws.
        seed: Of every draw.
    """

    def __init__(
        self, images: Sequence[Pixels], *, crop_px: int, min_scale: float, seed: int
    ) -> None:
        self._images = images
        self._crop_px = crop_px
        self._min_scale = min_scale
        self._seed = seed

    def batch(self, step: int, batch_size: int) -> Tensor:
        """Return the crops of a step: (B, 3, S, S) uint8 in [0, 255]."""
        draw = np.random.default_rng((self._seed, step))
        crops = [self._crop(draw) for _ in range(batch_size)]
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)  # (B, 3, S, S)

    def _crop(self, draw: np.random.Generator) -> Pixels:
        pixels = self._images[int(draw.integers(len(self._images)))]
        scale = draw.uniform(self._min_scale, 1.0) if draw.random() < 0.5 else 1.0
        pixels = _scaled(pixels, scale, least_px=self._crop_px)
        side = self._crop_px
        top = int(draw.integers(pixels.shape[0] - side + 1))
        left = int(draw.integers(pixels.shape[1] - side + 1))
        crop = pixels[top : top + side, left : left + side]
        if draw.random() < 0.5:
            crop = crop[:, ::-1]
        return crop


def _scaled(pixels: Pixels, scale: float, *, least_px: int) -> Pixels:
    """Return the image scaled, its short side kept at least_px or more."""
    height, width = pixels.shape[:2]
    scale = max(scale, least_px / min(height, width))
    if scale == 1.0:
        return pixels
    size = (max(least_px, round(width * scale)), max(least_px, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
