"""What an image says of itself before a pixel is decoded: format, size, mode, orientation, frames.

In: encoded bytes or a path. Out: `ImageHeader`. JPEG, PNG, WebP and GIF are walked by ourselves, as
Pillow reads a whole WebP and allocates its canvas to tell a size, and loads every pixel of a PNG to
tell an orientation; BMP, TIFF and AVIF (and formats that a user adds) are asked of Pillow, whose
`open` reads headers only. This file knows no limits and decodes nothing.
"""

import io
import os
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from vtok.errors import CorruptImageError, UnknownFormatError, UnreadableImageError
from vtok.io.exif import find_orientation
from vtok.io.files import open_regular
from vtok.io.foreign import open_image
from vtok.io.limits import FORMATS
from vtok.io.walks import WALKS, Facts
from vtok.records import Size

_SWAPPED = {5, 6, 7, 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """The facts of an image that planning needs.

    Attributes:
        format: One of `FORMATS`, or the name of a format that the caller added.
        size: Height and width as people see them: after the orientation is applied.
        mode: Pillow's name of the stored pixels (`L`, `RGB`, `CMYK`, `P`, ...), with `;16` behind
            it where a channel has 16 bits.
        orientation: EXIF orientation, 1 to 8; 1 means as stored.
        num_frames: Pictures in the file; only the first is ever decoded.
    """

    format: str
    size: Size
    mode: str
    orientation: int
    num_frames: int


def sniff(prefix: bytes) -> str | None:
    """Return the format that the first 32 bytes announce, or None if it is none of ours."""
    if prefix.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if prefix.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if prefix.startswith(b"RIFF") and prefix[8:12] == b"WEBP":
        return "WEBP"
    if prefix.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if prefix.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        return "TIFF"
    if prefix[4:8] == b"ftyp" and re.search(rb"avi[fs]", prefix[8:]):
        return "AVIF"
    if prefix.startswith(b"BM"):
        return "BMP"
    return None


def read_header(
    data: bytes | str | os.PathLike[str], *, formats: Iterable[str] = FORMATS
) -> ImageHeader:
    """Read what is known of an image without decoding it.

    Args:
        data: The encoded image, or the path of one.
        formats: The names of the formats to take.

    Raises:
        UnknownFormatError: it is not an image, or of another format.
        CorruptImageError: its header cannot be made sense of.
        UnreadableImageError: the path cannot be read.
    """
    if isinstance(data, bytes):
        return _read(io.BytesIO(data), tuple(formats))
    try:
        with open_regular(data) as file:
            return _read(file, tuple(formats))
    except OSError as error:
        raise UnreadableImageError(f"cannot read: {error.strerror or error}") from error


def _read(file: BinaryIO, formats: tuple[str, ...]) -> ImageHeader:
    prefix = file.read(64)
    name = sniff(prefix)
    if name is None or name not in formats:
        extra = tuple(each for each in formats if each not in FORMATS)
        if name is None and extra and prefix:
            return _ask_pillow(file, extra)
        raise UnknownFormatError(_unknown(prefix, name, formats))
    walk = WALKS.get(name)
    if walk is None:
        return _ask_pillow(file, (name,))
    facts = Facts()
    file.seek(0)
    try:
        walk(file, facts)
    except (struct.error, IndexError, EOFError) as error:
        raise CorruptImageError(f"{name}: the header is cut or damaged") from error
    if facts.height < 1 or facts.width < 1:
        raise CorruptImageError(f"{name}: the header gives no size")
    orientation = find_orientation(facts.exif, facts.xmp)
    height, width = facts.height, facts.width
    if orientation in _SWAPPED:
        height, width = width, height
    return ImageHeader(
        format=name,
        size=Size(height=height, width=width),
        mode=facts.mode,
        orientation=orientation,
        num_frames=facts.num_frames,
    )


def _unknown(prefix: bytes, name: str | None, formats: tuple[str, ...]) -> str:
    if not prefix:
        return "the file is empty"
    if name is not None:
        return f"{name} is not among the allowed formats ({', '.join(formats)})"
    start = prefix.lstrip()[:14].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "an HTML page, not an image"
    return f"not an image of an allowed format ({', '.join(formats)}): starts with {prefix[:8]!r}"


def _ask_pillow(file: BinaryIO, formats: tuple[str, ...]) -> ImageHeader:
    """Let Pillow read the header, without loading pixels."""
    with open_image(file, formats) as image:
        exif = image.getexif()
        orientation = exif.get(0x0112, 1)
        width, height = image.size
        mode = image.mode
        if image.format == "TIFF":
            orientation_is_applied = True  # Pillow turns a TIFF's size, and later its pixels
            bits = image.tag_v2.get(258, 8)  # type: ignore[attr-defined]
            if max(bits if isinstance(bits, tuple) else (bits,)) == 16 and ";16" not in mode:
                mode += ";16"
        else:
            orientation_is_applied = False
        if not (isinstance(orientation, int) and 1 <= orientation <= 8):
            orientation = 1
        if orientation in _SWAPPED and not orientation_is_applied:
            width, height = height, width
        return ImageHeader(
            format=image.format or formats[0],
            size=Size(height=height, width=width),
            mode=mode,
            orientation=orientation,
            num_frames=max(1, getattr(image, "n_frames", 1)),
        )
