"""What an image says of itself before a pixel is decoded: format, size, mode, orientation, frames.

In: encoded bytes or a path. Out: `ImageHeader`. JPEG, PNG, WebP and GIF are walked here, because
Pillow reads a whole WebP and allocates its canvas to tell a size, and loads every pixel of a PNG to
tell an orientation; BMP, TIFF and AVIF (and formats that a user adds) are asked of Pillow, whose
`open` reads headers only. This file knows no limits and decodes nothing.

Sources: ITU-T T.81 annex B (JPEG), the PNG specification (chunks, eXIf, acTL), RFC 9649 (WebP),
the GIF89a specification, CIPA DC-008 (EXIF).
"""

import io
import os
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO

from vtok.errors import CorruptImageError, UnknownFormatError, UnreadableImageError
from vtok.io.files import open_regular
from vtok.io.foreign import open_image
from vtok.records import Size

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

_MAX_CHUNKS = 1_000_000  # bounds the walk through a file made of empty chunks
_MAX_METADATA_BYTES = 1 << 20
_SWAPPED = {5, 6, 7, 8}
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
_PNG_MODES = {
    (1, 0): "1", (2, 0): "L", (4, 0): "L", (8, 0): "L", (16, 0): "I;16",
    (8, 2): "RGB", (16, 2): "RGB;16",
    (1, 3): "P", (2, 3): "P", (4, 3): "P", (8, 3): "P",
    (8, 4): "LA", (16, 4): "LA;16", (8, 6): "RGBA", (16, 6): "RGBA;16",
}  # fmt: skip


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


@dataclass(slots=True)
class _Facts:
    """What a walk has found so far."""

    height: int = 0
    width: int = 0
    mode: str = ""
    exif: bytes = b""
    xmp: bytes = b""
    num_frames: int = 1


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
    walk = _WALKS.get(name)
    if walk is None:
        return _ask_pillow(file, (name,))
    facts = _Facts()
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


def find_orientation(exif: bytes, xmp: bytes = b"") -> int:
    """Return the orientation, 1 to 8, that an EXIF block (else an XMP packet) gives; 1 if none."""
    exif = exif.removeprefix(b"Exif\x00\x00")
    found = None
    try:
        order = {b"II": "<", b"MM": ">"}[exif[:2]]
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (num_entries,) = struct.unpack_from(order + "H", exif, start)
        for i in range(num_entries):
            tag, kind, count = struct.unpack_from(order + "HHI", exif, start + 2 + 12 * i)
            if tag == 0x0112:
                letter = {1: "B", 3: "H", 4: "I"}[kind]
                (found,) = struct.unpack_from(order + letter, exif, start + 10 + 12 * i)
                found = found if count == 1 else None
                break
    except (struct.error, KeyError):
        pass
    if found is None and (match := _XMP_ORIENTATION.search(xmp)):
        found = int(match[1])
    return found if found is not None and 1 <= found <= 8 else 1


def _walk_jpeg(file: BinaryIO, facts: _Facts) -> None:
    """Follow the markers up to the first scan."""
    file.seek(2)
    for _ in range(_MAX_CHUNKS):
        marker = _next_marker(file)
        if marker in {0xD9, 0xDA}:  # end of image, start of scan
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # these have no length
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            body = file.read(length - 2)
            _, facts.height, facts.width, num_components = struct.unpack_from(">BHHB", body)
            facts.mode = {1: "L", 3: "RGB", 4: "CMYK"}.get(num_components, f"{num_components}")
        elif marker == 0xE1:
            body = file.read(length - 2)
            if body.startswith(b"Exif\x00\x00"):
                facts.exif += body[6:] if facts.exif else body
            elif body.startswith(b"http://ns.adobe.com/xap/1.0/\x00"):
                facts.xmp = body
        elif marker == 0xE2:
            body = file.read(length - 2)
            if body.startswith(b"MPF\x00"):
                facts.num_frames = _mpf_count(body[4:])
        else:
            file.seek(length - 2, os.SEEK_CUR)


def _next_marker(file: BinaryIO) -> int:
    """Return the next marker's code, passing over fill bytes and what decoders pass over."""
    num_skipped = 0
    code = file.read(1)
    while True:
        while code != b"\xff":
            num_skipped += 1
            if not code or num_skipped > _MAX_CHUNKS:
                raise EOFError
            code = file.read(1)
        while code == b"\xff":
            code = file.read(1)
        if code != b"\x00":
            return code[0]


def _mpf_count(body: bytes) -> int:
    """Return the number of pictures of a CIPA DC-007 multi-picture index; 1 if it is damaged."""
    try:
        order = {b"II": "<", b"MM": ">"}[body[:2]]
        (start,) = struct.unpack_from(order + "I", body, 4)
        (num_entries,) = struct.unpack_from(order + "H", body, start)
        for i in range(num_entries):
            tag, _, _, value = struct.unpack_from(order + "HHII", body, start + 2 + 12 * i)
            if tag == 0xB001:
                return max(1, int(value))
    except (struct.error, KeyError):
        pass
    return 1


def _walk_png(file: BinaryIO, facts: _Facts) -> None:
    """Follow the chunks to the end: an EXIF block may stand behind the pixels."""
    file.seek(8)
    has_default = False
    has_frame_control = False
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return  # cut behind the header: decoding will tell
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            break
        if kind == b"IHDR":
            body = file.read(length) if length == 13 else b""
            facts.width, facts.height, depth, colour = struct.unpack_from(">IIBB", body)
            facts.mode = _PNG_MODES.get((depth, colour), "")
            file.seek(4, os.SEEK_CUR)
            continue
        if kind == b"fcTL":
            has_frame_control = True
        elif kind == b"IDAT":
            has_default = has_default or not has_frame_control
        if kind in {b"acTL", b"eXIf", b"iTXt"} and length <= _MAX_METADATA_BYTES:
            body = file.read(length)
            _take_png(kind, body, facts)
            file.seek(4, os.SEEK_CUR)
        else:
            file.seek(length + 4, os.SEEK_CUR)
    if facts.num_frames > 1 or has_frame_control:
        facts.num_frames += has_default  # the default image is a picture of its own


def _take_png(kind: bytes, body: bytes, facts: _Facts) -> None:
    if kind == b"acTL":
        facts.num_frames = max(1, struct.unpack_from(">I", body)[0])
    elif kind == b"eXIf":
        facts.exif = body
    elif body.startswith(b"XML:com.adobe.xmp\x00\x00"):
        facts.xmp = body


def _walk_webp(file: BinaryIO, facts: _Facts) -> None:
    """Follow the RIFF chunks; the first one alone gives the size."""
    file.seek(12)
    num_frames = 0
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        kind, length = struct.unpack("<4sI", head)
        start = file.tell()
        if not facts.mode and kind in {b"VP8 ", b"VP8L", b"VP8X"}:
            _webp_size(kind, file.read(min(length, 10)), facts)
        elif kind == b"ANMF":
            num_frames += 1
        elif kind in {b"EXIF", b"XMP "} and length <= _MAX_METADATA_BYTES:
            body = file.read(length)
            facts.exif, facts.xmp = (body, facts.xmp) if kind == b"EXIF" else (facts.exif, body)
        file.seek(start + length + length % 2)
    facts.num_frames = max(1, num_frames)


def _webp_size(kind: bytes, body: bytes, facts: _Facts) -> None:
    if kind == b"VP8X":
        facts.width = int.from_bytes(body[4:7], "little") + 1
        facts.height = int.from_bytes(body[7:10], "little") + 1
        has_alpha = bool(body[0] & 0x10)
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 1)
        facts.width = (bits & 0x3FFF) + 1
        facts.height = (bits >> 14 & 0x3FFF) + 1
        has_alpha = bool(bits >> 28 & 1)
    else:
        width, height = struct.unpack_from("<HH", body, 6)
        facts.width, facts.height, has_alpha = width & 0x3FFF, height & 0x3FFF, False
    facts.mode = "RGBA" if has_alpha else "RGB"


def _walk_gif(file: BinaryIO, facts: _Facts) -> None:
    """Count the pictures; a first one that is larger than the screen enlarges it."""
    width, height, flags = struct.unpack_from("<6xHHB", file.read(13))
    facts.mode = "P"
    facts.num_frames = 0
    if flags & 0x80:
        file.seek(3 << (flags & 7) + 1, os.SEEK_CUR)
    num_left = _MAX_CHUNKS
    while num_left > 0 and (kind := file.read(1)) in {b"\x21", b"\x2c"}:
        if kind == b"\x21":
            file.seek(1, os.SEEK_CUR)
        else:
            left, top, cols, rows, flags = struct.unpack("<HHHHB", file.read(9))
            if facts.num_frames == 0:
                width, height = max(width, left + cols), max(height, top + rows)
            facts.num_frames += 1
            facts.width, facts.height = width, height
            file.seek((3 << (flags & 7) + 1 if flags & 0x80 else 0) + 1, os.SEEK_CUR)
        num_left = _skip_blocks(file, num_left)
    facts.width, facts.height = width, height
    facts.num_frames = max(1, facts.num_frames)


def _skip_blocks(file: BinaryIO, num_left: int) -> int:
    """Pass over GIF sub-blocks; return how many more may follow in this file."""
    while num_left > 0:
        num_left -= 1
        length = file.read(1)
        if not length or length == b"\x00":
            break
        file.seek(length[0], os.SEEK_CUR)
    return num_left


_WALKS: dict[str, Callable[[BinaryIO, _Facts], None]] = {
    "JPEG": _walk_jpeg,
    "PNG": _walk_png,
    "WEBP": _walk_webp,
    "GIF": _walk_gif,
}


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
