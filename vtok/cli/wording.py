"""The library's words in the command line's: `tile_size_px` is `--tile-size` there.

Knows the names of schemes' options, by their form alone.
"""

import re

_OPTION = re.compile(
    r"(?<![\w./])"  # not inside a path or the dotted name of a plan's field
    r"(?:(tile_size|patch|long_side|short_side|overlap|alignment|size)_px|"
    r"((?:min|max)_(?:tiles|tokens|patches|pixels)|crop_range|min_crop_scale))\b"
)


def in_flags(message: str) -> str:
    """Return a message with the names of schemes' options as flags."""
    return _OPTION.sub(lambda match: "--" + (match[1] or match[2]).replace("_", "-"), message)
