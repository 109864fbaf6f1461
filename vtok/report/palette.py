"""The colours that all pictures share, and one colour for every index of a codebook.

Dimension letters: H W pixels.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]

BACKGROUND: Colour = (18, 20, 26)
PANEL: Colour = (30, 33, 42)
INK: Colour = (236, 238, 242)
QUIET: Colour = (150, 156, 170)
TILE: Colour = (255, 183, 3)
THUMBNAIL: Colour = (76, 201, 240)
PADDING_DARK: Colour = (44, 47, 58)
PADDING_LIGHT: Colour = (92, 97, 115)
UNSEEN_SHARE = 0.3
"""How much of a pixel's light is left where no view looks."""
TINT_SHARE = 0.22
"""How much of the tiles' colour lies over what several of them show."""

_GOLDEN, _PLASTIC, _SILVER = 0.618033988749895, 0.7548776662466927, 0.4142135623730951


def index_colours(indices: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint8]:
    """Return (..., 3) colours of indices (...): neighbours as far apart as hue and light allow.

    An index means nothing by its number, so nearby numbers must not look alike. The colour depends
    on the index alone.
    """
    steps = indices.astype(np.float64)[..., None]
    hue = steps * _GOLDEN % 1
    light = 0.35 + 0.4 * (steps * _PLASTIC % 1)
    strength = (0.45 + 0.5 * (steps * _SILVER % 1)) * np.minimum(light, 1 - light)
    turn = (hue * 12 + np.array([0, 8, 4])) % 12
    rgb = light - strength * np.clip(np.minimum(turn - 3, 9 - turn), -1, 1)
    colours: npt.NDArray[np.uint8] = np.rint(255 * rgb).astype(np.uint8)
    return colours


def chequered(where: npt.NDArray[np.bool_], yes: Colour, no: Colour) -> npt.NDArray[np.uint8]:
    """Return (H, W, 3): one colour where a mask (H, W) holds, another where it does not."""
    pair = np.array([no, yes], np.uint8)
    return pair[where.astype(np.intp)]
