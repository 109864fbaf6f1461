"""The fast resizer's pixels beside Pillow's, under every scheme; and when it must refuse."""

import sys
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from vtok.errors import DegenerateSizeError, UsageError
from vtok.records import Size
from vtok.resolution import SchemeOptions, fast_resize, painters, render, resolve, scheme_names
from vtok.resolution.fast_resize import order_of_passes
from vtok.resolution.painters import PILLOW, painter
from vtok.resolution.parts import Box, Resample
from vtok.resolution.rendering import reduction_for

MEAN_ERROR = 0.02
"""Levels of 255: what a resize may be off from the reference image processor."""
SIZES = (Size(height=288, width=430), Size(height=431, width=288), Size(height=96, width=101))


@pytest.fixture(autouse=True)
def _installed() -> None:
    pytest.importorskip("cykooz_resizer", reason="it is not built for this machine")


def photograph(size: Size, seed: int = 1) -> np.ndarray:
    """Noise whose amplitude falls with frequency, as in photographs, and a sharp line."""
    rng = np.random.default_rng(seed)
    rows = np.fft.fftfreq(size.height)[:, None, None] * size.height
    cols = np.fft.fftfreq(size.width)[None, :, None] * size.width
    shape = (2, size.height, size.width, 3)
    spectrum = rng.normal(size=shape) / np.maximum(1, np.hypot(rows, cols)) ** 1.2
    waves = np.fft.ifft2(spectrum[0] + 1j * spectrum[1], axes=(0, 1)).real
    pixels = (128 + 60 * waves / waves.std()).clip(0, 255).astype(np.uint8)
    pixels[size.height // 3] = 255
    return pixels


def errors(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    return np.abs(ours.astype(int) - theirs)


@pytest.mark.parametrize("size", SIZES[:2], ids=str)
@pytest.mark.parametrize("name", scheme_names())
def test_fast_views_are_pillows_but_for_rounding(name: str, size: Size) -> None:
    scheme = resolve(name)
    with suppress(DegenerateSizeError):
        plan = scheme.plan(size)
        pixels = photograph(size)
        exact = render(plan, Image.fromarray(pixels))
        fast = render(plan, pixels, painter=painter("fast"))
        assert [view.shape for view in fast] == [view.shape for view in exact]
        assert all(view.flags.writeable for view in fast)
        # Of all views: one of a few pixels may be one of those that are off.
        off = np.concatenate([errors(a, b).ravel() for a, b in zip(fast, exact, strict=True)])
        assert off.max(initial=0) <= 3
        assert off.mean() <= MEAN_ERROR


@pytest.mark.parametrize("resample", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("wanted", [Size(height=336, width=336), Size(height=64, width=200)])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_filter_shrinks_and_grows(size: Size, wanted: Size, resample: Resample) -> None:
    fast, pixels = painter("fast"), photograph(size)
    ours = fast.pixels(fast.resize(fast.open(pixels), wanted, resample))
    theirs = PILLOW.pixels(PILLOW.resize(PILLOW.open(pixels), wanted, resample))
    assert errors(ours, theirs).mean() <= MEAN_ERROR


PARTS = (
    (Size(height=256, width=382), Box(63, 0, 319, 256)),
    (Size(height=382, width=256), Box(0, 63, 256, 319)),
    (Size(height=70, width=90), Box(0, 3, 11, 70)),
    (Size(height=600, width=800), Box(300, 299, 301, 300)),
    (Size(height=288, width=700), Box(650, 10, 700, 200)),
    (Size(height=200, width=430), Box(30, 5, 401, 190)),
)


@pytest.mark.parametrize("edge", [None, (287.5, 429.25)], ids=["whole", "edge"])
@pytest.mark.parametrize("resample", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize(("wanted", "box"), PARTS, ids=str)
def test_a_part_that_is_shown_is_that_part_of_the_whole(
    wanted: Size, box: Box, resample: Resample, edge: tuple[float, float] | None
) -> None:
    pixels = photograph(SIZES[0])
    for each, most in ((PILLOW, 0.0), (painter("fast"), MEAN_ERROR / 2)):
        picture = each.open(pixels)
        whole = each.pixels(each.resize(picture, wanted, resample, edge=edge))
        part = each.pixels(each.resize(picture, wanted, resample, edge=edge, shown=box))
        off = errors(part, whole[box.top : box.bottom, box.left : box.right])
        # Weights of 16 bits are computed from another origin: the last one may differ.
        assert off.max() <= 2
        assert off.mean() <= most


def test_the_other_order_of_passes_would_be_seen() -> None:
    size, wanted = SIZES[1], Size(height=200, width=250)
    image = Image.fromarray(photograph(size))
    between = image.resize((250, 431)), image.resize((288, 200))
    whole = np.asarray(image.resize((wanted.width, wanted.height)))
    off = [errors(np.asarray(each.resize((250, 200))), whole).mean() for each in between]
    assert min(off) == 0
    assert max(off) > 2 * MEAN_ERROR


@pytest.mark.parametrize("size", [Size(height=337, width=451), Size(height=451, width=337)])
def test_the_edge_of_a_reduced_image_is_kept(size: Size) -> None:
    plan = resolve("squash", SchemeOptions(tile_size_px=28, patch_px=4)).plan(size)
    reduction = reduction_for(plan, (8, 4, 2))
    assert reduction == 4
    reduced = photograph(Size(height=-(-size.height // 4), width=-(-size.width // 4)))
    (exact,) = render(plan, reduced, reduction=reduction)
    (fast,) = render(plan, reduced, reduction=reduction, painter=painter("fast"))
    assert errors(fast, exact).mean() <= MEAN_ERROR


def test_canvases_halved_extended_and_mirrored_are_the_same() -> None:
    fast, pixels = painter("fast"), photograph(SIZES[2])
    at, size = Box(3, 2, 104, 98), Size(height=99, width=107)
    for ours, theirs in (
        (fast.halve(pixels), PILLOW.halve(PILLOW.open(pixels))),
        (fast.extend(pixels, size, at), PILLOW.extend(PILLOW.open(pixels), size, at)),
        (
            fast.place(pixels, size, at, (1, 2, 3)),
            PILLOW.place(PILLOW.open(pixels), size, at, (1, 2, 3)),
        ),
        (
            fast.flip(fast.part(pixels, at)),
            PILLOW.flip(PILLOW.part(PILLOW.open(pixels), Box(3, 2, 101, 96))),
        ),
    ):
        np.testing.assert_array_equal(fast.pixels(ours), PILLOW.pixels(theirs))


def test_a_picture_too_large_to_hold_three_times_is_pillows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(painters, "MAX_FAST_PIXELS", 100)
    fast, pixels = painter("fast"), photograph(SIZES[0])
    wanted = Size(height=50, width=60)
    theirs = PILLOW.pixels(PILLOW.resize(PILLOW.open(pixels), wanted, "bicubic"))
    np.testing.assert_array_equal(fast.resize(pixels, wanted, "bicubic"), theirs)


def test_vector_instructions_change_no_byte() -> None:
    import cykooz_resizer as library

    pixels = photograph(SIZES[0])
    options = library.ResizeOptions(
        resize_alg=library.ResizeAlg.convolution(library.FilterType.catmull_rom), use_alpha=False
    )
    results = set()
    native = library.Resizer().cpu_extensions
    for extensions in {library.CpuExtensions.none, native}:
        resizer = library.Resizer()
        resizer.cpu_extensions = extensions
        picture = library.ImageData(430, 288, library.PixelType.U8x3, pixels.tobytes())
        smaller = library.ImageData(336, 200, library.PixelType.U8x3)
        resizer.resize(picture, smaller, options)
        results.add(smaller.get_buffer())
    assert len(results) == 1


def test_this_pillows_order_is_known() -> None:
    assert order_of_passes() is not None


def test_what_cannot_be_fast_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        monkeypatch.setattr(fast_resize, "order_of_passes", lambda: None)
        fast_resize.fast_resizer.cache_clear()
        with pytest.raises(UsageError, match="another version"):
            painter("fast")
        monkeypatch.setitem(sys.modules, "cykooz_resizer", None)  # as if it were not installed
        with pytest.raises(UsageError, match=r"pip install 'vtok\[fast\]'"):
            painter("fast")
        assert painter("exact") is PILLOW
    finally:
        fast_resize.fast_resizer.cache_clear()
    assert order_of_passes(()) is None
