"""A tokenizer beside JPEG, WebP and AVIF at its own bit rate, over images it never saw.

    python tests/bench/bench_quality.py [FOLDER] [--model vtok-base] [--holdout 100]

Of a folder, the last images by name are taken, as training holds them out; without one, the
sample images, which no training saw.

For every image, each codec gets at most the bytes that the indices need (log2 K bits each), at the
highest quality that fits; where not even its lowest does, the lowest is taken, in its favour. PSNR,
SSIM and MS-SSIM are means over images, all measured by the same code on the same pixels.
"""

import io
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from held_out import arguments, held_out
from PIL import Image, features

from vtok.engine.quality import MIN_MS_SSIM_SIDE_PX, ms_ssim, psnr, ssim
from vtok.models.registry import load_tokenizer
from vtok.training.validation import Reconstruction, reconstruct

Pixels = npt.NDArray[np.uint8]
Figures = tuple[float, float, float, float]
Row = tuple[str, Figures]

CODECS: dict[str, dict[str, object]] = {
    "JPEG": {"optimize": True, "subsampling": "4:2:0"},
    "WebP": {"method": 6},
    "AVIF": {"speed": 6},
}


def fitted(original: Pixels, codec: str, budget_bytes: float) -> tuple[Pixels, int]:
    """Return the image through a codec at the highest quality within the budget, and its bytes."""
    low, high = (1, 95) if codec == "JPEG" else (0, 100)
    best = coded(original, codec, low)
    while low < high:
        middle = (low + high + 1) // 2
        data = coded(original, codec, middle)
        if len(data) <= budget_bytes:
            best, low = data, middle
        else:
            high = middle - 1
    return np.asarray(Image.open(io.BytesIO(best)).convert("RGB")), len(best)


def coded(original: Pixels, codec: str, quality: int) -> bytes:
    """Return the encoded image."""
    buffer = io.BytesIO()
    Image.fromarray(original).save(buffer, codec, quality=quality, **CODECS[codec])
    return buffer.getvalue()


def figures(original: Pixels, other: Pixels) -> tuple[float, float, float]:
    """Return PSNR in dB, SSIM, and MS-SSIM (NaN for images too small to have one)."""
    is_large = min(original.shape[:2]) >= MIN_MS_SSIM_SIDE_PX
    multi = ms_ssim(other, original) if is_large else math.nan
    return psnr(other, original), ssim(other, original), multi


def of_moderate_size(folder: str | None, holdout: int) -> list[Pixels]:
    """Return those held out of a folder, or the sample images of moderate size."""
    images = held_out(folder, holdout)
    if folder is not None:
        return list(images)
    return [each for each in images if 100**2 < each.shape[0] * each.shape[1] < 4e6]


def main() -> None:
    """Print the table."""
    chosen = arguments(__doc__)
    tokenizer = load_tokenizer(chosen.model)
    bits = math.log2(tokenizer.spec.codebook_size)
    images = of_moderate_size(chosen.folder, chosen.holdout)
    rows: dict[str, list[Figures]] = {}
    uses = np.zeros(tokenizer.spec.codebook_size, np.int64)
    codecs = [name for name in CODECS if name != "AVIF" or features.check("avif")]
    for each in reconstruct(tokenizer, images, device=torch.device("cpu")):
        for name, measured in measure(each, bits, codecs):
            rows.setdefault(name or chosen.model, []).append(measured)
        uses += np.bincount(each.indices.ravel(), minlength=len(uses))
    shares = uses[uses > 0] / uses.sum()
    print(f"{len(images)} images; means over images")
    print(f"{'':12} {'bits/px':>8} {'PSNR dB':>8} {'SSIM':>7} {'MS-SSIM':>8}")
    for name, measured_all in rows.items():
        rate, decibels, similarity, multi = np.nanmean(np.array(measured_all), axis=0)
        print(f"{name:12} {rate:8.3f} {decibels:8.2f} {similarity:7.4f} {multi:8.4f}")
    perplexity = 2 ** -(shares * np.log2(shares)).sum()
    print(f"codes used: {len(shares)} of {len(uses)}, perplexity {perplexity:.0f}")


def measure(each: Reconstruction, bits: float, codecs: list[str]) -> Iterator[Row]:
    """Yield (name, figures) of the tokenizer (named by the empty string) and of every codec."""
    num_pixels = each.original.shape[0] * each.original.shape[1]
    budget_bytes = each.indices.size * bits / 8
    yield "", (budget_bytes * 8 / num_pixels, *figures(each.original, each.reconstructed))
    for codec in codecs:
        other, num_bytes = fitted(each.original, codec, budget_bytes)
        yield codec, (num_bytes * 8 / num_pixels, *figures(each.original, other))


if __name__ == "__main__":
    main()
