"""Names and numbers as people read them; hostile names made harmless.

Texts and numbers in, short texts out. A file may be called anything, an escape sequence that
repaints the terminal included: what is not printable is shown as an escape.
"""

import textwrap
from fractions import Fraction

from rich.cells import cell_len

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def printable(text: str) -> str:
    """Return the text on one line; control characters and lone surrogates become escapes."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def shorten(text: str, width: int, *, keep_end: bool) -> str:
    """Return the text in at most `width` columns, `…` where something is left out.

    Args:
        text: On one line.
        width: Columns, at least 1.
        keep_end: Leave out the middle: both ends of a path tell more than it does.
    """
    if cell_len(text) <= width:
        return text
    room = width - 1
    tail = _fitting(text[::-1], room - room // 3)[::-1] if keep_end else ""
    return f"{_fitting(text, room - cell_len(tail))}…{tail}"


def _fitting(text: str, width: int) -> str:
    """Return the longest start of the text that is not wider."""
    used = 0
    for position, char in enumerate(text):
        used += cell_len(char)
        if used > width:
            return text[:position]
    return text


def bytes_text(num_bytes: float) -> str:
    """Return a length in bytes with a decimal unit: `530 B`, `1.54 kB`, `20.1 GB`."""
    for unit in _UNITS[:-1]:
        if num_bytes < 999.5:
            return f"{num_bytes:.0f} B" if unit == "B" else f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} {_UNITS[-1]}"


def share_text(part: int, whole: int) -> str:
    """Return a share in percent, never rounded to `0%` or `100%` when it is neither."""
    if whole == 0:
        return "-"
    share = Fraction(100 * part, whole)
    if 0 < share < Fraction(1, 10):
        return "<0.1%"
    if Fraction(999, 10) < share < 100:
        return ">99.9%"
    return f"{float(share):.3g}%"


def plural(count: int, noun: str) -> str:
    """Return `1 image`, `2,000 images`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def wrapped(text: str, width: int | None) -> str:
    """Return a line folded to the width, the rest of it indented; None folds nothing."""
    if width is None:
        return text
    return textwrap.fill(text, width, subsequent_indent="    ", break_long_words=False)
