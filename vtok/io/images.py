"""Safe decoding: bytes of unknown origin become one upright 8-bit sRGB picture, or a typed failure.

In: the encoded bytes and the limits. Out: `DecodedImage`, with every conversion stated. The header
is checked against the limits before a pixel is decoded; decoding itself belongs in a supervised
process, since a decoder may still be slow, or crash (`vtok.engine.decoding`). Nothing here loads
torch, follows a path inside a file, or tolerates a truncated image.

Conversion codes: `first-frame` (of an animation or a multi-page file), `orientation-N` (EXIF
orientation N applied), and those of `vtok.io.colour`.
"""

import io
from dataclasses import dataclass

from PIL import Image

from vtok.errors import CorruptImageError, ImageTooLargeError
from vtok.io.colour import WHITE, Colour, to_srgb
from vtok.io.foreign import decoder_errors, open_image
from vtok.io.headers import ImageHeader, read_header, sniff
from vtok.io.limits import FORMATS, DecodeLimits
from vtok.io.scans import count_scans
from vtok.records import Size

__all__ = [
    "FORMATS",
    "WHITE",
    "DecodeLimits",
    "DecodedImage",
    "ImageHeader",
    "check_limits",
    "decode",
    "read_header",
    "sniff",
]

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImage:
    """One upright picture.

    Attributes:
        image: Mode RGB, 8-bit sRGB.
        size: Its height and width.
        conversions: Codes of everything that was done to the stored pixels, in order.
    """

    image: Image.Image
    size: Size
    conversions: tuple[str, ...]


def decode(
    data: bytes, limits: DecodeLimits | None = None, *, background: Colour = WHITE
) -> DecodedImage:
    """Decode the first picture of an encoded image, upright, in 8-bit sRGB.

    Args:
        data: The encoded image.
        limits: What it may ask for; the defaults if None.
        background: What shows through transparent pixels.

    Raises:
        UnknownFormatError: it is no image, or of a format that is not allowed.
        ImageTooLargeError: it is past a limit; found before decoding.
        CorruptImageError: it cannot be decoded whole.
    """
    limits = limits or DecodeLimits()
    check_file_bytes(len(data), limits)
    header = read_header(data, formats=limits.formats)
    check_limits(header, limits)
    if header.format == "JPEG":
        _check_scans(data, limits)
    with open_image(io.BytesIO(data), (header.format,), max_pixels=limits.max_pixels) as stored:
        _check_agreement(stored, header)
        done = ["first-frame"] if header.num_frames > 1 else []
        stored.load()
        picture: Image.Image = stored
        if header.orientation != 1:
            done.append(f"orientation-{header.orientation}")
            if header.format != "TIFF":  # Pillow turns a TIFF while it loads
                info = stored.info
                picture = stored.transpose(_TURNS[header.orientation])
                picture.info = info
        with decoder_errors(header.format):
            picture, codes = to_srgb(
                picture, background=background, is_deep=header.mode.endswith(";16")
            )
    size = Size(height=picture.height, width=picture.width)
    if size != header.size:
        raise CorruptImageError(f"{header.format}: says {header.size} and decodes to {size}")
    return DecodedImage(image=picture, size=size, conversions=(*done, *codes))


def check_file_bytes(num_bytes: int, limits: DecodeLimits) -> None:
    """Refuse an encoded image that is too long to read.

    Raises:
        ImageTooLargeError: it is.
    """
    if num_bytes > limits.max_file_bytes:
        raise ImageTooLargeError(
            f"the file has {num_bytes} bytes, more than {limits.max_file_bytes}"
        )


def check_limits(header: ImageHeader, limits: DecodeLimits) -> None:
    """Refuse an image whose header is past a limit on its size.

    Raises:
        ImageTooLargeError: it is; the message gives both numbers.
    """
    size = header.size
    long, short = max(size.height, size.width), min(size.height, size.width)
    if size.num_pixels > limits.max_pixels:
        raise ImageTooLargeError(
            f"{size} is {size.num_pixels} pixels (at most {limits.max_pixels})"
        )
    if long > limits.max_side_px:
        raise ImageTooLargeError(f"{size} has a side longer than {limits.max_side_px} pixels")
    if long > short * limits.max_aspect:
        raise ImageTooLargeError(
            f"{size} is more than {limits.max_aspect:g} times as long as it is narrow"
        )


def _check_scans(data: bytes, limits: DecodeLimits) -> None:
    """Refuse a JPEG that makes the decoder pass over the picture again and again."""
    # Few pairs of bytes mean few scans; many may also lie in a video behind the picture.
    if data.count(b"\xff\xda") > limits.max_scans:
        num_scans = count_scans(data)
        if num_scans > limits.max_scans:
            raise ImageTooLargeError(f"JPEG of {num_scans} scans (at most {limits.max_scans})")


def _check_agreement(stored: Image.Image, header: ImageHeader) -> None:
    """Refuse an image whose decoder sees another size than the one that was checked."""
    sides = sorted((header.size.height, header.size.width))
    if sorted(stored.size) != sides:
        raise CorruptImageError(
            f"{header.format}: its headers contradict each other "
            f"({header.size} and {stored.width}x{stored.height})"
        )
