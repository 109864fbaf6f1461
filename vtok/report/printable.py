"""Names as people read them; hostile ones made harmless.

Texts in, short texts out. A file may be called anything, an escape sequence that
repaints the terminal included: what is not printable is shown as an escape.
"""

import textwrap

from rich.cells import cell_len


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


def wrapped(text: str, width: int | None) -> str:
    """Return a line folded to the width, the rest of it indented; None folds nothing."""
    if width is None:
        return text
    return textwrap.fill(text, width, subsequent_indent="    ", break_long_words=False)
