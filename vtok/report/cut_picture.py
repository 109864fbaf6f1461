"""The cut of one image as a large picture: grid over the photograph, thumbnail beside it.

In: a `Plan` and the photograph as an RGB `PIL.Image`. Out: an RGB picture to be saved. Tiles have
their numbers in the plan's order; padding is hatched, what no tile sees is dimmed.
"""

from PIL import Image, ImageDraw

from vtok.records import Size
from vtok.report.cut_caption import facts_line, padding_words, view_lines, view_tokens
from vtok.report.cut_drawing import LINE_PX, draw_frame, draw_view, num_looks, outline
from vtok.report.cut_frame import CutFrame
from vtok.report.lettering import fitted, font, text_width
from vtok.report.palette import (
    BACKGROUND,
    INK,
    PADDING_LIGHT,
    QUIET,
    THUMBNAIL,
    TILE,
    Colour,
)
from vtok.report.printable import printable
from vtok.resolution import Box, Plan

ROOM = Size(height=1100, width=1600)
MARGIN_PX = 48
GAP_PX = 40
TITLE_PX = 40
TEXT_PX = 24
SIDE_BY_SIDE_ASPECT = 2.4
"""Wider frames have their thumbnail below, where there is room."""


def cut_picture(plan: Plan, image: Image.Image, *, title: str = "") -> Image.Image:
    """Return a large picture of how a plan cuts an image.

    Args:
        plan: Made for this image.
        image: RGB, upright.
        title: The image's name.

    Raises:
        UsageError: the image is not of the plan's size, or not RGB.
    """
    frame = CutFrame(plan)
    drawn = draw_frame(frame, image, frame.fit(ROOM))
    sides = [_draw_thumbnail(frame, image, i, drawn) for i in frame.thumbnails[:1]]
    below = frame.aspect > SIDE_BY_SIDE_ASPECT
    captions = _captions(frame)
    width = drawn.width
    height = drawn.height
    for side in sides:
        width = max(width, side.width) if below else width + GAP_PX + side.width
        height = height + GAP_PX + side.height if below else max(height, side.height)
    width = max(width, 900)
    top = MARGIN_PX + TITLE_PX + TEXT_PX + 44
    bottom = 28 + len(captions) * (TEXT_PX + 14) + MARGIN_PX
    page = Image.new("RGB", (width + 2 * MARGIN_PX, top + height + bottom), BACKGROUND)
    draw = ImageDraw.Draw(page)
    name = fitted(printable(title) or plan.scheme, width, TITLE_PX)
    draw.text((MARGIN_PX, MARGIN_PX), name, INK, font(TITLE_PX))
    facts = fitted(facts_line(plan), width, TEXT_PX)
    draw.text((MARGIN_PX, MARGIN_PX + TITLE_PX + 16), facts, QUIET, font(TEXT_PX))
    page.paste(drawn, (MARGIN_PX, top))
    for side in sides:
        corner = (
            (MARGIN_PX, top + drawn.height + GAP_PX)
            if below
            else (MARGIN_PX + drawn.width + GAP_PX, top)
        )
        page.paste(side, corner)
    for i, (colour, words) in enumerate(captions):
        y = top + height + 28 + i * (TEXT_PX + 14)
        _swatch(draw, (MARGIN_PX, y + 4), colour)
        draw.text((MARGIN_PX + 40, y), fitted(words, width - 40, TEXT_PX), QUIET, font(TEXT_PX))
    return page


def _draw_thumbnail(
    frame: CutFrame, image: Image.Image, index: int, drawn: Image.Image
) -> Image.Image:
    """Return the thumbnail in its frame with its words below, no larger than half the picture."""
    view = frame.plan.views[index]
    side = max(160, min(420, max(drawn.height, 260) - 2 * TEXT_PX - 20))
    scale = side / max(view.size.width, view.size.height)
    size = Size(
        height=max(1, round(view.size.height * scale)), width=max(1, round(view.size.width * scale))
    )
    words = [f"thumbnail {view.size}", view_tokens(view)]
    width = max(size.width, *(text_width(each, TEXT_PX) for each in words))
    panel = Image.new("RGB", (width, size.height + 2 * (TEXT_PX + 10) + 8), BACKGROUND)
    panel.paste(draw_view(frame.plan, image, index, size), (0, 0))
    draw = ImageDraw.Draw(panel)
    outline(draw, Box(0, 0, size.width, size.height), THUMBNAIL, LINE_PX)
    for i, text in enumerate(words):
        y = size.height + 12 + i * (TEXT_PX + 10)
        draw.text((0, y), text, THUMBNAIL if i == 0 else QUIET, font(TEXT_PX))
    return panel


def _captions(frame: CutFrame) -> list[tuple[Colour, str]]:
    """Return colour and words of everything that the picture shows, in order."""
    lines: list[tuple[Colour, str]] = [
        (THUMBNAIL if line.startswith("thumbnail") else TILE, line)
        for line in view_lines(frame.plan)
    ]
    if frame.is_padded:
        lines.append((PADDING_LIGHT, f"hatched: {padding_words(frame)}"))
    looks = num_looks(frame, frame.fit(Size(height=200, width=200)))
    if (looks > 1).any():
        lines.append((TILE, "tinted: seen by several tiles"))
    if (looks == 0).any():
        lines.append((QUIET, "dimmed: seen by no tile"))
    if not frame.plan.exact:
        lines.append((QUIET, frame.plan.note))
    return lines


def _swatch(draw: ImageDraw.ImageDraw, corner: tuple[int, int], colour: Colour) -> None:
    x, y = corner
    draw.rounded_rectangle((x, y, x + 22, y + 22), 5, colour)
