"""The commonest kind of JPEG, told by one walk through its header.

In: the bytes of a file. Out: the size of a picture in three colours, upright and alone in its file,
of one scan, with nothing in its header that a decoder could take in another way than we do; None of
all others, which are read with more care (`vtok.io.headers`, Pillow). What is plain here is a
subset of what Pillow opens, in mode RGB and without a colour profile: it need not be asked.

Source: ITU-T T.81 annex B.
"""

from vtok.records import Size

_SEQUENTIAL = {0xC0, 0xC1}
_PASSED_OVER = {0xC4, 0xDD, 0xFE}  # Huffman tables, restart interval, comment
_FRAME_BYTES = 6 + 3 * 3
_SCAN_BYTES = 4 + 3 * 2
_TABLE_BYTES = 1 + 64
_JFIF_BYTES = 14


def plain_size(data: bytes) -> Size | None:
    """Return the size of the picture in a plain JPEG, and None of any other file."""
    size = None
    start = 2 if data.startswith(b"\xff\xd8\xff") else len(data)
    while len(data) >= start + 4 and data[start] == 0xFF:
        marker = data[start + 1]
        end = start + 2 + (data[start + 2] << 8 | data[start + 3])
        body = data[start + 4 : end]
        if len(body) != end - start - 4:
            return None
        if marker == 0xDA:
            is_whole = len(body) == _SCAN_BYTES and body[0] == 3
            return size if is_whole else None
        if marker in _SEQUENTIAL and size is None:
            size = _size(body)
            if size is None:
                return None
        elif not _is_passed_over(marker, body):
            return None
        start = end
    return None


def _size(frame: bytes) -> Size | None:
    """Return the size in a frame's header of three components with 8 bits a sample."""
    if len(frame) != _FRAME_BYTES or frame[0] != 8 or frame[5] != 3:
        return None
    height, width = frame[1] << 8 | frame[2], frame[3] << 8 | frame[4]
    return Size(height=height, width=width) if height and width else None


def _is_passed_over(marker: int, body: bytes) -> bool:
    """Tell whether a segment says nothing of the picture's kind, and is of the usual form."""
    if marker == 0xE0:
        return len(body) >= _JFIF_BYTES
    if marker == 0xDB:  # quantization tables: not of 16 bits, which decoders do not agree on
        return not len(body) % _TABLE_BYTES and not any(part >> 4 for part in body[::_TABLE_BYTES])
    return marker in _PASSED_OVER
