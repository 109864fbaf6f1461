"""What the terminal at the other end can show, asked once.

In: a text stream. Out: a `rich` console that adds nothing of its own to what it is given, and the
kind of picture it can carry. Knows nothing of what is shown.
"""

import sys
from typing import Literal, TextIO

from rich.console import Console

PictureStyle = Literal["blocks", "outline"]

MIN_WIDTH = 40
MAX_PICTURE_WIDTH = 120


class _Paper(Console):
    def on_broken_pipe(self) -> None:
        """Leave to the program what it means that nobody reads on."""
        raise BrokenPipeError


def terminal(file: TextIO | None = None, *, width: int | None = None) -> Console:
    """Return a console that prints text as it stands: no markup, no emoji, no highlighting.

    Args:
        file: The stream; standard output if None.
        width: Columns, where they are not to be asked of the terminal.
    """
    return _Paper(file=file or sys.stdout, width=width, markup=False, emoji=False, highlight=False)


def picture_style(console: Console) -> PictureStyle:
    """Return `blocks` where half blocks in at least 256 colours can be shown, else `outline`.

    Pipes, `TERM=dumb`, `NO_COLOR`, 16 colours and encodings without block characters get outlines.
    """
    has_colours = console.color_system in ("256", "truecolor") and not console.no_color
    if has_colours and not console.is_dumb_terminal and speaks_unicode(console):
        return "blocks"
    return "outline"


def speaks_unicode(console: Console) -> bool:
    """Tell whether the stream's encoding has block characters."""
    return console.encoding.lower().replace("_", "-").startswith("utf")


def plain_width(console: Console) -> int | None:
    """Return the columns that tables have to fit in; None where names may be of any length.

    A file or a pipe has no width: names are written whole there, for `grep` and `cut`.
    """
    return max(MIN_WIDTH, console.width) if console.is_terminal else None
