"""Whether continuous tokens mean something: does a crop's mean feature find its photograph?

    python tests/bench/bench_features.py [FOLDER] [--model vtok-base] [--holdout 100]

Of every image (the last of a folder by name, as training holds them out; without a folder the
sample images) two crops of 70 % of each side are cut at random places and their brightness,
contrast and saturation changed by up to 20 % each. A crop is described by the mean of its feature
vectors, each dimension standardised over all crops; the share of crops whose nearest neighbour by
cosine, among all crops of the other kind, is the one of the same photograph is printed, beside the
same for what needs no model: mean colour, and the crop's own pixels at 16 x 16.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from held_out import arguments, held_out
from PIL import Image, ImageEnhance

from vtok.engine.device import to_pixels
from vtok.models.base import Encoder
from vtok.models.registry import load_encoder

Vectors = npt.NDArray[np.float64]
CROP_SHARE, JITTER = 0.7, 0.2


def crop(image: Image.Image, draw: np.random.Generator, align: int) -> Image.Image:
    """Return a crop at a random place, its sides multiples of `align`, its colours changed."""
    width, height = (int(side * CROP_SHARE) // align * align for side in image.size)
    left = int(draw.integers(image.width - width + 1))
    top = int(draw.integers(image.height - height + 1))
    part = image.crop((left, top, left + width, top + height))
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        part = change(part).enhance(draw.uniform(1 - JITTER, 1 + JITTER))
    return part


@torch.inference_mode()
def mean_feature(encoder: Encoder, part: Image.Image) -> Vectors:
    """Return the mean of a crop's feature vectors, (D,)."""
    pixels = torch.from_numpy(np.array(part))[None]  # (1, H, W, 3)
    features = encoder.features(to_pixels(pixels, encoder.spec.pixels, device=torch.device("cpu")))
    return features[0].double().mean(0).numpy()


def mean_colour(part: Image.Image) -> Vectors:
    """Return the mean colour, (3,)."""
    return np.asarray(part, np.float64).mean((0, 1))


def small_pixels(part: Image.Image) -> Vectors:
    """Return mean colour and pixels at 16 x 16, (771,)."""
    small = part.resize((16, 16), Image.Resampling.BOX)
    return np.concatenate((mean_colour(part), np.asarray(small, np.float64).ravel()))


def top1(describe: Callable[[Image.Image], Vectors], pairs: list[list[Image.Image]]) -> float:
    """Return the share of crops, of either kind, that find their photograph's other crop first."""
    described = np.array([[describe(part) for part in pair] for pair in pairs])  # (M, 2, D)
    described -= described.mean((0, 1))
    described /= described.std((0, 1)) + 1e-12
    described /= np.linalg.norm(described, axis=2, keepdims=True)
    likeness = described[:, 0] @ described[:, 1].T  # (M, M)
    own = np.arange(len(pairs))
    found = np.concatenate((likeness.argmax(1) == own, likeness.argmax(0) == own))
    return float(found.mean())


def main() -> None:
    """Print the three shares."""
    chosen = arguments(__doc__)
    encoder = load_encoder(chosen.model)
    images = held_out(chosen.folder, chosen.holdout)
    draw = np.random.default_rng(0)
    pairs = [
        [crop(Image.fromarray(pixels), draw, encoder.spec.alignment_px) for _ in range(2)]
        for pixels in images
        if 64**2 < pixels.shape[0] * pixels.shape[1] < 4e6
    ]
    rows: dict[str, Callable[[Image.Image], Vectors]] = {
        f"{chosen.model}, mean feature": lambda part: mean_feature(encoder, part),
        "mean colour": mean_colour,
        "mean colour, 16x16 pixels": small_pixels,
    }
    print(f"{len(pairs)} images, two crops each; share that finds the other crop first")
    for name, describe in rows.items():
        print(f"  {name:28} {top1(describe, pairs):.1%}")


if __name__ == "__main__":
    main()
