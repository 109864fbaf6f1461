"""What holds for every scheme and every size: partition, inverse, round trip, sums."""

import json
import pickle
from collections import Counter
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from vtok.errors import DegenerateSizeError, UnknownNameError, UsageError
from vtok.records import Grid, Size
from vtok.resolution import (
    Plan,
    Scheme,
    SchemeOptions,
    find_row,
    render,
    resolve,
    scheme_names,
    stitch,
)
from vtok.resolution.schemes import ROWS

SCHEMES = {name: resolve(name) for name in scheme_names()}
sizes = st.builds(Size, height=st.integers(1, 12_000), width=st.integers(1, 12_000)) | st.builds(
    Size, height=st.integers(1, 50), width=st.integers(1, 50)
)


def plan_or_none(scheme: Scheme, size: Size) -> Plan | None:
    with suppress(DegenerateSizeError):
        return scheme.plan(size)
    return None


def plan_of(name: str, size: Size) -> Plan | None:
    return plan_or_none(SCHEMES[name], size)


def noise(size: Size) -> Image.Image:
    generator = np.random.default_rng(size.height * 10_007 + size.width)
    return Image.fromarray(generator.integers(0, 256, (size.height, size.width, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", scheme_names())
@given(size=sizes)
@settings(max_examples=25, deadline=None)
def test_plans_are_consistent(name: str, size: Size) -> None:
    plan = plan_of(name, size)
    if plan is None:
        return
    assert plan.size == size
    assert plan.scheme == name
    runs = list(plan.runs)
    counts = Counter[str]()
    for run in runs:
        counts[run.kind] += run.num_tokens
        assert run.num_tokens >= 0
    assert plan.num_image_tokens == counts["image"]
    assert plan.num_separator_tokens == counts["separator"]
    assert plan.num_text_tokens == counts["text"]
    assert plan.num_cross_attention_tokens == counts["cross-attention"]
    assert plan.num_tokens == sum(counts.values()) - counts["cross-attention"]
    assert plan.num_tokens > 0

    names = [view.name for view in plan.views]
    assert len(set(names)) == len(names)
    tiles = [view for view in plan.views if view.role == "tile"]
    assert [view.name for view in tiles] == [f"tile-{index:03d}" for index in range(len(tiles))]
    if tiles and len(tiles) < 1000:
        assert plan.grid is not None
        assert len(tiles) == plan.grid.num_cells
    if SCHEMES[name].single_view:
        assert names == ["whole"]
    for view in plan.views:
        canvas = plan.canvases[view.canvas]
        assert 0 <= view.box.left <= view.box.right <= canvas.size.width
        assert 0 <= view.box.top <= view.box.bottom <= canvas.size.height
    for canvas in plan.canvases:
        shown = canvas.resizes[-1] if canvas.resizes else size
        if not canvas.content.is_empty:
            assert canvas.content.size == shown
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@pytest.mark.parametrize("name", scheme_names())
@given(size=sizes)
@settings(max_examples=25, deadline=None)
def test_tiles_cover_what_they_cut_without_gaps(name: str, size: Size) -> None:
    plan = plan_of(name, size)
    if plan is None or plan.grid is None:
        return
    boxes = [view.box for view in plan.views if view.role == "tile"]
    tops, lefts = sorted({box.top for box in boxes}), sorted({box.left for box in boxes})
    assert (tops[0], lefts[0]) == (0, 0)
    overlapping = name.startswith("molmo")
    for box in boxes:
        right = [left for left in lefts if left > box.left]
        below = [top for top in tops if top > box.top]
        if right and not box.is_empty:
            assert box.right >= right[0] if overlapping else box.right == right[0]
        if below and not box.is_empty:
            assert box.bottom >= below[0] if overlapping else box.bottom == below[0]
    end = (max(box.bottom for box in boxes), max(box.right for box in boxes))
    if name == "closest":
        # Floor division leaves less than one pixel a row and a column of tiles.
        assert 0 <= size.height - end[0] < plan.grid.rows
        assert 0 <= size.width - end[1] < plan.grid.cols
    else:
        canvas = plan.canvases[next(v.canvas for v in plan.views if v.role == "tile")]
        assert end == (canvas.size.height, canvas.size.width)


@given(
    rows=st.integers(1, 4),
    cols=st.integers(1, 4),
    tile=st.integers(1, 20),
    overlap=st.integers(0, 19),
)
@settings(deadline=None, max_examples=60)
def test_stitching_gives_back_an_image_that_was_cut_and_not_resized(
    rows: int, cols: int, tile: int, overlap: int
) -> None:
    step = tile - min(overlap, tile - 1)
    shared = tile - step
    size = Size(height=rows * step + shared, width=cols * step + shared)
    options = SchemeOptions(tile_size_px=tile, patch_px=1, max_tiles=16, overlap_px=shared)
    image = noise(size)
    plan = plan_or_none(resolve("closest", options), size)
    assume(plan is not None)
    assert plan is not None
    # The ratio of the image may choose another grid than the one that it was built from.
    assume(all(view.box.size == view.size for view in plan.views if view.role == "tile"))
    assume(plan.views[-2].box[2:] == (size.width, size.height))
    assert np.array_equal(stitch(plan, render(plan, image)), np.asarray(image))


@given(
    size=st.builds(Size, height=st.integers(1, 120), width=st.integers(1, 120)),
    overlap=st.integers(0, 27),
    name=st.sampled_from(["internvl", "aya-vision", "cohere2-vision", "ovis2", "llama-4"]),
)
@settings(deadline=None, max_examples=60)
def test_stitching_gives_back_the_canvas(size: Size, overlap: int, name: str) -> None:
    has_overlap = "overlap_px" in find_row(name).option_names
    options = SchemeOptions(
        tile_size_px=28 if name != "cohere2-vision" else 32,
        overlap_px=overlap if has_overlap else None,
    )
    plan = resolve(name, options).plan(size)
    image = noise(size)
    views = render(plan, image)
    for view, pixels in zip(plan.views, views, strict=True):
        assert pixels.shape == (view.size.height, view.size.width, 3)
        assert pixels.dtype == np.uint8
        assert pixels.flags.writeable
    tile = next(view for view in plan.views if view.role == "tile")
    canvas = plan.canvases[tile.canvas]
    filters = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    resized = canvas.resizes[-1]
    if resized != size:
        image = image.resize((resized.width, resized.height), filters[canvas.resample])
    assert np.array_equal(stitch(plan, views), np.asarray(image))


def test_overlapping_tiles_share_as_many_pixels_as_asked() -> None:
    plan = resolve("internvl", SchemeOptions(overlap_px=64)).plan(Size(height=672, width=1008))
    assert plan.canvases[0].size == Size(height=2 * 448 - 64, width=3 * 448 - 2 * 64)
    first, second = plan.views[0].box, plan.views[1].box
    assert first.right - second.left == 64
    plan = resolve("closest", SchemeOptions(overlap_px=100)).plan(Size(height=700, width=1000))
    first, second, below = plan.views[0].box, plan.views[1].box, plan.views[3].box
    assert first.right - second.left == 100
    assert first.bottom - below.top == 100
    with pytest.raises(UsageError, match="must be less than"):
        resolve("internvl", SchemeOptions(overlap_px=448))
    with pytest.raises(DegenerateSizeError, match="overlap"):
        resolve("closest", SchemeOptions(overlap_px=90)).plan(Size(height=60, width=90))


@pytest.mark.parametrize("name", scheme_names())
def test_schemes_travel_to_worker_processes(name: str) -> None:
    scheme = SCHEMES[name]
    copy = pickle.loads(pickle.dumps(scheme))
    size = Size(height=1327, width=1999)
    assert copy == scheme
    assert copy.plan(size) == scheme.plan(size)


@pytest.mark.parametrize("name", scheme_names())
def test_views_are_rendered_in_the_size_that_the_plan_says(name: str) -> None:
    size = Size(height=97, width=160)
    plan = SCHEMES[name].plan(size)
    for view, pixels in zip(plan.views, render(plan, noise(size)), strict=True):
        assert pixels.shape == (view.size.height, view.size.width, 3)


def test_every_name_and_alias_leads_to_its_row() -> None:
    for row in ROWS:
        for name in (row.name, *row.aliases):
            assert resolve(name).name == row.name
            assert resolve(name.upper().replace("-", "_")).name == row.name
    with pytest.raises(UnknownNameError, match="internvl"):
        resolve("internvll")


TYPED = {
    "qwen2.5-vl": "qwen2_5_vl Qwen2.5-VL-7B Qwen/Qwen2.5-VL-72B-Instruct-AWQ qwen2.5vl:7b qwen2-vl",
    "qwen3-vl": "qwen3_vl Qwen3-VL-235B-A22B-Instruct qwen3-vl-8b",
    "llava-next": "llava_next llava-1.6 LLaVA-v1.6 llava-hf/llava-v1.6-mistral-7b-hf anyres",
    "llava-onevision": "llava_onevision llava-ov",
    "internvl": "internvl2_5 InternVL2.5 OpenGVLab/InternVL3-8B internvl3.5 InternVL2_5-8B",
    "smolvlm": "SmolVLM-Instruct SmolVLM2-2.2B-Instruct",
    "smolvlm2": "SmolVLM-256M-Instruct smolvlm2-500m",
    "idefics3": "Idefics3 idefics_3",
    "minicpm-v": "minicpmv MiniCPM-V-2_6 MiniCPM-V-4_5 minicpm-o-2.6",
    "llama-3.2-vision": "llama3.2-vision meta-llama/Llama-3.2-11B-Vision-Instruct mllama",
    "llama-4": "llama4 Llama-4-Scout-17B-16E-Instruct",
    "phi-3.5-vision": "phi3.5 phi3_v Phi-3.5-vision-instruct",
    "phi-4-multimodal": "phi4 phi-4-multimodal-instruct phi4_multimodal",
    "deepseek-vl2": "deepseek_vl2 deepseek-vl2-tiny",
    "pixtral": "Pixtral-12B pixtral_12b",
    "mistral-small": "mistral-small-3.1 mistral-small-3.2",
    "gemma3": "gemma-3 google/gemma-3-4b-it",
    "siglip2": "siglip_2 siglip2-so400m-patch16-naflex",
    "kimi-vl": "kimi_vl moonshotai/Kimi-VL-A3B-Instruct",
    "kimi-k2.5": "kimi",
    "molmo": "Molmo-7B-D molmo-7b",
    "fuyu": "fuyu-8b",
    "ovis2": "Ovis2-8B ovis",
    "cohere2-vision": "command-a-vision cohere",
    "aya-vision": "aya aya-vision-8b",
    "got-ocr2": "GOT-OCR2.0 got_ocr",
    "gpt-4o": "gpt4o GPT-4o gpt_4o gpt-4-vision-preview openai",
    "claude": "anthropic claude-sonnet-4-5",
    "claude-legacy": "claude-3-5-sonnet-20241022 claude-3.7",
    "gemini": "gemini-2.5-pro gemini-2.0-flash",
}


@pytest.mark.parametrize("name", sorted(TYPED))
def test_what_people_type_is_known(name: str) -> None:
    assert {typed: find_row(typed).name for typed in TYPED[name].split()} == dict.fromkeys(
        TYPED[name].split(), name
    )


@pytest.mark.parametrize(
    "name", ["deepseek-ocr", "gemini-3", "gemma3n", "gpt-4o-audio", "pixtral-large", "7b", "", "/"]
)
def test_other_models_are_not_taken_for_their_relatives(name: str) -> None:
    with pytest.raises(UnknownNameError):
        find_row(name)


def test_estimates_are_marked_and_say_their_source() -> None:
    estimates = {row.name for row in ROWS if not row.exact}
    assert {"gpt-4o", "gpt-4.1-mini", "claude", "claude-legacy", "gemini"} <= estimates
    for name in estimates:
        plan = SCHEMES[name].plan(Size(height=672, width=1008))
        assert not plan.exact
        assert "estimate after" in plan.note
        assert "202" in plan.note


def test_defaults_can_be_given_explicitly() -> None:
    size = Size(height=1009, width=2003)
    for row in ROWS:
        assert row.scheme(row.defaults).plan(size) == SCHEMES[row.name].plan(size)


def test_sizes_that_the_reference_cannot_cut_are_one_typed_error() -> None:
    for name, size in {
        "qwen2.5-vl": Size(height=201, width=1),
        "pixtral": Size(height=5000, width=1),
        "kimi-vl": Size(height=7141, width=1),
        "phi-4": Size(height=199, width=1),
        "idefics2-split": Size(height=1, width=2),
        "deepseek-ocr2": Size(height=5000, width=1),
        "fuyu": Size(height=5000, width=1),
    }.items():
        with pytest.raises(DegenerateSizeError) as caught:
            resolve(name).plan(size)
        assert "\n" not in str(caught.value)
        assert caught.value.reason == "degenerate-size"


def test_blank_views_of_the_reference_are_blank_here() -> None:
    size = Size(height=199, width=1)
    plan = resolve("idefics2-split").plan(size)
    views = render(plan, noise(size))
    assert [view.box.is_empty for view in plan.views] == [True, False, True, False, False]
    assert not views[0].any()
    assert views[1].any()
    plan = resolve("deepseek-vl2").plan(Size(height=5000, width=1))
    assert all((view == 127).all() for view in render(plan, noise(plan.size)))
    assert plan.original_region(plan.views[0]) == (0, 0, 0, 0)


def test_regions_lie_in_the_original() -> None:
    plan = resolve("llava-next").plan(Size(height=1000, width=4000))
    assert plan.grid == Grid(rows=1, cols=3)
    regions = [plan.original_region(view) for view in plan.views]
    assert regions[0] == (0, 0, 4000, 1000)
    assert regions[1].left == 0
    assert regions[-1].right == pytest.approx(4000)
    assert regions[1].top < 0 < 1000 < regions[1].bottom  # padding above and below
    assert regions[1].right == pytest.approx(regions[2].left)


def test_rendering_refuses_another_image() -> None:
    plan = resolve("squash").plan(Size(height=20, width=30))
    with pytest.raises(UsageError, match="30x20"):
        render(plan, Image.new("RGB", (20, 30)))
    with pytest.raises(UsageError, match="RGB"):
        render(plan, Image.new("L", (30, 20)))
    with pytest.raises(UsageError, match="1 view, "):
        stitch(plan, [])


@pytest.mark.parametrize(
    "size",
    [
        Size(height=1, width=2**31 - 1),
        Size(height=2**31 - 1, width=1),
        Size(height=2**32 - 1, width=2**32 - 1),
        Size(height=3, width=89_000_000 // 3),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", scheme_names())
def test_what_a_header_may_claim_is_planned_at_once(name: str, size: Size) -> None:
    """In 65 bytes: no plan may take as long, or as much memory, as it says pixels."""
    plan = plan_or_none(SCHEMES[name], size)
    assert plan is None or plan.num_views <= 10_100
