"""Random crops of photographs, each drawn from the seed, its step and its place alone.

In: images, uint8 (H, W, 3) arrays. Out: batches of crops, (B, 3, S, S) uint8. Knows nothing of
files, models or losses. A run that is interrupted and resumed sees the crops that it would have
seen, and so does a run that is shared among processes.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from vtok.training.generated import generated
from vtok.training.recipe import TrainingRecipe

Pixels = npt.NDArray[np.uint8]

_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601 luma


class RandomCrops:
    """Crops at random places, scales and flips, and as the recipe says in other colours.

    Args:
        images: (H, W, 3) uint8 each, of any sizes; sides below the crop's are enlarged to it.
        recipe: Its `crop_px` (S), `min_scale`, `colour_jitter`, `generated_share` and `seed`.
    """

    def __init__(self, images: Sequence[Pixels], recipe: TrainingRecipe) -> None:
        self._images = images
        self._recipe = recipe

    def batch(self, step: int, numbers: range) -> Tensor:
        """Return some crops of a step, by number: (B, 3, S, S) uint8 in [0, 255]."""
        crops = [self._crop(np.random.default_rng((self._recipe.seed, step, n))) for n in numbers]
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)  # (B, 3, S, S)

    def _crop(self, draw: np.random.Generator) -> Pixels:
        recipe, side = self._recipe, self._recipe.crop_px
        if draw.random() < recipe.generated_share:
            return generated(draw, side)
        pixels = self._images[int(draw.integers(len(self._images)))]
        scale = draw.uniform(recipe.min_scale, 1.0) if draw.random() < 0.5 else 1.0
        pixels = _scaled(pixels, scale, least_px=side)
        top = int(draw.integers(pixels.shape[0] - side + 1))
        left = int(draw.integers(pixels.shape[1] - side + 1))
        crop = pixels[top : top + side, left : left + side]
        if draw.random() < 0.5:
            crop = crop[:, ::-1]
        if recipe.colour_jitter:
            crop = recoloured(crop, draw, recipe.colour_jitter)
        return crop


def recoloured(pixels: Pixels, draw: np.random.Generator, strength: float) -> Pixels:
    """Return pixels with saturation, contrast and brightness changed by up to the strength."""
    saturation, contrast, brightness = draw.uniform(1 - strength, 1 + strength, 3)
    values = pixels.astype(np.float64)
    grey = (values @ _GREY)[:, :, None]
    values = grey + saturation * (values - grey)
    values = brightness * (grey.mean() + contrast * (values - grey.mean()))
    changed: Pixels = np.rint(values.clip(0, 255)).astype(np.uint8)
    return changed


def _scaled(pixels: Pixels, scale: float, *, least_px: int) -> Pixels:
    """Return the image scaled, its short side kept at least_px or more."""
    height, width = pixels.shape[:2]
    scale = max(scale, least_px / min(height, width))
    if scale == 1.0:
        return pixels
    size = (max(least_px, round(width * scale)), max(least_px, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
