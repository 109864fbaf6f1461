"""Views come back together as the picture they were cut from, where the plan kept its pixels."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vtok.errors import ShardError
from vtok.pipelines.decoding.restore import can_stitch, plan_of, restore, shown_region
from vtok.records import Size
from vtok.resolution import SchemeOptions, render, resolve

SIDES = st.integers(1, 60)


def picture(height: int, width: int) -> Any:
    return np.random.default_rng(height * 100 + width).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )


@given(SIDES, SIDES, st.sampled_from([8, 16]))
@settings(max_examples=40, deadline=None)
def test_native_comes_back_whole(height: int, width: int, alignment: int) -> None:
    plan = resolve("native", SchemeOptions(alignment_px=alignment)).plan(
        Size(height=height, width=width)
    )
    pixels = picture(height, width)
    views = render(plan, Image.fromarray(pixels))
    assert views[0].shape[0] % alignment == 0
    np.testing.assert_array_equal(restore(plan, views, key="k"), pixels)


@given(st.integers(16, 60), st.integers(16, 60))
@settings(max_examples=40, deadline=None)
def test_cropped_comes_back_as_the_region_it_shows(height: int, width: int) -> None:
    plan = resolve("native", SchemeOptions(align="crop", alignment_px=16)).plan(
        Size(height=height, width=width)
    )
    pixels = picture(height, width)
    region = shown_region(plan, "k")
    expected = pixels[region.top : region.bottom, region.left : region.right]
    np.testing.assert_array_equal(
        restore(plan, render(plan, Image.fromarray(pixels)), key="k"), expected
    )


@pytest.mark.parametrize("scheme", ["squash", "navit", "closest"])
def test_resized_comes_back_at_its_own_scale(scheme: str) -> None:
    plan = resolve(scheme).plan(Size(height=300, width=450))
    views = render(plan, Image.fromarray(picture(300, 450)))
    restored = restore(plan, views, key="k")
    region = shown_region(plan, "k")
    assert restored.shape == (region.bottom - region.top, region.right - region.left, 3)
    assert abs(restored.shape[0] - 300) < 14
    assert abs(restored.shape[1] - 450) < 14


@pytest.mark.parametrize(
    "change",
    [
        {"canvases": []},
        {"canvases": 3},
        {"views": []},
        {"size": {"height": 0, "width": 4}},
        {"size": {"height": 10**9, "width": 10**9}},
        {"views": [{"name": "whole"}]},
        {"sequence": None},
    ],
)
def test_a_hostile_plan_is_refused(change: dict[str, Any]) -> None:
    meta = resolve("native").plan(Size(height=20, width=30)).to_json()
    assert plan_of(meta, "k") is not None
    with pytest.raises(ShardError, match="'k'"):
        plan_of({**meta, **change}, "k")


@pytest.mark.parametrize("box", [[0, 0, 30, 10**9], [0, 0, 10**9, 20], [0, 0, "30", 20], [0]])
def test_a_plan_with_an_impossible_box_is_refused(box: list[Any]) -> None:
    meta = resolve("native").plan(Size(height=20, width=30)).to_json()
    meta["views"][0]["box"] = box
    with pytest.raises(ShardError):
        plan_of(meta, "k")


def test_views_of_other_sizes_are_refused() -> None:
    plan = resolve("native").plan(Size(height=20, width=30))
    assert can_stitch(plan)
    with pytest.raises(ShardError, match="'k'"):
        restore(plan, [np.zeros((8, 8, 3), np.uint8)], key="k")
