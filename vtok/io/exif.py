"""Two facts from untrusted metadata blocks: which way is up, and how many pictures there are.

In: an EXIF block, an XMP packet or a multi-picture index, as cut out of an image. Out: an integer
that is always valid; damaged metadata says nothing. This file knows no image format.

Sources: CIPA DC-008 (EXIF, tag 0x0112), CIPA DC-007 (multi-picture index, tag 0xB001).
"""

import re
import struct

_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


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


def count_pictures(body: bytes) -> int:
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
