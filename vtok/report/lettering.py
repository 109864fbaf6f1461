"""Words inside pictures, in the one typeface that Pillow brings along.

Text and places in, ink out. No font of the machine is asked for: a picture looks the same
everywhere.
"""

from functools import lru_cache

from PIL import ImageDraw, ImageFont

from vtok.report.palette import BACKGROUND, Colour

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=64)
def font(size_px: int) -> Font:
    """Return Pillow's own typeface at this height."""
    return ImageFont.load_default(size_px)


def text_width(text: str, size_px: int) -> int:
    """Return how many pixels wide a text is."""
    return round(font(size_px).getlength(text))


def fitted(text: str, width_px: int, size_px: int) -> str:
    """Return the text, cut at its end where it would be wider than this."""
    if text_width(text, size_px) <= width_px:
        return text
    while text and text_width(text + "…", size_px) > width_px:
        text = text[:-1]
    return text + "…"


def draw_badge(
    draw: ImageDraw.ImageDraw, centre: tuple[int, int], text: str, size_px: int, colour: Colour
) -> None:
    """Draw dark words on a rounded plate of this colour, readable on any photograph."""
    width = text_width(text, size_px)
    half_height = size_px * 0.75
    half_width = max(width / 2 + size_px * 0.4, half_height)
    x, y = centre
    draw.rounded_rectangle(
        (x - half_width, y - half_height, x + half_width, y + half_height),
        radius=size_px * 0.4,
        fill=colour,
        outline=BACKGROUND,
        width=max(1, size_px // 14),
    )
    draw.text((x, y), text, BACKGROUND, font(size_px), anchor="mm")
