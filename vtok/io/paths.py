"""Paths as text and back: one line of valid Unicode from which the raw bytes can be had again.

In: the raw bytes of a path. Out: text for JSON records and messages. Bytes that are not UTF-8 and
control characters become `%XX`; so does a percent sign that two hexadecimal digits happen to
follow. Everything else stays as people wrote it. `urllib.parse.unquote_to_bytes` is the inverse.
"""

import re
from urllib.parse import unquote_to_bytes

_AMBIGUOUS = re.compile(rb"%(?=[0-9A-Fa-f]{2})")
_CONTROL = re.compile("[\x00-\x1f\x7f\x80-\x9f\u2028\u2029]")


def path_text(path: bytes) -> str:
    """Return a path as one line of text, without loss."""
    text = _AMBIGUOUS.sub(b"%25", path).decode("utf-8", "surrogateescape")
    if text.isascii() and text.isprintable():
        return text
    text = _CONTROL.sub(lambda match: _quote(match[0].encode()), text)
    return "".join(
        _quote(bytes([ord(char) - 0xDC00])) if 0xDC80 <= ord(char) <= 0xDCFF else char
        for char in text
    )


def path_bytes(text: str) -> bytes:
    """Return the raw bytes of a path that `path_text` wrote."""
    return unquote_to_bytes(text)


def _quote(data: bytes) -> str:
    return "".join(f"%{byte:02X}" for byte in data)
