"""A tokenizer against what its authors' own code gave for the same weights and images.

Reference arrays, for a square pair (`sq`) and one wide image (`ns`): img uint8 (B, H, W, 3), z
latents, idx indices, gap how much better each index was than the second best, dec the decoder's
output for idx.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from vtok.models.base import Tokenizer

GOLDEN = Path(__file__).parents[1] / "golden" / "models"
TAGS = ("sq", "ns")
MAX_LATENT_ERROR = 6e-5
MAX_DECODE_ERROR = 5e-5
NEAR_TIE = 1e-3

ROWS: set[tuple[str, str, str, str, str]] = set()

Arrays = Mapping[str, np.ndarray]


def references(family: str) -> Arrays:
    with np.load(GOLDEN / family / "refs.npz") as stored:
        return {name: stored[name] for name in stored.files}


def pixels_of(tokenizer: Tokenizer, images: np.ndarray) -> torch.Tensor:
    """Images as the specification says: (byte / 255 - mean) / std."""
    unit = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean, std = (
        torch.tensor(each)[:, None, None]
        for each in (tokenizer.spec.pixels.mean, tokenizer.spec.pixels.std)
    )
    return (unit - mean) / std


@torch.no_grad()
def errors(
    tokenizer: Tokenizer,
    arrays: Arrays,
    tag: str,
    finish: Callable[[torch.Tensor], torch.Tensor] = lambda pixels: pixels,
) -> tuple[float, int, int, np.ndarray | None]:
    """Largest latent error, indices that differ without being near ties, indices, decode errors.

    Decode errors are (B,), the largest of each image; None for a tokenizer without a decoder.
    """
    latents = tokenizer.encode(pixels_of(tokenizer, arrays[f"img_{tag}"]))
    latent_error = float((latents - torch.from_numpy(arrays[f"z_{tag}"])).abs().max())
    expected = arrays[f"idx_{tag}"].astype(np.int64)
    differ = tokenizer.quantize(latents).numpy() != expected
    wrong = int((differ & (arrays[f"gap_{tag}"] >= NEAR_TIE)).sum())
    decoded = None
    if tokenizer.spec.can_decode:
        pixels = finish(tokenizer.decode_indices(torch.from_numpy(expected))).numpy()
        decoded = np.abs(pixels - arrays[f"dec_{tag}"]).max(axis=(1, 2, 3))
    return latent_error, wrong, expected.size, decoded


def recorded(
    label: str, tag: str, found: tuple[float, int, int, np.ndarray | None]
) -> tuple[float, int, np.ndarray | None]:
    """Put what was found into the table; return latent error, wrong indices, decode errors."""
    latents, wrong, total, decoded = found
    shown = "no decoder" if decoded is None else f"{decoded.max():.1e}"
    ROWS.add((label, tag, f"{latents:.1e}", f"{total - wrong} of {total}", shown))
    return latents, wrong, decoded


def assert_parity(tokenizer: Tokenizer, arrays: Arrays, label: str, tag: str) -> None:
    """Hold latents, indices and decoded pixels to the references, and put them into the table."""
    latents, wrong, decoded = recorded(label, tag, errors(tokenizer, arrays, tag))
    assert latents <= MAX_LATENT_ERROR
    assert wrong == 0
    assert decoded is not None
    assert (decoded <= MAX_DECODE_ERROR).all(), decoded
