"""Originals beside their reconstructions, on one page.

In: pairs of RGB `PIL.Image`s with a caption each. Out: one RGB picture. Both halves of a pair are
shown at the same scale, so that nothing but the pixels differs. Measures nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw

from vtok.report.lettering import fitted, font
from vtok.report.palette import BACKGROUND, INK, QUIET
from vtok.report.printable import printable

CELL_PX = 360
GAP_PX = 8
MARGIN_PX = 32
TEXT_PX = 18
HEADING_PX = 22
MAX_PAIRS_ACROSS = 2


class Pair(NamedTuple):
    """One original and what came back.

    Attributes:
        original: RGB, any size.
        reconstruction: RGB, of any size; shown at the original's.
        caption: One line below, a name and a figure, say.
    """

    original: Image.Image
    reconstruction: Image.Image
    caption: str = ""


def contact_sheet(pairs: Sequence[Pair], *, title: str = "") -> Image.Image:
    """Return a page of pairs: the original left, the reconstruction right of it.

    Args:
        pairs: At least one.
        title: One line above all.

    Raises:
        ValueError: there are no pairs.
    """
    if not pairs:
        raise ValueError("a contact sheet needs at least one pair")
    across = min(MAX_PAIRS_ACROSS, len(pairs))
    panels = [_panel(pair) for pair in pairs]
    lines = [panels[i : i + across] for i in range(0, len(panels), across)]
    top = MARGIN_PX + 2 * HEADING_PX if title else MARGIN_PX
    width = max(sum(panel.width for panel in line) + MARGIN_PX * (len(line) - 1) for line in lines)
    heights = [max(panel.height for panel in line) for line in lines]
    page = Image.new(
        "RGB",
        (width + 2 * MARGIN_PX, top + sum(heights) + GAP_PX * (len(lines) - 1) + MARGIN_PX),
        BACKGROUND,
    )
    if title:
        words = fitted(printable(title), width, HEADING_PX)
        ImageDraw.Draw(page).text((MARGIN_PX, MARGIN_PX), words, INK, font(HEADING_PX))
    y = top
    for line, height in zip(lines, heights, strict=True):
        x = MARGIN_PX
        for panel in line:
            page.paste(panel, (x, y))
            x += panel.width + MARGIN_PX
        y += height + GAP_PX
    return page


def _panel(pair: Pair) -> Image.Image:
    """Return one pair, its caption below."""
    scale = min(1.0, CELL_PX / max(pair.original.size))
    if max(pair.original.size) < CELL_PX // 2:
        scale = CELL_PX // max(pair.original.size)  # whole steps: pixels stay squares
    size = (
        max(1, round(pair.original.width * scale)),
        max(1, round(pair.original.height * scale)),
    )
    resample = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    panel = Image.new("RGB", (2 * size[0] + GAP_PX, size[1] + TEXT_PX + 3 * GAP_PX), BACKGROUND)
    panel.paste(pair.original.convert("RGB").resize(size, resample), (0, 0))
    panel.paste(pair.reconstruction.convert("RGB").resize(size, resample), (size[0] + GAP_PX, 0))
    words = fitted(printable(pair.caption), panel.width, TEXT_PX)
    ImageDraw.Draw(panel).text((0, size[1] + GAP_PX), words, QUIET, font(TEXT_PX))
    return panel
