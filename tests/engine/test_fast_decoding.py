"""Fast ways to pixels: simplejpeg's are Pillow's; scaled ones are near, and only if asked for."""

import io
import sys

import numpy as np
import pytest
from engine_fakes import picture, task
from PIL import Image

from vtok.engine.preparation import Preparation, Prepared
from vtok.engine.quality import psnr
from vtok.io import turbo
from vtok.io.images import REDUCTIONS, decode
from vtok.records import Size
from vtok.resolution import SchemeOptions, resolve
from vtok.resolution.rendering import reduction_for

SQUASH = resolve("squash", SchemeOptions(tile_size_px=28, patch_px=4))


def jpeg(height: int, width: int, seed: int = 0, orientation: int = 1, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image = Image.fromarray(picture(height, width, seed))
    image.save(buffer, "JPEG", **{"quality": 90, "exif": exif, **options})
    return buffer.getvalue()


def photograph(height: int, width: int, seed: int = 1) -> np.ndarray:
    """Noise whose amplitude falls with frequency, as in photographs: (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    rows = np.fft.fftfreq(height)[:, None, None] * height
    cols = np.fft.fftfreq(width)[None, :, None] * width
    spectrum = rng.normal(size=(2, height, width, 3)) / np.maximum(1, np.hypot(rows, cols)) ** 1.2
    waves = np.fft.ifft2(spectrum[0] + 1j * spectrum[1], axes=(0, 1)).real
    return (128 + 50 * waves / waves.std()).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30}])
@pytest.mark.parametrize("size", [(64, 96), (37, 53), (1, 9)])
def test_simplejpegs_pixels_are_pillows(
    subsampling: str, options: dict[str, object], size: tuple[int, int]
) -> None:
    pytest.importorskip("simplejpeg")
    data = jpeg(*size, subsampling=subsampling, **options)
    ours = turbo.decode_rgb(data)
    assert ours is not None
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("size", [(64, 96), (37, 53), (101, 99)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_simplejpegs_reduced_pixels_are_pillows(
    reduction: int, size: tuple[int, int], subsampling: str
) -> None:
    pytest.importorskip("simplejpeg")
    data = jpeg(*size, subsampling=subsampling)
    theirs = Image.open(io.BytesIO(data))
    theirs.draft(None, (theirs.width // reduction, theirs.height // reduction))
    height, width = -(-size[0] // reduction), -(-size[1] // reduction)
    ours = turbo.decode_rgb(data, (height, width))
    assert ours is not None
    np.testing.assert_array_equal(ours, np.asarray(theirs))
    assert turbo.decode_rgb(data, (height, width + 1)) is None  # no size that it decodes at


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_installed_simplejpeg_changes_nothing(
    orientation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("simplejpeg")
    data = jpeg(40, 67, orientation=orientation)
    calls: list[bytes] = []
    real = turbo.decode_rgb

    def spy(data: bytes) -> np.ndarray | None:
        calls.append(data)
        return real(data)

    monkeypatch.setattr(turbo, "decode_rgb", spy)
    fast = decode(data)
    monkeypatch.setattr(turbo, "decode_rgb", lambda data: None)
    plain = decode(data)
    assert calls == [data]
    assert (fast.size, fast.conversions) == (plain.size, plain.conversions)
    np.testing.assert_array_equal(np.asarray(fast.image), np.asarray(plain.image))


@pytest.mark.parametrize("cut", [200, 900, -40, -2])
def test_damaged_files_have_pillows_verdict(cut: int) -> None:
    pytest.importorskip("simplejpeg")
    data = jpeg(64, 96)[:cut]
    assert turbo.decode_rgb(data) is None  # so that Pillow is asked


def test_a_decoder_that_disagrees_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    simplejpeg = pytest.importorskip("simplejpeg")
    real = simplejpeg.decode_jpeg
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda data, kind: real(data, kind) ^ 1)
    turbo._trusted.cache_clear()
    try:
        assert turbo.decode_rgb(jpeg(16, 16)) is None
        monkeypatch.setitem(sys.modules, "simplejpeg", None)  # as if it were not installed
        turbo._trusted.cache_clear()
        assert turbo.decode_rgb(jpeg(16, 16)) is None
    finally:
        turbo._trusted.cache_clear()


@pytest.mark.parametrize(
    ("side", "reduction"), [(28, 1), (167, 1), (168, 2), (335, 2), (336, 4), (672, 8), (9000, 8)]
)
def test_the_rule_of_scaled_decoding(side: int, reduction: int) -> None:
    plan = SQUASH.plan(Size(height=side, width=2 * side))
    assert reduction_for(plan, REDUCTIONS) == reduction


def test_pixels_that_are_taken_as_they_are_are_never_reduced() -> None:
    plan = resolve("native", SchemeOptions(alignment_px=8)).plan(Size(height=800, width=800))
    assert reduction_for(plan, REDUCTIONS) == 1


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("size", [(336, 448), (337, 451)])
def test_scaled_views_are_near_the_exact_ones(size: tuple[int, int], orientation: int) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photograph(*size)).save(buffer, "JPEG", quality=92, exif=exif)
    exact, scaled = (
        Preparation(scheme=SQUASH, decoding=decoding).prepare(task(0, buffer.getvalue()))
        for decoding in ("exact", "scaled")
    )
    assert isinstance(exact, Prepared)
    assert isinstance(scaled, Prepared)
    assert exact.facts.plan == scaled.facts.plan
    assert not any("reduced" in code for code in exact.facts.conversions)
    if size == (337, 451) and orientation != 1:  # a turn would misplace the parts of pixels
        assert exact.facts.conversions == scaled.facts.conversions
        np.testing.assert_array_equal(exact.views[0], scaled.views[0])
        return
    assert "reduced-4" in scaled.facts.conversions
    assert psnr(scaled.views[0], exact.views[0]) > 47


def test_other_formats_are_decoded_whole() -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(400, 400, 1)).save(buffer, "PNG")
    outcome = Preparation(scheme=SQUASH, decoding="scaled").prepare(task(0, buffer.getvalue()))
    assert isinstance(outcome, Prepared)
    assert outcome.facts.conversions == ()
