"""Resizing with vector instructions: cykooz-resizer's, in Pillow's order and with its rounding.

In: pixels (H, W, 3) uint8, and the size that they are to have. Out: pixels; of a part of the result
that is shown, only what it needs is made. The passes come in the order that Pillow takes, with
Pillow's rounding between them; what is left is the rounding of the weights to 16 bits: a few pixels
in a thousand are off by one level. It is so for bicubic and Lanczos alone: the weights of the
others make so many exact halves that a twentieth of the pixels would be rounded the other way.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from vtok.errors import UsageError
from vtok.records import Size
from vtok.resolution.parts import Box, Edge, Resample
from vtok.resolution.window import Window

Pixels = npt.NDArray[np.uint8]

FILTERS = {"bicubic": "catmull_rom", "lanczos": "lanczos3"}
"""Pillow's name → cykooz-resizer's."""
_RADIUS: dict[Resample, int] = {"bicubic": 2, "lanczos": 3}

_Resize = Callable[[Pixels, Size, Resample, Edge | None, Box | None], Pixels]
_IsVerticalFirst = Callable[[Size, Size], bool]


@functools.cache
def fast_resizer() -> _Resize:
    """Return the fast resizer.

    Raises:
        UsageError: it is not installed, or this Pillow's order of passes is none that is known.
    """
    try:
        import cykooz_resizer as fast
    except ImportError as error:
        raise UsageError(
            "--resizing fast needs the package cykooz-resizer: pip install 'vtok[fast]'"
        ) from error
    is_vertical_first = order_of_passes()
    if is_vertical_first is None:
        raise UsageError(
            "--resizing fast knows no Pillow that resizes in this order: install another version "
            "of Pillow, or leave it out"
        )
    ways = {
        name: fast.ResizeAlg.convolution(fast.FilterType[theirs])
        for name, theirs in FILTERS.items()
    }
    plain = {
        name: fast.ResizeOptions(resize_alg=way, use_alpha=False) for name, way in ways.items()
    }
    resizer = fast.Resizer()
    rgb = fast.PixelType.U8x3

    def resize(
        pixels: Pixels, size: Size, resample: Resample, edge: Edge | None, shown: Box | None
    ) -> Pixels:
        stored = Size(height=pixels.shape[0], width=pixels.shape[1])
        box = shown or Box(0, 0, size.width, size.height)
        length = edge or (stored.height, stored.width)
        radius = _RADIUS[resample]
        rows = Window.of(stored.height, length[0], size.height, (box.top, box.bottom), radius)
        cols = Window.of(stored.width, length[1], size.width, (box.left, box.right), radius)
        # Rows that are not read are left out; to leave out columns would cost another copy.
        cols = cols.of_all(stored.width)
        seen = pixels[rows.first : rows.last]
        now = fast.ImageData(stored.width, len(seen), rgb, seen.tobytes())
        passes = [(rows, True), (cols, False)]
        if not is_vertical_first(stored, size):
            passes.reverse()
        for window, is_vertical in passes:
            if window.changes_nothing:
                continue
            options = plain[resample]
            if not window.is_all:
                along = (0, window.start, now.width, window.length)
                across = (window.start, 0, window.length, now.height)
                options = fast.ResizeOptions(resize_alg=ways[resample], use_alpha=False)
                options.crop_box = fast.CropBox(*(along if is_vertical else across))
            grown = (now.width, window.num_made) if is_vertical else (window.num_made, now.height)
            then = fast.ImageData(*grown, rgb)
            resizer.resize(now, then, options)
            now = then
        made: Pixels = np.frombuffer(now.get_buffer(), np.uint8)
        return made.reshape(rows.num_made, cols.num_made, 3)[rows.shown, cols.shown]

    return resize


def _never(_: Size, __: Size) -> bool:
    """Pillow up to 12: from left to right first."""
    return False


def _where_more_is_lost(size: Size, wanted: Size) -> bool:
    """Pillow 13: from top to bottom first, where that takes away more than twice as many lines."""
    lost = size.height - wanted.height
    return lost > 0 and lost > 2 * (size.width - wanted.width)


_PROBES = ((24, 40, 16, 12), (40, 24, 12, 16), (40, 40, 20, 20), (20, 40, 30, 30), (30, 20, 19, 14),
           (30, 40, 25, 30), (30, 40, 25, 29), (20, 30, 25, 40))  # fmt: skip


@functools.cache
def order_of_passes(
    rules: Sequence[_IsVerticalFirst] = (_never, _where_more_is_lost),
) -> _IsVerticalFirst | None:
    """Return which pass the installed Pillow makes first, or None if it is by none of the rules.

    It matters: Pillow rounds to whole levels between the passes, and the other order gives other
    levels in one pixel of seven.
    """
    noise = Image.frombytes("L", (40, 40), hashlib.shake_128(b"").digest(40 * 40))
    fitting = list(rules)
    for width, height, new_width, new_height in _PROBES:
        picture = noise.crop((0, 0, width, height))
        whole = picture.resize((new_width, new_height), Image.Resampling.BICUBIC)
        between = picture.resize((width, new_height), Image.Resampling.BICUBIC)
        vertical_first = between.resize((new_width, new_height), Image.Resampling.BICUBIC)
        is_vertical_first = whole.tobytes() == vertical_first.tobytes()
        size = Size(height=height, width=width)
        wanted = Size(height=new_height, width=new_width)
        fitting = [rule for rule in fitting if rule(size, wanted) == is_vertical_first]
    return fitting[0] if fitting else None
