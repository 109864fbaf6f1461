"""How many passes a JPEG makes over its picture: the cost that a header does not tell.

In: the encoded bytes. Out: the number of scans up to the end of the first picture. A progressive
file of one megabyte can ask for a thousand passes and keep a decoder busy for a minute.

Source: ITU-T T.81, B.1.1 (markers, stuffed bytes) and B.2.1 (order of scans).
"""

import re

# In entropy-coded data 0xFF is followed by zero, a restart marker or another 0xFF, never by more.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_WITHOUT_LENGTH = {0x01, 0xD8}


def count_scans(data: bytes) -> int:
    """Return the number of scans of the first picture in a JPEG file."""
    num_scans = 0
    position = 2
    while match := _MARKER.search(data, position):
        marker = match[1][0]
        position = match.end()
        if marker == 0xD9:
            break
        num_scans += marker == 0xDA
        if marker not in _WITHOUT_LENGTH:
            position += int.from_bytes(data[position : position + 2], "big")
    return num_scans
