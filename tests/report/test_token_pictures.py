import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vtok.report import (
    Pair,
    contact_sheet,
    rank_bars,
    token_map,
    token_map_numbers,
    token_map_picture,
)
from vtok.report.palette import index_colours
from vtok.report.token_map import as_rows


def test_equal_indices_have_equal_colours_and_others_differ() -> None:
    colours = index_colours(np.arange(8192))
    assert len({tuple(colour) for colour in colours.tolist()}) > 8000
    assert (index_colours(np.array([[5, 8191]]))[0] == colours[[5, 8191]]).all()
    apart = np.abs(np.diff(colours.astype(int), axis=0)).sum(axis=1)
    assert apart.min() > 20


def test_largest_index_has_a_colour() -> None:
    assert index_colours(np.array([2**32 - 1], np.uint32)).shape == (1, 3)


@given(st.integers(1, 400))
def test_sequences_are_broken_into_rows_without_loss(length: int) -> None:
    rows = as_rows(np.arange(length, dtype=np.uint16))
    assert rows.reshape(-1)[:length].tolist() == list(range(length))
    assert (rows.reshape(-1)[length:] == -1).all()
    assert rows.size - length < rows.shape[1]


def test_a_cell_is_a_square_of_its_colour() -> None:
    indices = np.array([[1, 2, 3], [4, 5, 6]], np.uint16)
    picture = token_map(indices, cell_px=5)
    assert picture.size == (15, 10)
    assert picture.getpixel((14, 9)) == tuple(index_colours(indices)[1, 2].tolist())


def test_numbers_stand_for_colours() -> None:
    lines = token_map_numbers(np.arange(4000).reshape(40, 100), width=40)
    assert lines[0].startswith("   0    1    2")
    assert lines[0].endswith("...")
    assert lines[-1] == "..."
    assert all(len(line) <= 40 for line in lines)


def test_token_map_page_has_every_view() -> None:
    views = {"tile-000": np.full((21, 21), 9), "whole": np.arange(300)}
    page = token_map_picture(views, 8192, title="sample")
    colours = {colour for _, colour in page.getcolors(1 << 24) or ()}
    assert tuple(index_colours(np.array([9]))[0].tolist()) in colours
    assert tuple(index_colours(np.array([299]))[0].tolist()) in colours


def test_bars_fall_from_left_to_right() -> None:
    assert rank_bars([8, 0, 4, 1], 4) == "█▅▂ "
    assert rank_bars([3, 3, 3], 10) == "███"
    assert rank_bars([0, 0], 10) == "  "
    assert rank_bars([1] * 100 + [0] * 100, 10, ascii_only=True) == "@@@@@     "


def test_pairs_stand_side_by_side_at_one_scale() -> None:
    original = Image.new("RGB", (400, 300), (250, 0, 0))
    other = Image.new("RGB", (100, 75), (0, 0, 250))
    sheet = contact_sheet([Pair(original, other, "a.jpg 25.5 dB")] * 3, title="vtok-base")
    area = {colour: count for count, colour in sheet.getcolors(1 << 24) or ()}
    assert area[250, 0, 0] == area[0, 0, 250] == 3 * 360 * 270


def test_a_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])
