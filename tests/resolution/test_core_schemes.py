"""The four schemes of no one model: closest, squash, navit, native."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vtok.errors import UnknownNameError, UsageError
from vtok.records import Grid, Size
from vtok.resolution import Plan, SchemeOptions, render, resolve, scheme_names, stitch

sides = st.integers(1, 6000)
small_sides = st.integers(1, 90)


def photograph(size: Size) -> Image.Image:
    rng = np.random.default_rng(size.num_pixels)
    return Image.fromarray(rng.integers(0, 256, (size.height, size.width, 3), np.uint8))


def test_closest_cuts_the_photograph_of_the_chapter() -> None:
    plan = resolve("closest").plan(Size(height=672, width=1008))
    assert plan.grid == Grid(rows=2, cols=3)
    assert [view.name for view in plan.views] == [
        *(f"tile-{index:03d}" for index in range(6)),
        "thumbnail",
    ]
    assert plan.num_tokens == 7 * 576
    assert plan.views[5].box == (672, 336, 1008, 672)


def test_closest_keeps_its_thumbnail_beside_a_single_tile() -> None:
    plan = resolve("closest").plan(Size(height=336, width=336))
    assert [view.name for view in plan.views] == ["tile-000", "thumbnail"]
    without = resolve("closest", SchemeOptions(thumbnail=False))
    assert without.plan(Size(height=336, width=336)).num_tokens == 576


def loop_of_the_chapter(height: int, width: int, max_tiles: int) -> tuple[int, int]:
    best, nearest = (1, 1), float("inf")
    for rows in range(1, max_tiles + 1):
        for cols in range(1, max_tiles + 1):
            if rows * cols > max_tiles:
                continue
            if abs(cols / rows - width / height) < nearest:
                best, nearest = (rows, cols), abs(cols / rows - width / height)
    return best


@given(sides, sides, st.integers(1, 24))
def test_closest_equals_the_double_loop(height: int, width: int, max_tiles: int) -> None:
    plan = resolve("closest", SchemeOptions(max_tiles=max_tiles)).plan(
        Size(height=height, width=width)
    )
    assert plan.grid is not None
    assert (plan.grid.rows, plan.grid.cols) == loop_of_the_chapter(height, width, max_tiles)
    assert (plan.views[0].box.bottom, plan.views[0].box.right) == (
        height // plan.grid.rows,
        width // plan.grid.cols,
    )


@given(sides, sides, st.integers(1, 2000))
def test_navit_stays_within_its_budget(height: int, width: int, max_tokens: int) -> None:
    plan = resolve("navit", SchemeOptions(max_tokens=max_tokens)).plan(
        Size(height=height, width=width)
    )
    (view,) = plan.views
    assert 1 <= plan.num_tokens <= max_tokens
    assert view.size.height % 14 == view.size.width % 14 == 0
    rows, cols = height // 14, width // 14
    if rows and cols and rows * cols <= max_tokens:
        assert view.token_grid == Grid(rows=rows, cols=cols)


@given(small_sides, small_sides, st.integers(1, 33), st.sampled_from(["pad", "centre", "crop"]))
def test_native_keeps_every_pixel_it_shows(height: int, width: int, cell: int, align: str) -> None:
    size = Size(height=height, width=width)
    scheme = resolve("native", SchemeOptions(alignment_px=cell, align=align))  # type: ignore[arg-type]
    image = photograph(size)
    plan = scheme.plan(size)
    (pixels,) = render(plan, image)
    assert pixels.shape[0] % cell == pixels.shape[1] % cell == 0
    region = plan.original_region(plan.views[0])
    shown = np.asarray(image)[
        int(max(region.top, 0)) : int(region.bottom), int(max(region.left, 0)) : int(region.right)
    ]
    assert np.array_equal(stitch(plan, [pixels]), shown)
    if align == "centre":  # what the script of Cosmos-Tokenizer asks of numpy
        spare = [(-side % cell) for side in (height, width)]
        around = [(each >> 1, each - (each >> 1)) for each in spare]
        assert np.array_equal(pixels, np.pad(np.asarray(image), [*around, (0, 0)]))
    if align != "crop":
        assert shown.shape == (height, width, 3)
    if align == "pad":
        assert np.array_equal(pixels[-1, :width], np.asarray(image)[-1])
        assert np.array_equal(pixels[:height, -1], np.asarray(image)[:, -1])


def test_native_reduces_only_what_is_over_its_pixels() -> None:
    scheme = resolve("native", SchemeOptions(alignment_px=16, max_pixels=256 * 256))
    assert scheme.plan(Size(height=256, width=256)).canvases[0].resizes == ()
    plan = scheme.plan(Size(height=1000, width=2000))
    assert plan.canvases[0].content.size.num_pixels <= 256 * 256
    assert plan.views[0].size == Size(height=192, width=368)


@pytest.mark.parametrize("name", ["closest", "squash", "navit", "native"])
def test_plans_survive_json(name: str) -> None:
    plan = resolve(name).plan(Size(height=31, width=700))
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@pytest.mark.parametrize("name", ["closest", "squash", "centre-crop"])
def test_a_tile_that_patches_leave_over_of_has_its_whole_patches(name: str) -> None:
    """SigLIP's towers of 384 px have patches of 14."""
    plan = resolve(name, SchemeOptions(tile_size_px=384)).plan(Size(height=400, width=700))
    assert {view.token_grid for view in plan.views} == {Grid(rows=27, cols=27)}


def test_names_and_options_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="did you mean closest"):
        resolve("closset")
    with pytest.raises(
        UsageError, match="has no option max_tiles; it has patch_px, resample, tile_size_px"
    ):
        resolve("squash", SchemeOptions(max_tiles=3))
    with pytest.raises(UsageError, match="patch_px 14 is larger than tile_size_px 10"):
        resolve("closest", SchemeOptions(tile_size_px=10))
    with pytest.raises(UsageError, match="max_tiles must be a whole number"):
        SchemeOptions(max_tiles=0)
    for impossible in (
        {"tile_size_px": 1_000_000},
        {"max_tiles": 20_000},
        {"overlap_px": -1},
        {"min_tiles": 4, "max_tiles": 3},
        {"min_pixels": 10, "max_pixels": 9},
        {"patch_px": True},
        {"align": "stretch"},
    ):
        with pytest.raises(UsageError) as caught:
            SchemeOptions(**impossible)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="min_tiles 13 is above max_tiles 12"):
        resolve("internvl", SchemeOptions(min_tiles=13))
    assert "closest" in scheme_names()
