"""Pictures and tables for people: the cut of an image, token maps, codebook use, contact sheets.

Facts in, `rich` text or `PIL` images out. Nothing here reads a file, loads a model, or knows of
commands: what is shown has been worked out before.
"""

from vtok.report.codebook_use import rank_bars
from vtok.report.contact_sheet import Pair, contact_sheet
from vtok.report.cut_blocks import cut_blocks
from vtok.report.cut_outline import cut_outline
from vtok.report.cut_picture import cut_picture
from vtok.report.terminal import PictureStyle, picture_style, plain_width, terminal
from vtok.report.token_map import (
    token_map,
    token_map_blocks,
    token_map_numbers,
    token_map_picture,
)

__all__ = [
    "Pair",
    "PictureStyle",
    "contact_sheet",
    "cut_blocks",
    "cut_outline",
    "cut_picture",
    "picture_style",
    "plain_width",
    "rank_bars",
    "terminal",
    "token_map",
    "token_map_blocks",
    "token_map_numbers",
    "token_map_picture",
]
