"""The cut of one image in the terminal, in colour: grid over the photograph, thumbnail beside it.

In: a `Plan`, the photograph as an RGB `PIL.Image`, the terminal's width. Out: one `rich` text.
A character is one pixel wide and two high.
"""

from PIL import Image
from rich.text import Text

from vtok.records import Size
from vtok.report.cut_caption import facts_line, padding_words, view_lines
from vtok.report.cut_drawing import draw_small_frame, draw_view, hatch, num_looks
from vtok.report.cut_frame import CutFrame
from vtok.report.half_blocks import Label, half_blocks
from vtok.report.palette import THUMBNAIL, TILE, Colour
from vtok.report.terminal import MAX_PICTURE_WIDTH
from vtok.resolution import Plan

MAX_LINES = 40
THUMBNAIL_LINES = 10
GAP = "   "
BELOW_ASPECT = 2.4
SWATCH = "██ "


def cut_blocks(plan: Plan, image: Image.Image, *, width: int) -> Text:
    """Return how a plan cuts an image, in half blocks.

    Args:
        plan: Made for this image.
        image: RGB, upright.
        width: Columns of the terminal.

    Raises:
        UsageError: the image is not of the plan's size, or not RGB.
    """
    frame = CutFrame(plan)
    width = min(width, MAX_PICTURE_WIDTH)
    thumbnail = _thumbnail(frame, image, width // 4)
    below = frame.aspect > BELOW_ASPECT
    beside = 0 if below or not thumbnail else len(GAP) + thumbnail[0].cell_len
    fitted = frame.fit(Size(height=2 * MAX_LINES, width=max(8, width - beside)))
    drawing = Size(height=max(2, fitted.height // 2 * 2), width=fitted.width)
    drawn = draw_small_frame(frame, image, drawing)
    lines = half_blocks(drawn, _numbers(frame, drawing))
    if below:
        lines += [Text(), *thumbnail] if thumbnail else []
    else:
        lines = _side_by_side(lines, thumbnail, drawing.width)
    text = Text("\n").join([*lines, Text(), Text(facts_line(plan), "bold"), *_legend(frame)])
    return text.append("\n")


def _numbers(frame: CutFrame, drawing: Size) -> list[Label]:
    """Return every tile's number on its middle, as long as there is room around it."""
    labels = []
    for spot in frame.spots:
        box = frame.place(spot.region, drawing)
        room = box.right - box.left - 2
        text = f" {spot.label} " if room >= len(spot.label) + 2 else spot.label
        if spot.view.role != "tile" or len(text) > room or box.bottom - box.top < 4:
            continue
        col = (box.left + box.right - len(text)) // 2
        labels.append(Label((box.top + box.bottom) // 4, col, text, TILE))
    return labels


def _thumbnail(frame: CutFrame, image: Image.Image, width: int) -> list[Text]:
    """Return the thumbnail's lines and its name; nothing where the plan has none."""
    if not frame.thumbnails:
        return []
    index = frame.thumbnails[0]
    view = frame.plan.views[index]
    scale = min(width / view.size.width, 2 * THUMBNAIL_LINES / view.size.height)
    size = Size(
        height=max(2, round(view.size.height * scale / 2) * 2),
        width=max(4, round(view.size.width * scale)),
    )
    lines = half_blocks(draw_view(frame.plan, image, index, size))
    name = Text("thumbnail"[: size.width].ljust(size.width), _ink(THUMBNAIL))
    return [*lines, name]


def _side_by_side(left: list[Text], right: list[Text], left_width: int) -> list[Text]:
    lines = []
    for row in range(max(len(left), len(right))):
        line = left[row].copy() if row < len(left) else Text(" " * left_width)
        if row < len(right):
            line.append(GAP).append_text(right[row])
        lines.append(line)
    return lines


def _legend(frame: CutFrame) -> list[Text]:
    lines = [
        _entry(THUMBNAIL if words.startswith("thumbnail") else TILE, words)
        for words in view_lines(frame.plan)
    ]
    if frame.is_padded:
        swatch = half_blocks(hatch(Size(height=2, width=2), stripe_px=1))[0]
        lines.append(swatch.append(f" hatched: {padding_words(frame)}", "dim"))
    looks = num_looks(frame, frame.fit(Size(height=200, width=200)))
    if (looks > 1).any():
        lines.append(Text("   tinted: seen by several tiles", "dim"))
    if (looks == 0).any():
        lines.append(Text("   dimmed: seen by no tile", "dim"))
    if not frame.plan.exact:
        lines.append(Text(f"~  {frame.plan.note}", "dim"))
    return lines


def _entry(colour: Colour, words: str) -> Text:
    return Text().append(SWATCH, _ink(colour)).append(words, "dim")


def _ink(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
