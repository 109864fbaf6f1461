"""The table of models: readable on a narrow terminal, and naming every model whole."""

import pytest
from rich.cells import cell_len

from vtok.models.catalogue import catalogue
from vtok.models.vision.published import ENCODERS
from vtok.report.model_list import encoder_list, model_list

ROWS = catalogue()


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_no_name_is_cut(width: int) -> None:
    lines = model_list(ROWS, width=width).plain.splitlines()
    assert max(map(cell_len, lines)) <= width
    assert [line.split()[0] for line in lines[2 : 2 + len(ROWS)]] == [row.name for row in ROWS]


@pytest.mark.parametrize("width", [80, None])
def test_vision_models_follow_on_one_line_each(width: int | None) -> None:
    lines = encoder_list(ENCODERS, width=width).plain.splitlines()
    assert lines[0] == ""
    assert [line.split()[0] for line in lines[3 : 3 + len(ENCODERS)]] == list(ENCODERS)
    assert max(map(cell_len, lines)) <= (width or 200)
    assert (ENCODERS["mistral-3.1-24b"].hub_id in "\n".join(lines)) == (width is None)


def test_where_models_come_from_is_told_where_there_is_room() -> None:
    narrow, wide = (model_list(ROWS, width=width).plain for width in (80, None))
    assert "from" not in narrow.splitlines()[0]
    for row in ROWS:
        assert not row.hub_id or row.hub_id in wide
