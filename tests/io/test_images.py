"""Decoding: Pillow's own transposition and independent arithmetic as oracles, and hostile files."""

import io
import os
import random
import struct
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, ImageOps

from vtok.errors import (
    CorruptImageError,
    ImageTooLargeError,
    SampleError,
    UnknownFormatError,
    UnreadableImageError,
)
from vtok.io.images import DecodedImage, DecodeLimits, decode, read_header
from vtok.io.scans import count_scans, takes_one_scan
from vtok.records import Size

ORIENTED = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"]


def picture(mode: str = "RGB", width: int = 40, height: int = 24) -> Image.Image:
    ramp = np.linspace(0, 255, width * height * 3).reshape(height, width, 3).astype(np.uint8)
    return Image.fromarray(ramp).convert(mode)


def encoded(image: Image.Image, fmt: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(width: int, height: int, *, extra: bytes = b"", colour: int = 0) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    idat = chunk(b"IDAT", zlib.compress(bytes((width + 1) * height if height < 5 else 0)))
    return b"\x89PNG\r\n\x1a\n" + head + extra + idat + chunk(b"IEND", b"")


def vp8l_of(width: int, height: int) -> bytes:
    bits = (width - 1) | (height - 1) << 14
    body = b"VP8L" + struct.pack("<I", 14) + b"\x2f" + struct.pack("<I", bits) + bytes(9)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def pixels(result: DecodedImage) -> np.ndarray:
    assert result.image.mode == "RGB"
    assert (result.image.height, result.image.width) == (result.size.height, result.size.width)
    return np.asarray(result.image)


@pytest.mark.parametrize("fmt", ORIENTED)
@pytest.mark.parametrize("orientation", [None, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 300])
def test_orientation_is_that_of_pillow(fmt: str, orientation: int | None) -> None:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    options = {"exif": exif} if fmt != "TIFF" or orientation else {}
    if fmt == "WEBP":
        options["lossless"] = True
    data = encoded(picture(), fmt, **options)
    with Image.open(io.BytesIO(data)) as image:
        expected = ImageOps.exif_transpose(image).convert("RGB")
    header = read_header(data)
    assert header.size == Size(height=expected.height, width=expected.width)
    result = decode(data)
    assert np.array_equal(pixels(result), np.asarray(expected))
    turned = orientation in range(2, 9)
    assert result.conversions == ((f"orientation-{orientation}",) if turned else ())


def test_orientation_from_xmp() -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    for fmt in ("JPEG", "WEBP"):
        data = encoded(picture(), fmt, xmp=xmp)
        with Image.open(io.BytesIO(data)) as image:
            expected = ImageOps.exif_transpose(image)
        assert decode(data).size == Size(height=expected.height, width=expected.width)
        assert decode(data).conversions == ("orientation-6",)


def test_orientation_behind_the_pixels_of_a_png() -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    data = encoded(picture(), "PNG")
    late = data[:-12] + chunk(b"eXIf", exif.tobytes()[6:]) + data[-12:]
    assert read_header(late).orientation == 8
    assert decode(late).size == Size(height=40, width=24)


@pytest.mark.parametrize(
    ("mode", "fmt", "codes"),
    [
        ("RGB", "JPEG", ()),
        ("L", "JPEG", ("grey",)),
        ("CMYK", "JPEG", ("cmyk",)),
        ("1", "PNG", ("bilevel",)),
        ("L", "PNG", ("grey",)),
        ("P", "PNG", ("palette",)),
        ("RGB", "BMP", ()),
        ("CMYK", "TIFF", ("cmyk",)),
        ("P", "GIF", ("palette",)),
        ("LA", "PNG", ("grey",)),  # opaque
        ("RGBA", "PNG", ()),
        ("LAB", "TIFF", ("lab",)),
        ("RGB", "WEBP", ()),
        ("RGB", "AVIF", ()),
    ],
)
def test_modes(mode: str, fmt: str, codes: tuple[str, ...]) -> None:
    data = encoded(picture(mode), fmt)
    header = read_header(data)
    result = decode(data)
    assert header.format == fmt
    assert header.size == result.size == Size(height=24, width=40)
    assert result.conversions == codes
    if mode != "LAB":
        with Image.open(io.BytesIO(data)) as image:
            assert header.mode == image.mode
            assert np.array_equal(pixels(result), np.asarray(image.convert("RGB")))


def test_16_bit_grey_uses_the_whole_range() -> None:
    values = np.linspace(0, 65535, 24 * 40).round().astype(np.uint16).reshape(24, 40)
    for fmt in ("PNG", "TIFF"):
        result = decode(encoded(Image.fromarray(values), fmt))
        expected = np.rint(values / 65535 * 255)
        assert np.array_equal(pixels(result)[..., 1], expected)
        assert result.conversions == ("16-bit", "grey")


def test_16_bit_rgb_png() -> None:
    values = (np.arange(4 * 3 * 3).reshape(3, 4, 3) * 1800).astype(">u2")
    rows = b"".join(b"\x00" + row.tobytes() for row in values)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 16, 2, 0, 0, 0))
    idat = chunk(b"IDAT", zlib.compress(rows))
    data = b"\x89PNG\r\n\x1a\n" + head + idat + chunk(b"IEND", b"")
    result = decode(data)
    assert read_header(data).mode == "RGB;16"
    assert result.conversions == ("16-bit",)
    assert np.abs(pixels(result) - values.astype(float) / 257).max() <= 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0.0, 0.5], [0.25, 1.0]], [[0, 128], [64, 255]]),
        ([[0.0, 100.4], [7.0, 255.0]], [[0, 100], [7, 255]]),
        ([[-1.0, 0.0], [1.0, 3.0]], [[0, 64], [128, 255]]),
        ([[-5.0, -5.0], [-5.0, -5.0]], [[0, 0], [0, 0]]),
    ],
)
def test_float_tiff(values: list[list[float]], expected: list[list[int]]) -> None:
    result = decode(encoded(Image.fromarray(np.array(values, np.float32)), "TIFF"))
    assert pixels(result)[..., 0].tolist() == expected
    assert result.conversions == ("float-scaled", "grey")


def test_float_nan_is_a_failure() -> None:
    values = np.array([[0, np.nan]], np.float32)
    with pytest.raises(CorruptImageError, match="NaN"):
        decode(encoded(Image.fromarray(values), "TIFF"))


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0, 255, 7], [0, 255, 7]), ([0, 65535, 257], [0, 255, 1]), ([-10, 0, 90], [0, 26, 255])],
)
def test_int32_tiff(values: list[int], expected: list[int]) -> None:
    result = decode(encoded(Image.fromarray(np.array([values], np.int32)), "TIFF"))
    assert pixels(result)[0, :, 2].tolist() == expected
    assert result.conversions == ("int32-scaled", "grey")


def test_transparency_shows_the_background() -> None:
    image = Image.new("RGBA", (3, 1))
    image.putdata([(200, 0, 0, 255), (200, 0, 0, 0), (200, 0, 0, 128)])
    for fmt, options in [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})]:
        result = decode(encoded(image, fmt, **options), background=(0, 100, 255))
        assert result.conversions == ("alpha-0064ff",)
        first, second, third = pixels(result)[0].tolist()
        assert (first, second) == ([200, 0, 0], [0, 100, 255])
        assert np.abs(np.array(third) - [100.4, 49.8, 127]).max() <= 1
    assert decode(encoded(image.convert("LA"), "PNG")).conversions == ("grey", "alpha-ffffff")


def test_transparent_colour_of_png_and_gif() -> None:
    for mode, key in [("P", 0), ("L", 0), ("RGB", (0, 0, 0)), ("1", 0)]:
        image = Image.new(mode, (4, 2), 0)
        image.putpixel((1, 1), 255 if mode in {"L", "1"} else (9, 9, 9) if mode == "RGB" else 3)
        result = decode(encoded(image, "PNG", transparency=key))
        assert pixels(result)[0, 0].tolist() == [255, 255, 255]
        assert result.conversions[-1] == "alpha-ffffff"
    deep = Image.fromarray(np.array([[5, 65535]], np.uint16))
    result = decode(encoded(deep, "PNG", transparency=5))
    assert pixels(result)[0].tolist() == [[255] * 3, [255] * 3]
    assert result.conversions == ("16-bit", "grey", "alpha-ffffff")


def test_first_frame_of_animations() -> None:
    frames = [picture(), Image.new("RGB", (40, 24), (9, 99, 200)), Image.new("RGB", (40, 24))]
    for fmt in ("GIF", "WEBP", "PNG", "AVIF", "TIFF"):
        options = {"lossless": True} if fmt == "WEBP" else {}
        data = encoded(frames[0], fmt, save_all=True, append_images=frames[1:], **options)
        with Image.open(io.BytesIO(data)) as image:
            assert read_header(data).num_frames == image.n_frames == 3, fmt
            expected = np.asarray(image.convert("RGB"))
        result = decode(data)
        assert result.conversions[0] == "first-frame"
        assert np.array_equal(pixels(result), expected)


def test_colour_profiles() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    assert decode(encoded(picture(), "PNG", icc_profile=srgb.tobytes())).conversions in {
        (),
        ("icc",),
    }
    for profile in (b"rubbish", b"\x00" * 200):
        data = encoded(picture(), "PNG", icc_profile=profile)
        assert decode(data).conversions == ("icc-ignored",)
        assert np.array_equal(pixels(decode(data)), np.asarray(picture()))
    wide = swapped_profile()
    data = encoded(Image.new("RGB", (2, 2), (255, 0, 0)), "PNG", icc_profile=wide)
    result = decode(data)
    assert result.conversions == ("icc",)
    red, green, blue = pixels(result)[0, 0].tolist()
    assert green > red
    assert green > blue


def swapped_profile() -> bytes:
    """An sRGB profile whose red and green primaries have changed places."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", data, 128)
    for i in range(count):
        at = 132 + 12 * i
        names = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}
        tag = bytes(data[at : at + 4])
        data[at : at + 4] = names.get(tag, tag)
    return bytes(data).replace("sRGB".encode("utf-16-be"), "xxxx".encode("utf-16-be"))


BOMBS = {
    "webp of 178 megapixels": vp8l_of(13_370, 13_370),
    "png of 2^31": png_of(2**31 - 1, 2**31 - 1),
    "wide png": png_of(10_000, 1),
    "long side": png_of(70_000, 1000),
    "gif screen": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b";",
    "huge text": png_of(4, 4, extra=chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(8 << 20)))),
    "huge icc": png_of(4, 4, extra=chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(8 << 20)))),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_unopened(name: str) -> None:
    with pytest.raises(ImageTooLargeError) as caught:
        decode(BOMBS[name])
    assert "\n" not in str(caught.value)


def test_webp_bomb_is_34_bytes_and_its_header_is_read() -> None:
    data = BOMBS["webp of 178 megapixels"]
    assert len(data) == 34
    assert read_header(data).size == Size(height=13_370, width=13_370)


def test_scan_bomb() -> None:
    data = encoded(picture(width=64, height=64), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    bomb = data[:start] + data[start:-2] * 500 + b"\xff\xd9"
    assert count_scans(data) < 20
    assert count_scans(bomb) > 500
    with pytest.raises(ImageTooLargeError, match=r"JPEG of 5\d\d scans"):
        decode(bomb)
    assert decode(data + b"\xff\xda" * 1000).size.width == 64  # a film behind a phone's photograph


def test_scans_that_no_decoder_takes_are_not_counted() -> None:
    image = picture(width=64, height=64)
    data = encoded(image, "JPEG")
    assert takes_one_scan(data)
    again = data[:-2] + data[data.rindex(b"\xff\xda") : -2] * 500 + b"\xff\xd9"
    assert takes_one_scan(again)
    with suppress(CorruptImageError):  # whatever is made of the rest, it is made at once
        np.testing.assert_array_equal(
            np.asarray(decode(again).image), np.asarray(decode(data).image)
        )
    assert takes_one_scan(encoded(image.convert("L"), "JPEG"))
    assert not takes_one_scan(encoded(image, "JPEG", progressive=True))
    at = data.rindex(b"\xff\xda") + 4
    assert not takes_one_scan(data[:at] + b"\x01" + data[at + 1 :])  # a component at a time
    assert not any(takes_one_scan(data[:length]) for length in range(at))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_too_short_for_its_size(mode: str, progressive: bool) -> None:
    blank = Image.new(mode, (3000, 3000))  # as short as a whole one gets
    whole = encoded(blank, "JPEG", quality=1, optimize=True, progressive=progressive)
    assert len(whole) < 60_000
    assert decode(whole).size == Size(height=3000, width=3000)
    small = bytearray(encoded(picture(), "JPEG", progressive=progressive))
    at = small.index(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
    small[at : at + 4] = struct.pack(">HH", 3000, 3000)
    with pytest.raises(CorruptImageError, match="bytes cannot hold 3000x3000"):
        decode(bytes(small))


def test_limits_can_be_moved() -> None:
    data = encoded(picture(), "PNG")
    for limits in (
        DecodeLimits(max_pixels=959), DecodeLimits(max_side_px=39), DecodeLimits(max_aspect=1.5),
        DecodeLimits(max_file_bytes=len(data) - 1),
    ):  # fmt: skip
        with pytest.raises(ImageTooLargeError):
            decode(data, limits)
    at = DecodeLimits(max_pixels=960, max_side_px=40, max_aspect=1.7, max_file_bytes=len(data))
    assert decode(data, at).size == Size(height=24, width=40)
    with pytest.raises(UnknownFormatError, match="PNG is not among the allowed formats"):
        decode(data, DecodeLimits(formats=("JPEG",)))
    with pytest.raises(ValueError, match="max_pixels"):
        DecodeLimits(max_pixels=0)


def test_a_format_that_the_user_adds() -> None:
    data = encoded(picture(), "PPM")
    with pytest.raises(UnknownFormatError):
        decode(data)
    assert decode(data, DecodeLimits(formats=("JPEG", "PPM"))).size == Size(height=24, width=40)
    with pytest.raises(UnknownFormatError, match="no decoder named NOPE"):
        decode(data, DecodeLimits(formats=("NOPE",)))


def test_pillows_pixel_limit_is_lifted_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for fmt in ("PNG", "TIFF", "WEBP"):
        assert decode(encoded(picture(), fmt)).size.width == 40
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"hello, world", "not an image of an allowed format"),
        (b"\x00\x00\x00\x1cftypheic" + bytes(20), "not an image"),
    ],
)
def test_what_is_no_image(data: bytes, problem: str) -> None:
    with pytest.raises(UnknownFormatError, match=problem):
        decode(data)


@pytest.mark.parametrize("length", [0, 1])
def test_a_segment_shorter_than_its_own_length(length: int) -> None:
    data = b"\xff\xd8\xff\xe0" + struct.pack(">H", length) + bytes(100)
    with pytest.raises(CorruptImageError, match="cut or damaged"):
        read_header(data)


def test_exif_in_thousands_of_pieces_is_not_gathered() -> None:
    piece = b"\xff\xe1" + struct.pack(">H", 65_535) + b"Exif\x00\x00" + bytes(65_527)
    data = encoded(picture(), "JPEG")
    started = time.process_time()
    assert read_header(data[:2] + piece * 1000 + data[2:]).size == Size(height=24, width=40)
    assert time.process_time() - started < 2


FORMATS = ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"]


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "GIF", "TIFF", "BMP"])
def test_pillow_is_held_to_whole_images(fmt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a caller's own code has asked Pillow for what is left of truncated images."""
    noise = Image.frombytes("RGB", (32, 32), random.Random(0).randbytes(3072))
    cut = encoded(noise, fmt)[:-300]
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    try:
        with Image.open(io.BytesIO(cut)) as image:
            image.load()  # what the setting does
    except OSError:
        assert fmt == "TIFF"  # whose directory is at the end
    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(decode, cut) for _ in range(8)]:
            with pytest.raises(SampleError):
                each.result()
    assert ImageFile.LOAD_TRUNCATED_IMAGES, "it is the caller's again"
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    decode(encoded(noise, fmt))
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize("fmt", FORMATS)
def test_truncations_never_pass(fmt: str) -> None:
    noise = Image.frombytes("RGB", (32, 32), random.Random(0).randbytes(3072))
    data = encoded(noise, fmt)
    with Image.open(io.BytesIO(data)) as image:
        whole = np.asarray(image.convert("RGB"))
    num_failed = 0
    for cut in range(0, len(data) - 1, 64):
        try:
            result = decode(data[:cut])
        except SampleError:
            num_failed += 1
        else:
            assert np.array_equal(pixels(result), whole), cut
    assert num_failed >= (len(data) - 200) // 64


@pytest.mark.parametrize("fmt", FORMATS)
def test_flipped_bits_end_in_a_picture_or_a_typed_error(
    fmt: str, capfd: pytest.CaptureFixture[str]
) -> None:
    original = encoded(picture(), fmt)
    rng = random.Random(1)
    limits = DecodeLimits(max_pixels=1_000_000)
    messages = []
    for _ in range(150):
        data = bytearray(original)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        try:
            result = decode(bytes(data), limits)
        except SampleError as error:
            messages.append(str(error))
        else:
            assert result.size == read_header(bytes(data)).size
    assert not any("\n" in message for message in messages)
    assert capfd.readouterr().err == ""


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"BM",
                     b"II*\x00", b"MM\x00*", b"\0\0\0\x1cftypavif"]),
    st.binary(max_size=200),
)  # fmt: skip
def test_noise_behind_a_signature(prefix: bytes, noise: bytes) -> None:
    with pytest.raises(SampleError):
        decode(prefix + noise, DecodeLimits(max_pixels=100_000))


def test_paths(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(picture(), "PNG"))  # the name decides nothing
    assert read_header(tmp_path / "a.jpg") == read_header((tmp_path / "a.jpg").read_bytes())
    os.mkfifo(tmp_path / "fifo.jpg")
    for name in ("fifo.jpg", "nothing.jpg", "."):
        with pytest.raises(UnreadableImageError, match="cannot read"):
            read_header(tmp_path / name)


def test_warnings_stay_inside() -> None:
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff" + b"\x12\x01" * 20
    data = encoded(picture(), "JPEG", exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(data).size.width == 40


def test_no_torch_is_loaded() -> None:
    import subprocess
    import sys

    modules = "images, sources, files, remote"
    program = f"import sys; from vtok.io import {modules}; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize(
    ("fmt", "mode", "most"),
    [("PNG", "RGB", 1000), ("PNG", "RGBA", 588), ("WEBP", "RGBA", 416), ("AVIF", "RGB", 666)],
)
def test_what_takes_more_memory_may_have_fewer_pixels(fmt: str, mode: str, most: int) -> None:
    limits = DecodeLimits(max_pixels=1000)
    assert limits.most_pixels(fmt, mode) == most
    image = picture(width=40, height=24).convert(mode)  # 960 pixels
    if mode == "RGBA":
        image.putalpha(200)
    data = encoded(image, fmt)
    if most > 960:
        assert decode(data, limits).size.width == 40
        return
    with pytest.raises(ImageTooLargeError, match=rf"at most {most} as {mode} in {fmt}"):
        decode(data, limits)
