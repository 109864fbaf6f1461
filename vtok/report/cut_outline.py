"""The cut of one image where there is no colour: outlines of characters, with the tiles' numbers.

In: a `Plan` and the terminal's width. Out: plain ASCII lines. No pixel of the image is needed.
"""

from vtok.records import Size
from vtok.report.cut_caption import facts_line, padding_words, view_lines
from vtok.report.cut_drawing import num_looks, with_next_border
from vtok.report.cut_frame import CutFrame
from vtok.report.terminal import MAX_PICTURE_WIDTH
from vtok.resolution import Box, Plan

MAX_LINES = 24
THUMBNAIL_LINES = 7
GAP = "   "
PADDING_MARK = ":"
UNSEEN_MARK = "."

Lines = list[list[str]]


def cut_outline(plan: Plan, *, width: int) -> str:
    """Return how a plan cuts an image, in ASCII: padding as `:`, what no tile sees as `.`."""
    frame = CutFrame(plan)
    lines = _drawing(frame, min(width, MAX_PICTURE_WIDTH))
    shown = ["".join(line).rstrip() for line in lines]
    words = [facts_line(plan).replace(" · ", ", "), *view_lines(plan)]
    if any(PADDING_MARK in line for line in shown):
        words.append(f"{PADDING_MARK * 3} {padding_words(frame)}")
    if any(UNSEEN_MARK in line for line in shown):
        words.append(f"{UNSEEN_MARK * 3} seen by no tile")
    if not plan.exact:
        words.append(f"~ {plan.note}")
    return "\n".join([*shown, "", *words, ""])


def _drawing(frame: CutFrame, width: int) -> Lines:
    thumbnail = _thumbnail(frame) if frame.thumbnails else []
    beside = len(GAP) + len(thumbnail[0]) if thumbnail else 0
    room = max(12, width - beside)
    # Characters are twice as high as wide: fit in pixels of half a character.
    fitted = frame.fit(Size(height=2 * MAX_LINES, width=room))
    size = Size(height=max(3, fitted.height // 2), width=max(5, fitted.width))
    lines = _canvas(frame, size)
    boxes = [(spot, with_next_border(frame.place(spot.region, size), size)) for spot in frame.spots]
    for _, box in boxes:
        _outline(lines, box)
    for spot, box in boxes:
        if spot.view.role == "tile":
            roomy = f" {spot.label} "
            _write(lines, box, roomy if len(roomy) <= box.right - box.left - 2 else spot.label)
    blank = [" "] * len(lines[0])
    for row, side in enumerate(thumbnail):
        if row == len(lines):
            lines.append(list(blank))
        lines[row] += [*GAP, *side]
    return lines


def _canvas(frame: CutFrame, size: Size) -> Lines:
    """Return blanks for what tiles see of the photograph, marks for padding and what none sees."""
    looks = num_looks(frame, size)
    inside = frame.place(frame.photograph, size)
    return [
        [
            UNSEEN_MARK
            if not looks[row, col]
            else " "
            if inside.left <= col < inside.right and inside.top <= row < inside.bottom
            else PADDING_MARK
            for col in range(size.width)
        ]
        for row in range(size.height)
    ]


def _outline(lines: Lines, box: Box) -> None:
    for row in {box.top, box.bottom - 1}:
        for col in range(box.left, box.right):
            lines[row][col] = "+" if lines[row][col] in "+|" else "-"
    for col in {box.left, box.right - 1}:
        for row in range(box.top, box.bottom):
            lines[row][col] = "+" if lines[row][col] in "+-" else "|"


def _write(lines: Lines, box: Box, text: str) -> None:
    """Write a number on the middle of a box, where it fits between the borders."""
    if box.right - box.left - 2 < len(text) or box.bottom - box.top < 3:
        return
    row = (box.top + box.bottom - 1) // 2
    col = (box.left + box.right - len(text)) // 2
    lines[row][col : col + len(text)] = text


def _thumbnail(frame: CutFrame) -> Lines:
    """Return the outline of the thumbnail, its name inside."""
    view = frame.plan.views[frame.thumbnails[0]].size
    width = min(24, max(13, round(2 * THUMBNAIL_LINES * view.width / view.height)))
    lines: Lines = [[" "] * width for _ in range(THUMBNAIL_LINES)]
    box = Box(0, 0, width, THUMBNAIL_LINES)
    _outline(lines, box)
    _write(lines, box, "thumbnail")
    return lines
