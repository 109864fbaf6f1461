"""What is called a plain JPEG: what a common encoder writes, and never what Pillow would not open.

The oracle is Pillow, asked for the same bytes.
"""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vtok.io.headers import read_header
from vtok.io.images import decode
from vtok.io.plain_jpegs import plain_size
from vtok.io.scans import takes_one_scan
from vtok.records import Size


def jpeg(mode: str = "RGB", width: int = 33, height: int = 21, **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


PLAIN = jpeg()
HEADER_BYTES = PLAIN.index(b"\xff\xda") + 16


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        jpeg(quality=95, subsampling=0, comment=b"by hand"),
        jpeg(optimize=True, dpi=(72, 72)),
        jpeg(restart_marker_rows=1),
    ],
    ids=["default", "comment", "density", "restarts"],
)
def test_what_encoders_usually_write_is_plain(data: bytes) -> None:
    assert plain_size(data) == Size(height=21, width=33)


def with_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return jpeg(exif=exif)


@pytest.mark.parametrize(
    "data",
    [
        jpeg(progressive=True),
        jpeg("L"),
        jpeg("CMYK"),
        with_exif(),
        jpeg(icc_profile=b"a profile"),
        b"\xff\xd8\xff",
        b"",
        PLAIN[: HEADER_BYTES - 10],
        b"\x89PNG\r\n\x1a\n" + PLAIN,
    ],
    ids=["progressive", "grey", "cmyk", "exif", "icc", "start", "nothing", "cut", "png"],
)
def test_all_others_are_read_with_care(data: bytes) -> None:
    assert plain_size(data) is None


def agrees_with_pillow(data: bytes) -> None:
    size = plain_size(data)
    if size is None:
        return
    header = read_header(data)
    assert (header.size, header.mode, header.orientation, header.num_frames) == (size, "RGB", 1, 1)
    assert takes_one_scan(data)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.height, image.width) == (size.height, size.width)
        assert (image.format, image.mode) == ("JPEG", "RGB")
        assert "icc_profile" not in image.info


@pytest.mark.parametrize("value", [0x00, 0x10, 0x7F, 0xC0, 0xC4, 0xDA, 0xDB, 0xE1, 0xE2, 0xFF])
def test_no_byte_of_the_header_makes_pillow_and_us_disagree(value: int) -> None:
    for at in range(2, HEADER_BYTES):
        agrees_with_pillow(PLAIN[:at] + bytes([value]) + PLAIN[at + 1 :])


@given(st.lists(st.tuples(st.integers(0, HEADER_BYTES), st.binary(max_size=4)), max_size=3))
def test_no_damage_to_the_header_makes_pillow_and_us_disagree(
    damages: list[tuple[int, bytes]],
) -> None:
    data = PLAIN
    for at, inserted in damages:
        data = data[:at] + inserted + data[at + len(inserted) // 2 :]
    agrees_with_pillow(data)


def test_a_plain_file_decodes_without_being_opened_by_pillow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("simplejpeg")
    expected = np.asarray(Image.open(io.BytesIO(PLAIN)))
    decode(PLAIN)  # what is asked of Pillow once and for all has been asked
    monkeypatch.setattr(Image, "open", None)
    found = decode(PLAIN)
    np.testing.assert_array_equal(np.asarray(found.image), expected)
    assert found.conversions == ()


def test_where_the_fast_decoder_refuses_pillow_has_the_last_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vtok.io.turbo.decode_rgb", lambda data, size=None: None)
    expected = np.asarray(Image.open(io.BytesIO(PLAIN)))
    np.testing.assert_array_equal(np.asarray(decode(PLAIN).image), expected)
