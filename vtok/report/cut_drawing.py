"""Photographs with their tiles drawn over them: the part that all pictures of a cut share.

In: a `CutFrame`, the photograph as an RGB `PIL.Image`, the size of the drawing. Out: pixels. Tiles
are outlined and numbered in the plan's order; padding is hatched, what several tiles see is tinted,
what none sees is dimmed; where there is room, the cells that one token each stands for are drawn.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from vtok.records import Size
from vtok.report.cut_frame import CutFrame, Spot, view_content
from vtok.report.lettering import draw_badge
from vtok.report.palette import (
    BACKGROUND,
    INK,
    PADDING_DARK,
    PADDING_LIGHT,
    TILE,
    TINT_SHARE,
    UNSEEN_SHARE,
    Colour,
    chequered,
)
from vtok.resolution import Box, Plan, render

LINE_PX = 4
HATCH_PX = 7
SMALL_HATCH_PX = 2
MIN_CELL_PX = 14
CELL_LIGHT = 70
"""How strongly the cells of tokens are drawn, of 255."""


def draw_frame(frame: CutFrame, image: Image.Image, drawing: Size) -> Image.Image:
    """Return the photograph with numbered tiles over it, for a large picture."""
    drawn = _shaded(frame, image, drawing, HATCH_PX)
    draw = ImageDraw.Draw(drawn)
    boxes = [(spot, frame.place(spot.region, drawing)) for spot in frame.spots]
    for _, box in boxes:
        outline(draw, box, BACKGROUND, LINE_PX + 2)
    for spot, box in boxes:
        _token_cells(drawn, spot, box)
        outline(draw, box, TILE, LINE_PX)
    for spot, box in boxes:
        _number(draw, spot, box)
    return drawn


def draw_small_frame(frame: CutFrame, image: Image.Image, drawing: Size) -> Image.Image:
    """Return the photograph with tiles outlined by single pixels, which neighbours share."""
    drawn = _shaded(frame, image, drawing, SMALL_HATCH_PX)
    draw = ImageDraw.Draw(drawn)
    for spot in frame.spots:
        outline(draw, with_next_border(frame.place(spot.region, drawing), drawing), TILE, 1)
    return drawn


def with_next_border(box: Box, drawing: Size) -> Box:
    """Return the box with its neighbours' first line and column, which are its own border too."""
    return Box(
        left=box.left,
        top=box.top,
        right=min(box.right + 1, drawing.width),
        bottom=min(box.bottom + 1, drawing.height),
    )


def _shaded(frame: CutFrame, image: Image.Image, drawing: Size, hatch_px: int) -> Image.Image:
    """Return the photograph on hatched padding; tinted and dimmed by how many tiles see it."""
    pixels = np.asarray(hatch(drawing, stripe_px=hatch_px)).copy()
    inside = frame.place(frame.photograph, drawing)
    photograph = resized(image, inside.size)
    pixels[inside.top : inside.bottom, inside.left : inside.right] = np.asarray(photograph)
    looks = num_looks(frame, drawing)
    pixels[looks == 0] = (pixels[looks == 0] * UNSEEN_SHARE).astype(np.uint8)
    tinted = pixels[looks > 1] * (1 - TINT_SHARE) + np.array(TILE) * TINT_SHARE
    pixels[looks > 1] = tinted.astype(np.uint8)
    return Image.fromarray(pixels)


def num_looks(frame: CutFrame, drawing: Size) -> npt.NDArray[np.uint16]:
    """Return, for every pixel of a drawing (H, W), how many tiles show it."""
    looks = np.zeros((drawing.height, drawing.width), np.uint16)
    for spot in frame.spots:
        box = frame.place(spot.region, drawing)
        looks[box.top : box.bottom, box.left : box.right] += 1
    return looks


def hatch(size: Size, *, stripe_px: int) -> Image.Image:
    """Return slanted stripes: what padding looks like in every picture."""
    down, across = np.mgrid[: size.height, : size.width]
    stripes = (across + down) // stripe_px % 2 == 0
    return Image.fromarray(chequered(stripes, PADDING_LIGHT, PADDING_DARK))


def draw_view(plan: Plan, image: Image.Image, index: int, size: Size) -> Image.Image:
    """Return one view as the model gets it, its padding hatched, at this size."""
    view = plan.views[index]
    pixels = render(plan, image)[index]
    shown = resized(Image.fromarray(pixels), size)
    content = view_content(plan, view)
    scale_x, scale_y = size.width / view.size.width, size.height / view.size.height
    kept = (
        max(0, round(content.left * scale_x)),
        max(0, round(content.top * scale_y)),
        min(size.width, round(content.right * scale_x)),
        min(size.height, round(content.bottom * scale_y)),
    )
    padded = hatch(size, stripe_px=HATCH_PX if size.width > 100 else SMALL_HATCH_PX)
    if kept[2] > kept[0] and kept[3] > kept[1]:
        padded.paste(shown.crop(kept), kept[:2])
    return padded


def _token_cells(drawn: Image.Image, spot: Spot, box: Box) -> None:
    """Draw the faint cells that one token each stands for, where they are large enough to see."""
    cells = spot.view.token_grid
    if cells is None:
        return
    width, height = box.right - box.left, box.bottom - box.top
    if min(width / cells.cols, height / cells.rows) < MIN_CELL_PX:
        return
    lines = Image.new("L", (width, height))
    draw = ImageDraw.Draw(lines)
    for col in range(1, cells.cols):
        x = round(col * width / cells.cols)
        draw.line((x, 0, x, height), CELL_LIGHT)
    for row in range(1, cells.rows):
        y = round(row * height / cells.rows)
        draw.line((0, y, width, y), CELL_LIGHT)
    drawn.paste(INK, (box.left, box.top), lines)


def _number(draw: ImageDraw.ImageDraw, spot: Spot, box: Box) -> None:
    """Draw a tile's number on its middle, where it is large enough to carry one."""
    if spot.view.role != "tile":
        return  # one view needs no name, and the picture's middle is worth seeing
    short = min(box.right - box.left, box.bottom - box.top)
    size_px = max(12, min(56, short // 4))
    centre = ((box.left + box.right) // 2, (box.top + box.bottom) // 2)
    if short >= 2 * size_px:
        draw_badge(draw, centre, spot.label, size_px, TILE)


def outline(draw: ImageDraw.ImageDraw, box: Box, colour: Colour, line_px: int) -> None:
    """Draw a box's border inside it, so that the borders of neighbours both show."""
    draw.rectangle((box.left, box.top, box.right - 1, box.bottom - 1), None, colour, line_px)


def resized(image: Image.Image, size: Size) -> Image.Image:
    """Return the image at another size: smooth, unless so large that its pixels are to be seen."""
    if image.size == (size.width, size.height):
        return image
    enlarged = size.width >= 3 * image.width
    filtered = Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS
    return image.resize((size.width, size.height), filtered, reducing_gap=3.0)
