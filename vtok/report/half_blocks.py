"""Pixels in the terminal: two to a character, the upper as ink and the lower as paper.

In: an RGB picture, and words to stand over it. Out: one `rich` text of height / 2 lines. What a
terminal with fewer colours makes of it is `rich`'s concern.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import numpy as np
from PIL import Image
from rich.color import Color
from rich.style import Style
from rich.text import Text

from vtok.report.palette import BACKGROUND, Colour

UPPER_HALF = "▀"


@dataclass(frozen=True, slots=True)
class Label:
    """Words over a picture.

    Attributes:
        row: Line of text.
        col: First character.
        text: The words.
        colour: Of the plate that they stand on.
    """

    row: int
    col: int
    text: str
    colour: Colour


def half_blocks(image: Image.Image, labels: Sequence[Label] = ()) -> list[Text]:
    """Return one line of text for every two rows of pixels; an odd last row stands on nothing.

    Args:
        image: RGB.
        labels: Drawn in order; what lies outside the picture is left out.
    """
    pixels = np.asarray(image.convert("RGB"))
    height, width, _ = pixels.shape
    over: dict[tuple[int, int], tuple[str, Style]] = {}
    for label in labels:
        for i, char in enumerate(label.text):
            over[label.row, label.col + i] = (char, _plate(label.colour))
    lines = []
    for row in range(-(-height // 2)):
        upper = pixels[2 * row].tolist()
        lower = pixels[2 * row + 1].tolist() if 2 * row + 1 < height else None
        cells = [
            over.get((row, col))
            or (UPPER_HALF, _pair(tuple(upper[col]), tuple(lower[col]) if lower else None))
            for col in range(width)
        ]
        line = Text()
        for style, run in groupby(cells, key=lambda cell: cell[1]):
            line.append("".join(char for char, _ in run), style)
        lines.append(line)
    return lines


@lru_cache(maxsize=65536)
def _pair(upper: Colour, lower: Colour | None) -> Style:
    paper = None if lower is None else Color.from_rgb(*lower)
    return Style(color=Color.from_rgb(*upper), bgcolor=paper)


@lru_cache(maxsize=16)
def _plate(colour: Colour) -> Style:
    return Style(color=Color.from_rgb(*BACKGROUND), bgcolor=Color.from_rgb(*colour), bold=True)
