"""A plan for a model that hands on other numbers of tokens than the scheme's own."""

import pytest

from vtok.records import Grid, Size
from vtok.resolution import Plan, SchemeOptions, resolve

SIZE = Size(height=400, width=640)


def plan_of(scheme: str) -> Plan:
    return resolve(scheme, SchemeOptions()).plan(SIZE)


@pytest.mark.parametrize("scheme", ["squash", "closest", "internvl", "native", "gemma3"])
def test_the_sequence_has_the_tokens_that_are_handed_on(scheme: str) -> None:
    plan = plan_of(scheme)
    counts = {view.name: 6 + number for number, view in enumerate(plan.views)}
    grids = {view.name: Grid(rows=2, cols=3) for view in plan.views}
    other = plan.handing_on(counts, grids)
    assert other.num_image_tokens == sum(counts.values())
    assert other.num_tokens - other.num_image_tokens == plan.num_tokens - plan.num_image_tokens
    assert [view.num_tokens for view in other.views] == list(counts.values())
    assert other.views[0].token_grid == Grid(rows=2, cols=3)  # 6 tokens
    assert all(view.token_grid is None for view in other.views[1:])  # 7 and more
    assert [view.box for view in other.views] == [view.box for view in plan.views]
    assert Plan.from_json(other.to_json()) == other


@pytest.mark.parametrize("scheme", ["squash", "llava-next", "internvl"])
def test_its_own_numbers_change_nothing(scheme: str) -> None:
    plan = plan_of(scheme)
    counts = {view.name: view.num_tokens for view in plan.views}
    assert plan.handing_on(counts, {}) is plan


@pytest.mark.parametrize("scheme", ["llava-next", "pixtral", "llama-3.2-vision"])
def test_a_sequence_that_weaves_views_is_left(scheme: str) -> None:
    plan = plan_of(scheme)
    assert plan.handing_on({view.name: 1 for view in plan.views}, {}) is plan
