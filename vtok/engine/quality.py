"""How alike two images are: PSNR, SSIM and MS-SSIM, as their papers define them.

In: two uint8 images of one size. Out: one number. Computed in float64 on the host; colour images
are the mean over their channels. This file knows nothing of models or files.

Sources: Wang, Bovik, Sheikh, Simoncelli, Image Quality Assessment: From Error Visibility to
Structural Similarity, IEEE TIP 13(4), 2004 (SSIM: section III.C, Gaussian window of 11x11 with
sigma 1.5, K1 = 0.01, K2 = 0.03, population moments, mean over the positions where the window fits);
Wang, Simoncelli, Bovik, Multiscale Structural Similarity, Asilomar 2003 (five scales, weights of
section 3.2).

Dimension letters: H W pixels.
"""

import math

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
_Planes = npt.NDArray[np.float64]

PEAK = 255.0
WINDOW_PX = 11
SIGMA_PX = 1.5
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MIN_MS_SSIM_SIDE_PX = WINDOW_PX * 2 ** (len(SCALE_WEIGHTS) - 1)

_C1 = (0.01 * PEAK) ** 2
_C2 = (0.03 * PEAK) ** 2


def psnr(image: Pixels, reference: Pixels) -> float:
    """Return the peak signal-to-noise ratio in dB; infinite for equal images.

    Args:
        image: (H, W, 3) uint8.
        reference: Likewise, of the same size.

    Raises:
        ValueError: the images are not of one shape, or not uint8.
    """
    _check(image, reference, 1)
    difference = image.astype(np.int32) - reference
    squares = int(np.einsum("hwc,hwc->", difference, difference, dtype=np.int64))
    if squares == 0:
        return math.inf
    return 10 * math.log10(PEAK**2 * image.size / squares)


def ssim(image: Pixels, reference: Pixels) -> float:
    """Return the structural similarity, 1 for equal images.

    Args:
        image: (H, W, 3) uint8, each side at least 11.
        reference: Likewise, of the same size.

    Raises:
        ValueError: the images are not of one shape, not uint8, or smaller than the window.
    """
    _check(image, reference, WINDOW_PX)
    luminance, contrast = _similarities(image.astype(np.float64), reference.astype(np.float64))
    return float((luminance * contrast).mean())


def ms_ssim(image: Pixels, reference: Pixels) -> float:
    """Return the multi-scale structural similarity over five scales, 1 for equal images.

    From scale to scale 2x2 blocks are averaged; an odd last row or column is left out. Negative
    contrast terms, which have no real power, count as 0.

    Args:
        image: (H, W, 3) uint8, each side at least 176, so that the window fits at every scale.
        reference: Likewise, of the same size.

    Raises:
        ValueError: the images are not of one shape, not uint8, or too small.
    """
    _check(image, reference, MIN_MS_SSIM_SIDE_PX)
    first, second = image.astype(np.float64), reference.astype(np.float64)
    product = np.ones(image.shape[2])
    for scale, weight in enumerate(SCALE_WEIGHTS):
        is_last = scale == len(SCALE_WEIGHTS) - 1
        luminance, contrast = _similarities(first, second)
        term = luminance * contrast if is_last else contrast
        product *= np.maximum(term.mean((0, 1)), 0) ** weight
        if not is_last:
            first, second = _halve(first), _halve(second)
    return float(product.mean())


def _check(image: Pixels, reference: Pixels, least_px: int) -> None:
    if image.shape != reference.shape or image.ndim != 3:
        raise ValueError(f"two (H, W, C) images of one shape, not {image.shape}, {reference.shape}")
    if image.dtype != np.uint8 or reference.dtype != np.uint8:
        raise ValueError(f"images must be uint8, not {image.dtype} and {reference.dtype}")
    if min(image.shape[:2]) < least_px:
        raise ValueError(f"each side must be at least {least_px}, not {image.shape[:2]}")


def _similarities(first: _Planes, second: _Planes) -> tuple[_Planes, _Planes]:
    """Return the luminance and the contrast-structure maps, (H - 10, W - 10, 3) each."""
    mean_1, mean_2 = _blur(first), _blur(second)
    variance_1 = _blur(first * first) - mean_1 * mean_1
    variance_2 = _blur(second * second) - mean_2 * mean_2
    covariance = _blur(first * second) - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + _C1) / (mean_1 * mean_1 + mean_2 * mean_2 + _C1)
    contrast = (2 * covariance + _C2) / (variance_1 + variance_2 + _C2)
    return luminance, contrast


def _blur(planes: _Planes) -> _Planes:
    """Return the Gaussian-weighted mean at every position where the window fits."""
    offsets = np.arange(WINDOW_PX) - WINDOW_PX // 2
    weights = np.exp(-(offsets**2) / (2 * SIGMA_PX**2))
    weights /= weights.sum()
    for axis in (0, 1):
        length = planes.shape[axis] - WINDOW_PX + 1
        parts = (
            weight * planes[(slice(None),) * axis + (slice(shift, shift + length),)]
            for shift, weight in enumerate(weights)
        )
        total = next(parts)
        for part in parts:
            total += part
        planes = total
    return planes


def _halve(planes: _Planes) -> _Planes:
    height, width = planes.shape[0] // 2, planes.shape[1] // 2
    even = planes[: 2 * height, : 2 * width]
    halved: _Planes = even.reshape(height, 2, width, 2, -1).mean((1, 3))  # (h, w, 3)
    return halved
