"""The library's words in the command line's: `tile_size_px` is `--tile-size`, a docstring is help.

A failure is one line. Knows the names of schemes' options, by their form alone.
"""

import inspect
import re
from collections.abc import Callable

from vtok.records import Failure

_OPTION = re.compile(
    r"(?<![\w./])"  # not inside a path or the dotted name of a plan's field
    r"(?:(tile_size|patch|long_side|short_side|overlap|alignment|size)_px|"
    r"((?:min|max)_(?:tiles|tokens|patches|pixels)|crop_range|min_crop_scale|crops(?= must be)))\b"
)


def in_flags(message: str) -> str:
    """Return a message with the names of schemes' options as flags."""
    return _OPTION.sub(lambda match: "--" + (match[1] or match[2]).replace("_", "-"), message)


def help_of(function: Callable[..., None]) -> str:
    """Return a function's docstring, its examples marked so that their lines are not joined."""
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    return "\n\n".join(
        f"\b\n{each}" if each.startswith("Examples:") else each for each in paragraphs
    )


def failure_line(failure: Failure) -> str:
    """Return one line that says which image failed, where and why."""
    return f"vtok: failed: {failure.source}: {failure.message} ({failure.reason})"
