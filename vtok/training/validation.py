"""How good a tokenizer is: PSNR and SSIM of its reconstructions, and the use of its codes.

In: a tokenizer and images at their native sizes. Out: one record a validation, and the pictures to
look at. Images are padded to the patch by repeating their borders, and cropped back before they
are compared, as `decode-vq` does.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from vtok.engine.device import to_bytes, to_pixels
from vtok.engine.quality import psnr, ssim
from vtok.models.base import Tokenizer
from vtok.nn.quantizer import code_usage

Pixels = npt.NDArray[np.uint8]


class Reconstruction(NamedTuple):
    """One image, what came back of it, and the indices between: (h, w) int64."""

    original: Pixels
    reconstructed: Pixels
    indices: npt.NDArray[np.int64]


class Validation(NamedTuple):
    """The figures of one validation.

    Attributes:
        num_images: Images compared.
        psnr_db: Mean over images.
        ssim: Mean over images.
        codes_used: Distinct codes over all images.
        perplexity: 2 ** entropy of their use.
        bits_per_pixel: log2(K) per index over the pixels of the originals.
    """

    num_images: int
    psnr_db: float
    ssim: float
    codes_used: int
    perplexity: float
    bits_per_pixel: float


@torch.inference_mode()
def reconstruct(
    tokenizer: Tokenizer, images: Iterable[Pixels], *, device: torch.device
) -> Iterator[Reconstruction]:
    """Yield what becomes of each image, one by one, at its own size."""
    align = tokenizer.spec.alignment_px
    for original in images:
        height, width = original.shape[:2]
        padded = np.pad(original, ((0, -height % align), (0, -width % align), (0, 0)), mode="edge")
        pixels = to_pixels(torch.from_numpy(padded)[None], tokenizer.spec.pixels, device=device)
        indices = tokenizer.tokenize(pixels)
        decoded = to_bytes(tokenizer.decode_indices(indices), tokenizer.spec.pixels)
        yield Reconstruction(
            original, decoded[0, :height, :width].cpu().numpy(), indices[0].cpu().numpy()
        )


def validate(tokenizer: Tokenizer, images: Iterable[Pixels], *, device: torch.device) -> Validation:
    """Return the figures of a tokenizer over images, each of (H, W, 3) uint8."""
    size = tokenizer.spec.codebook_size
    uses = np.zeros(size, np.int64)
    qualities: list[tuple[float, float]] = []
    num_pixels = 0
    for each in reconstruct(tokenizer, images, device=device):
        qualities.append(
            (psnr(each.original, each.reconstructed), ssim(each.original, each.reconstructed))
        )
        uses += np.bincount(each.indices.ravel(), minlength=size)
        num_pixels += each.original.shape[0] * each.original.shape[1]
    usage = code_usage(torch.from_numpy(uses).float())
    means = np.mean(qualities, axis=0)
    return Validation(
        num_images=len(qualities),
        psnr_db=float(means[0]),
        ssim=float(means[1]),
        codes_used=usage.distinct,
        perplexity=usage.perplexity,
        bits_per_pixel=float(uses.sum() * np.log2(size) / num_pixels),
    )
