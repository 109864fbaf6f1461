"""What a JPEG's header does not tell: how many passes it asks for, and whether its pixels exist.

In: the encoded bytes. Out: the number of scans up to the end of the first picture, and the fewest
bytes that a picture of so many pixels takes. A progressive file of one megabyte can ask for a
thousand passes and keep a decoder busy for a minute; one of two kilobytes can claim a hundred
megapixels, which decoders fill with grey without a complaint.

Source: ITU-T T.81, B.1.1 (markers, stuffed bytes), B.2.1 (order of scans), B.2.2 (frames), F.1.2.1
(a block's DC difference takes at least one bit).
"""

import re
from collections.abc import Iterator

# In entropy-coded data 0xFF is followed by zero, a restart marker or another 0xFF, never by more.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_WITHOUT_LENGTH = {0x01, 0xD8}
_HUFFMAN_FRAMES = {0xC0, 0xC1, 0xC2}
_WHOLE_IN_A_SCAN = {0xC0, 0xC1}
_PIXELS_A_BYTE = 8 * 64 * 4
"""A bit a block of 64 pixels; a component may have a fourth of the frame's samples, no fewer."""


def count_scans(data: bytes) -> int:
    """Return the number of scans of the first picture in a JPEG file."""
    return sum(marker == 0xDA for marker in _markers(data))


def takes_one_scan(data: bytes) -> bool:
    """Tell whether a JPEG is sequential with all its components in the first scan.

    A decoder takes no scan behind such a one (libjpeg: `has_multiple_scans`), whatever else the
    file holds. What is laid out in any unusual way is not told.
    """
    num_components = 0
    position = 2
    while data[position : position + 1] == b"\xff" and position + 10 <= len(data):
        marker = data[position + 1]
        if marker == 0xDA:
            return num_components > 0 and data[position + 4] == num_components
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            if num_components or marker not in _WHOLE_IN_A_SCAN:
                return False
            num_components = data[position + 9]
        elif marker < 0xC0 or 0xD0 <= marker <= 0xD9:  # these have no length
            return False
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False


def is_too_short(data: bytes, num_pixels: int) -> bool:
    """Tell whether a JPEG file has fewer bytes than its pixels take, whatever they show.

    An arithmetic coder's output has no such bound, and is never too short.
    """
    if len(data) >= num_pixels // _PIXELS_A_BYTE:
        return False
    return any(marker in _HUFFMAN_FRAMES for marker in _markers(data))


def _markers(data: bytes) -> Iterator[int]:
    """Yield the markers between the start and the end of the first picture."""
    position = 2
    while match := _MARKER.search(data, position):
        marker = match[1][0]
        position = match.end()
        if marker == 0xD9:
            return
        yield marker
        if marker not in _WITHOUT_LENGTH:
            position += int.from_bytes(data[position : position + 2], "big")
