"""The library behind the commands: its names, its types, its promises."""

from dataclasses import fields
from typing import get_type_hints

import pytest

import vtok
from vtok.errors import UnknownNameError, UsageError
from vtok.pipelines.planning import PlanOptions
from vtok.records import Grid
from vtok.resolution import SchemeOptions


def test_the_chapters_photograph() -> None:
    plan = vtok.plan(width=1008, height=672, scheme="closest")
    assert (plan.grid, plan.num_views, plan.num_tokens) == (Grid(rows=2, cols=3), 7, 4032)


def test_options_are_keywords() -> None:
    plan = vtok.plan(width=100, height=100, tile_size_px=28, thumbnail=False, max_tiles=1)
    assert [view.size.width for view in plan.views] == [28]


def test_keywords_are_the_options_of_schemes() -> None:
    hints = get_type_hints(SchemeOptions)
    expected = {each.name: hints[each.name] for each in fields(SchemeOptions)}
    given = {name: hint | None for name, hint in get_type_hints(PlanOptions).items()}
    assert given == expected


def test_mistakes() -> None:
    with pytest.raises(UnknownNameError, match="closest"):
        vtok.plan(width=1, height=1, scheme="closset")
    with pytest.raises(UsageError):
        vtok.plan(width=1, height=1, scheme="native", max_tiles=3)
    with pytest.raises(AttributeError, match="nonsense"):
        vtok.nonsense  # noqa: B018


def test_every_name_is_there_and_listed() -> None:
    for name in vtok.__all__:
        assert getattr(vtok, name) is not None
        assert name in dir(vtok)
