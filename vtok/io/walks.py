"""Walks through the four commonest containers, from one block to the next, decoding nothing.

In: a seekable file whose signature has been recognised. Out: `Facts`, filled as they are met. A
file that ends early or contradicts itself raises `struct.error`, `IndexError` or `EOFError`, which
the caller turns into a typed error. This file knows no limits, paths or other formats.

Sources: ITU-T T.81 annex B (JPEG), the PNG specification (chunks, eXIf, acTL), RFC 9649 (WebP),
the GIF89a specification.
"""

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from vtok.io.exif import count_pictures

_MAX_CHUNKS = 1_000_000  # bounds the walk through a file made of empty chunks
_MAX_METADATA_BYTES = 1 << 20
_PNG_MODES = {
    (1, 0): "1", (2, 0): "L", (4, 0): "L", (8, 0): "L", (16, 0): "I;16",
    (8, 2): "RGB", (16, 2): "RGB;16",
    (1, 3): "P", (2, 3): "P", (4, 3): "P", (8, 3): "P",
    (8, 4): "LA", (16, 4): "LA;16", (8, 6): "RGBA", (16, 6): "RGBA;16",
}  # fmt: skip


@dataclass(slots=True)
class Facts:
    """What a walk has found so far; sizes are as stored, before any orientation."""

    height: int = 0
    width: int = 0
    mode: str = ""
    exif: bytes = b""
    xmp: bytes = b""
    num_frames: int = 1


def _walk_jpeg(file: BinaryIO, facts: Facts) -> None:
    """Follow the markers up to the first scan."""
    file.seek(2)
    for _ in range(_MAX_CHUNKS):
        marker = _next_marker(file)
        if marker in {0xD9, 0xDA}:  # end of image, start of scan
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # these have no length
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if length < 2:
            raise EOFError
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            body = file.read(length - 2)
            _, facts.height, facts.width, num_components = struct.unpack_from(">BHHB", body)
            facts.mode = {1: "L", 3: "RGB", 4: "CMYK"}.get(num_components, f"{num_components}")
        elif marker == 0xE1:
            body = file.read(length - 2)
            if body.startswith(b"Exif\x00\x00"):
                if len(facts.exif) < _MAX_METADATA_BYTES:
                    facts.exif += body[6:] if facts.exif else body
            elif body.startswith(b"http://ns.adobe.com/xap/1.0/\x00"):
                facts.xmp = body
        elif marker == 0xE2:
            body = file.read(length - 2)
            if body.startswith(b"MPF\x00"):
                facts.num_frames = count_pictures(body[4:])
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


def _walk_png(file: BinaryIO, facts: Facts) -> None:
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


def _take_png(kind: bytes, body: bytes, facts: Facts) -> None:
    if kind == b"acTL":
        facts.num_frames = max(1, struct.unpack_from(">I", body)[0])
    elif kind == b"eXIf":
        facts.exif = body
    elif body.startswith(b"XML:com.adobe.xmp\x00\x00"):
        facts.xmp = body


def _walk_webp(file: BinaryIO, facts: Facts) -> None:
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


def _webp_size(kind: bytes, body: bytes, facts: Facts) -> None:
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


def _walk_gif(file: BinaryIO, facts: Facts) -> None:
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


WALKS: dict[str, Callable[[BinaryIO, Facts], None]] = {
    "JPEG": _walk_jpeg,
    "PNG": _walk_png,
    "WEBP": _walk_webp,
    "GIF": _walk_gif,
}
