"""Small shapes, short recipes and generated pictures for the tests of training."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from vtok.models.vtok_base_networks import VtokBaseConfig
from vtok.training.recipe import TrainingRecipe

Pixels = npt.NDArray[np.uint8]

TINY = VtokBaseConfig(
    patch_px=4,
    width=16,
    hidden=16,
    encoder_layers="ca",
    decoder_layers="ca",
    num_heads=2,
    window=4,
    codebook_size=32,
    code_dim=4,
)
SHORT = TrainingRecipe(
    num_steps=6,
    batch_size=2,
    crop_px=16,
    warmup_steps=2,
    start_crops=16,
    revive_after=3,
    learning_rate=2e-3,
)


def picture(seed: int, *, height: int = 40, width: int = 56) -> Pixels:
    """Return smooth colours with a few edges: (H, W, 3) uint8."""
    draw = np.random.default_rng(seed)
    rows, cols = np.mgrid[0:height, 0:width] / 16.0
    planes = [
        np.sin(rows * draw.uniform(0.3, 2)) + np.cos(cols * draw.uniform(0.3, 2)) for _ in range(3)
    ]
    pixels = (np.stack(planes, axis=-1) + 2) * 63
    top, left = draw.integers(height // 2), draw.integers(width // 2)
    pixels[top : top + height // 3, left : left + width // 3] = draw.integers(0, 255, 3)
    return pixels.clip(0, 255).astype(np.uint8)


def write_pictures(folder: Path, number: int) -> None:
    """Write generated pictures as PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(number):
        Image.fromarray(picture(seed)).save(folder / f"picture-{seed:03d}.png")
