"""PSNR, SSIM and MS-SSIM against implementations that are not ours."""

import math

import numpy as np
import pytest

from vtok.engine.quality import ms_ssim, psnr, ssim


def pattern(height: int, width: int) -> np.ndarray:
    """Slow slopes crossed by stripes, from integers alone: (H, W, 3) uint8."""
    rows, cols, planes = np.ogrid[0:height, 0:width, 0:3]
    slope = rows * (planes + 1) // 2 + cols // 2
    stripes = (rows * 5 + cols * (3 + planes)) % 41
    blocks = (rows // 19 + cols // 23) % 3 * 31
    return ((slope + stripes + blocks) % 256).astype(np.uint8)


def worsened(image: np.ndarray, how: str) -> np.ndarray:
    if how == "coarse":
        return image // 24 * 24
    if how == "shifted":
        return np.roll(image, 1, axis=1)
    return 255 - image


# Measured with scikit-image 0.26.0 (float64):
#   peak_signal_noise_ratio(a, b, data_range=255)
#   structural_similarity(a, b, channel_axis=-1, gaussian_weights=True, sigma=1.5,
#                         use_sample_covariance=False, data_range=255)
# and pytorch-msssim 1.0.0: ms_ssim(a, b, data_range=255) of float64 tensors (window in float32).
GOLDEN = {
    ((176, 208), "coarse"): (25.689892859346017, 0.9093346490329758, 0.9897569666858218),
    ((176, 208), "shifted"): (15.662436127473855, 0.5686822570983255, 0.9171116230348207),
    ((176, 208), "inverted"): (5.574586768606848, -0.5539602996432794, None),
    ((240, 192), "coarse"): (25.687670460712813, 0.9092657020625977, 0.9897393821453789),
    ((240, 192), "shifted"): (15.838988853737403, 0.5693924882425566, 0.918927369495481),
    ((240, 192), "inverted"): (5.471407737401735, -0.5500408870247198, None),
    ((11, 30), "coarse"): (25.455009688159834, 0.7869739310957232, None),
    ((11, 30), "shifted"): (23.999093408806562, 0.5608809166191896, None),
    ((11, 30), "inverted"): (2.956071289032669, -0.21651596237317314, None),
}


@pytest.mark.parametrize(("size", "how"), GOLDEN)
def test_values_are_those_of_other_implementations(size: tuple[int, int], how: str) -> None:
    image = pattern(*size)
    expected_psnr, expected_ssim, expected_ms_ssim = GOLDEN[size, how]
    assert psnr(worsened(image, how), image) == pytest.approx(expected_psnr, abs=1e-9)
    assert ssim(worsened(image, how), image) == pytest.approx(expected_ssim, abs=1e-9)
    if expected_ms_ssim is not None:
        assert ms_ssim(worsened(image, how), image) == pytest.approx(expected_ms_ssim, abs=2e-6)


@pytest.mark.parametrize("how", ["coarse", "shifted", "inverted"])
def test_values_are_those_of_scikit_image_as_it_is_here(how: str) -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    image = pattern(37, 64)
    other = worsened(image, how)
    assert psnr(other, image) == pytest.approx(
        metrics.peak_signal_noise_ratio(image, other, data_range=255), abs=1e-9
    )
    expected = metrics.structural_similarity(
        image, other, channel_axis=-1, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, data_range=255,
    )  # fmt: skip
    assert ssim(other, image) == pytest.approx(expected, abs=1e-9)


def test_equal_images_are_equal_and_the_order_does_not_matter() -> None:
    image = pattern(176, 180)
    assert psnr(image, image) == math.inf
    assert ssim(image, image) == pytest.approx(1, abs=1e-12)
    assert ms_ssim(image, image) == pytest.approx(1, abs=1e-12)
    other = worsened(image, "coarse")
    for measure in (psnr, ssim, ms_ssim):
        assert measure(image, other) == pytest.approx(measure(other, image), abs=1e-12)


def test_a_large_image_does_not_overflow() -> None:
    black = np.zeros((3000, 4000, 3), np.uint8)
    assert psnr(black, black + 255) == pytest.approx(0, abs=1e-12)


def test_what_cannot_be_compared_is_refused() -> None:
    image = pattern(20, 20)
    with pytest.raises(ValueError, match="of one shape"):
        psnr(image, pattern(20, 21))
    with pytest.raises(ValueError, match="uint8"):
        psnr(image.astype(np.float32), image)
    with pytest.raises(ValueError, match="at least 11"):
        ssim(image[:10], image[:10])
    with pytest.raises(ValueError, match="at least 176"):
        ms_ssim(pattern(175, 200), pattern(175, 200))
