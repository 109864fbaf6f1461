"""Pictures that no camera takes, drawn from a seed: so that documents and graphics survive too.

In: a random generator and a side in pixels. Out: (S, S, 3) uint8. Four kinds, equally often: dead
leaves (discs that hide one another, sizes by a power law: the statistics of edges in photographs;
Lee, Mumford and Huang, Occlusion Models for Natural Images, 2001), a page of text, line art, and
smooth gradients. Needs no file: letters come from the font that Pillow carries.
"""

import math
import string
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Pixels = npt.NDArray[np.uint8]
_Colour = tuple[int, int, int]

_LETTERS = string.ascii_letters * 3 + string.digits + string.punctuation
_OVERSIZE = 2  # discs and lines are drawn this much larger, then reduced: smooth edges


def generated(draw: np.random.Generator, side_px: int) -> Pixels:
    """Return a picture of one of the four kinds, (S, S, 3) uint8."""
    kind = _KINDS[int(draw.integers(len(_KINDS)))]
    return kind(draw, side_px)


def dead_leaves(draw: np.random.Generator, side_px: int) -> Pixels:
    """Return discs over discs, radii between 1/40 of the side and the side, density r^-3."""
    side = side_px * _OVERSIZE
    image = Image.new("RGB", (side, side), _colour(draw))
    pen = ImageDraw.Draw(image)
    smallest, largest = side / 40, side
    for share in draw.random(160):
        # The inverse of the cumulated r^-3 on [smallest, largest].
        inverse_square = smallest**-2 + share * (largest**-2 - smallest**-2)
        radius = inverse_square**-0.5
        x, y = draw.uniform(0, side, 2)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_colour(draw))
    return _reduced(image, side_px)


def text_page(draw: np.random.Generator, side_px: int) -> Pixels:
    """Return lines of random words, 8 to 28 px high, dark on light or the reverse."""
    ink, paper = _ink_and_paper(draw)
    image = Image.new("RGB", (side_px, side_px), paper)
    pen = ImageDraw.Draw(image)
    size = float(draw.uniform(8, 28))
    font = ImageFont.load_default(size)
    y = float(draw.uniform(-size, size / 2))
    while y < side_px:
        pen.text((float(draw.uniform(-size, size)), y), _words(draw, side_px, size), ink, font)
        y += size * float(draw.uniform(1.1, 1.5))
    return np.asarray(image)


def line_art(draw: np.random.Generator, side_px: int) -> Pixels:
    """Return polygons, arcs and straight lines, 1 to 4 px wide, on a plain ground."""
    ink, paper = _ink_and_paper(draw)
    side = side_px * _OVERSIZE
    image = Image.new("RGB", (side, side), paper)
    pen = ImageDraw.Draw(image)
    for _ in range(int(draw.integers(4, 24))):
        width = int(draw.integers(1, 5)) * _OVERSIZE
        colour = ink if draw.random() < 0.7 else _colour(draw)
        x0, y0, x1, y1 = (float(each) for each in draw.uniform(0, side, 4))
        shape = int(draw.integers(3))
        if shape == 0:
            pen.line((x0, y0, x1, y1), fill=colour, width=width)
        elif shape == 1:
            box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
            pen.arc(box, float(draw.uniform(0, 360)), float(draw.uniform(0, 720)), colour, width)
        else:
            pen.rectangle(
                (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), outline=colour, width=width
            )
    return _reduced(image, side_px)


def gradient(draw: np.random.Generator, side_px: int) -> Pixels:
    """Return a smooth change between two colours, along a line or outwards, with a slow wave."""
    rows, cols = np.mgrid[0:side_px, 0:side_px] / side_px
    angle = draw.uniform(0, 2 * math.pi)
    if draw.random() < 0.5:
        way = np.cos(angle) * cols + np.sin(angle) * rows
    else:
        centre = draw.uniform(0, 1, 2)
        way = np.hypot(cols - centre[0], rows - centre[1])
    way = way + draw.uniform(0, 0.3) * np.sin(way * draw.uniform(0, 12) + angle)
    span = max(float(np.ptp(way)), 1e-6)
    share = ((way - way.min()) / span)[:, :, None]  # (S, S, 1) in [0, 1]
    first, second = np.array(_colour(draw)), np.array(_colour(draw))
    pixels: Pixels = np.rint(first + share * (second - first)).astype(np.uint8)
    return pixels


_KINDS: tuple[Callable[[np.random.Generator, int], Pixels], ...] = (
    dead_leaves,
    text_page,
    line_art,
    gradient,
)


def _colour(draw: np.random.Generator) -> _Colour:
    red, green, blue = (int(each) for each in draw.integers(0, 256, 3))
    return red, green, blue


def _ink_and_paper(draw: np.random.Generator) -> tuple[_Colour, _Colour]:
    """Return a dark and a light colour, mostly greys, in the usual order or reversed."""
    dark, light = int(draw.integers(0, 90)), int(draw.integers(180, 256))
    ink, paper = (dark, dark, dark), (light, light, light)
    if draw.random() < 0.3:
        ink = _colour(draw)
    return (ink, paper) if draw.random() < 0.8 else (paper, ink)


def _words(draw: np.random.Generator, side_px: int, size: float) -> str:
    """Return about as many random words as a line holds."""
    letters = draw.choice(list(_LETTERS), size=max(4, round(2.5 * side_px / size)))
    words, start = [], 0
    while start < len(letters):
        length = int(draw.integers(1, 10))
        words.append("".join(letters[start : start + length]))
        start += length
    return " ".join(words)


def _reduced(image: Image.Image, side_px: int) -> Pixels:
    return np.asarray(image.resize((side_px, side_px), Image.Resampling.BOX))
