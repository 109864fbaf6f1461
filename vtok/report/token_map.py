"""Indices as pictures: one colour for every code, one cell for every token.

In: index arrays, (h, w) or any shape. Out: a large picture, half blocks for the terminal, or the
numbers themselves where there is no colour. Equal indices have equal colours, in every picture of
the same codebook; unequal ones differ as far as possible, since numbers say nothing of likeness.

Dimension letters: h w latent grid, K codes.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from rich.text import Text

from vtok.quantities import counted
from vtok.report.half_blocks import half_blocks
from vtok.report.lettering import fitted, font, text_width
from vtok.report.palette import BACKGROUND, INK, QUIET, index_colours
from vtok.report.printable import printable
from vtok.shards.usage import CodebookUse

IndexArray = npt.NDArray[np.integer[Any]]

VIEW_PX = 480
PAGE_PX = 1600
MARGIN_PX = 48
GAP_PX = 32
TITLE_PX = 40
TEXT_PX = 24
HISTOGRAM_PX = 140
_BLANK = -1


def as_rows(indices: IndexArray) -> npt.NDArray[np.int64]:
    """Return indices as (h, w): as they are, or a sequence broken into rows of about a square.

    More than two dimensions lie below each other. Cells that hold no token are -1.
    """
    if indices.ndim >= 2:
        return indices.reshape(-1, indices.shape[-1]).astype(np.int64)
    width = max(1, math.isqrt(max(1, indices.size) * 2 - 1))
    rows = np.full(-(-max(1, indices.size) // width) * width, _BLANK, np.int64)
    rows[: indices.size] = indices.reshape(-1)
    return rows.reshape(-1, width)


def token_map(indices: IndexArray, *, cell_px: int = 1) -> Image.Image:
    """Return a picture of one array: a square of `cell_px` for every token.

    Args:
        indices: (h, w), or another shape that `as_rows` brings to rows.
        cell_px: Side of a token's square.
    """
    rows = as_rows(indices)
    pixels = index_colours(rows)
    pixels[rows == _BLANK] = BACKGROUND
    return Image.fromarray(np.repeat(np.repeat(pixels, cell_px, axis=0), cell_px, axis=1))


def token_map_blocks(indices: IndexArray, *, width: int) -> list[Text]:
    """Return the map in half blocks, two tokens a character; every n-th where it is too wide."""
    rows = as_rows(indices)
    step = -(-rows.shape[1] // max(1, width))
    return half_blocks(token_map(rows[::step, ::step]))


def token_map_numbers(indices: IndexArray, *, width: int, max_lines: int = 16) -> list[str]:
    """Return the first rows and columns of an array as numbers, for terminals without colour."""
    rows = as_rows(indices)
    digits = len(str(int(rows.max())))
    columns = max(1, (width - 4) // (digits + 1))
    cut = " ..." if rows.shape[1] > columns else ""
    lines = [
        " ".join("" if cell == _BLANK else str(cell).rjust(digits) for cell in row[:columns]) + cut
        for row in rows[:max_lines].tolist()
    ]
    return [*lines, "..."] if len(rows) > max_lines else lines


def token_map_picture(
    views: Mapping[str, IndexArray], codebook_size: int, *, title: str = ""
) -> Image.Image:
    """Return a large picture of a sample: the map of every view, and how the codes are used.

    Args:
        views: View → indices in [0, codebook_size).
        codebook_size: Number of codes (K).
        title: The sample's name.
    """
    panels = [_panel(name, indices) for name, indices in views.items()]
    places, height = _flow(panels)
    everything = np.concatenate([indices.reshape(-1) for indices in views.values()])
    codes, counts = np.unique(everything, return_counts=True)
    width = max(900, *(x + panel.width for (x, _), panel in zip(places, panels, strict=True)))
    top = MARGIN_PX + TITLE_PX + TEXT_PX + 44
    page = Image.new(
        "RGB",
        (width + 2 * MARGIN_PX, top + height + HISTOGRAM_PX + 3 * TEXT_PX + MARGIN_PX),
        BACKGROUND,
    )
    draw = ImageDraw.Draw(page)
    name = fitted(printable(title) or "tokens", width, TITLE_PX)
    draw.text((MARGIN_PX, MARGIN_PX), name, INK, font(TITLE_PX))
    use = CodebookUse.of(counts.tolist())
    facts = (
        f"{counted(len(views), 'view')} · {counted(use.num_indices, 'token')} · "
        f"{use.num_distinct:,} of {counted(codebook_size, 'code')} · {use.entropy_bits:.2f} bits · "
        f"perplexity {use.perplexity:,.0f}"
    )
    draw.text((MARGIN_PX, MARGIN_PX + TITLE_PX + 16), facts, QUIET, font(TEXT_PX))
    for (x, y), panel in zip(places, panels, strict=True):
        page.paste(panel, (MARGIN_PX + x, top + y))
    _draw_histogram(page, codes, counts, top + height + 8, width)
    return page


def _panel(name: str, indices: IndexArray) -> Image.Image:
    """Return a view's map at a readable size, its name and shape below."""
    rows = as_rows(indices)
    cell_px = max(1, min(40, VIEW_PX // max(rows.shape)))
    drawn = token_map(rows, cell_px=cell_px)
    words = f"{printable(name)}  {'x'.join(map(str, indices.shape))}"
    width = max(drawn.width, text_width(words, TEXT_PX))
    panel = Image.new("RGB", (width, drawn.height + TEXT_PX + 16), BACKGROUND)
    panel.paste(drawn, (0, 0))
    ImageDraw.Draw(panel).text((0, drawn.height + 8), words, QUIET, font(TEXT_PX))
    return panel


def _flow(panels: list[Image.Image]) -> tuple[list[tuple[int, int]], int]:
    """Return where panels go, in lines like words, and the height of all lines."""
    places: list[tuple[int, int]] = []
    x = y = line_px = 0
    for panel in panels:
        if x and x + panel.width > PAGE_PX:
            x, y, line_px = 0, y + line_px + GAP_PX, 0
        places.append((x, y))
        x += panel.width + GAP_PX
        line_px = max(line_px, panel.height)
    return places, y + line_px + GAP_PX


def _draw_histogram(
    page: Image.Image, codes: IndexArray, counts: npt.NDArray[np.int64], top: int, width: int
) -> None:
    """Draw the codes that occurred, from most to least used, each in its own colour."""
    order = np.argsort(-counts, kind="stable")[:width]
    draw = ImageDraw.Draw(page)
    bar_px = width / len(order)
    colours = index_colours(codes[order]).tolist()
    shares = (counts[order] / counts[order[0]]).tolist()
    for place, (colour, share) in enumerate(zip(colours, shares, strict=True)):
        bar = max(2, round(HISTOGRAM_PX * share))
        left = MARGIN_PX + round(place * bar_px)
        right = max(left, MARGIN_PX + round((place + 1) * bar_px) - 1)
        box = (left, top + HISTOGRAM_PX - bar, right, top + HISTOGRAM_PX)
        draw.rectangle(box, tuple(colour))
    words = "codes that occur, from most to least used"
    draw.text((MARGIN_PX, top + HISTOGRAM_PX + 12), words, QUIET, font(TEXT_PX))
