"""Every configuration and size that was recorded: grid, sizes, order, tokens, pixels."""

import hashlib
from collections.abc import Callable, Iterator
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pytest
from golden_vectors import CONFIGURATIONS, golden, picture, scheme_of

from vtok.errors import DegenerateSizeError
from vtok.records import Size
from vtok.resolution import Box, Plan, render, stitch

# What a recorded field says of a plan; every field of every vector must be in here or in IGNORED.
Vector = dict[str, Any]

IGNORED = {
    "size": "the key",
    "error": "compared by the raising of DegenerateSizeError",
    "tiles": "compared pixel by pixel",
    "reported_error": "the processor's own estimate crashed",
    "reported_num_image_patches": "the processor's estimate, not its expansion",
    "reported_num_image_tokens": "the processor's estimate, not its expansion",
    "get_number_of_image_patches": "the processor's estimate, not its expansion",
    "patch_seq_sha256_u8": "the order of patches inside a view is the model's affair",
    "patch_seq_shape": "the order of patches inside a view is the model's affair",
    "padded_len": "batch padding",
    "aspect_ratio_mask": "says the number of tiles again",
    "resized": "says again whether sizes differ",
    "vision_tokens_per_tile": "says the views' tokens again",
}


def hw(size: Size) -> list[int]:
    return [size.height, size.width]


def box_hw(box: Box) -> list[int]:
    return [box.bottom - box.top, box.right - box.left]


def grid_of(plan: Plan, vector: Vector) -> list[int]:
    if plan.grid is not None:
        return [plan.grid.rows, plan.grid.cols]
    # An image that is not cut is recorded as no tiles or as one.
    return [1, 1] if vector["grid"] == [1, 1] else [0, 0]


def tiles_of(plan: Plan) -> list[Any]:
    return [view for view in plan.views if view.role != "thumbnail"] or list(plan.views)


def thumbnail_of(plan: Plan, vector: Vector) -> str | None:
    roles = [view.role for view in plan.views]
    if "thumbnail" not in roles:
        # Gemma's and MiniCPM's only view is the original; recorded as the first of none.
        return "first" if vector["thumbnail"] == "first" and len(roles) == 1 else None
    if str(vector["thumbnail"]).startswith("separate") and roles[-1] == "thumbnail":
        return vector["thumbnail"]
    return "first" if roles[0] == "thumbnail" else "last"


def rle(plan: Plan) -> list[list[Any]]:
    """Write the sequence as it was recorded: equal neighbours joined, text as one piece."""
    runs = [
        ("text:" + run.token if run.kind == "text" else run.token, 1 if run.kind == "text" else n)
        for run in plan.runs
        for n in [run.num_tokens]
    ]
    return [[token, sum(n for _, n in group)] for token, group in groupby(runs, lambda r: r[0])]


def expected_rle(vector: Vector) -> list[list[Any]]:
    joined = groupby(vector["expansion_rle"], lambda pair: pair[0])
    return [[token, sum(n for _, n in group)] for token, group in joined]


def placeholder_renamed(recorded: list[list[Any]], ours: list[list[Any]]) -> list[list[Any]]:
    """The placeholder's own name depends on the tokenizer that was recorded with."""
    names = {a[0]: b[0] for a, b in zip(ours, recorded, strict=False) if a[0] == "<unk>"}
    return [[names.get(token, token), count] for token, count in ours]


def facts(plan: Plan, vector: Vector) -> Iterator[tuple[str, Any]]:
    """Yield what the plan says of each recorded field."""
    canvas, views = plan.canvases[0], plan.views
    tiles = tiles_of(plan)
    yield "grid", grid_of(plan, vector) if "grid" in vector else None
    yield "canvas_hw", hw(plan.canvases[-1 if plan.scheme.startswith("minicpm") else 0].size)
    yield "content_hw", box_hw(canvas.content)
    yield "padded_hw", padded(plan)
    yield "resized_hw", hw(views[0].size)
    yield "resize1_hw", hw(canvas.resizes[0]) if canvas.resizes else None
    yield "source_hw", hw(views[0].size)
    yield "tile_hw", hw(tiles[0].size)
    yield "tile_hw_each", [hw(view.size) for view in views]
    yield "n_tiles", len(views)
    yield "n_local", sum(view.role == "tile" for view in views)
    yield "thumbnail", thumbnail_of(plan, vector) if "thumbnail" in vector else None
    yield "n_image_tokens", plan.num_image_tokens
    yield "n_image_tokens_formula", plan.num_image_tokens
    yield "mask_sum", plan.num_image_tokens
    yield "n_special_tokens", plan.num_image_tokens + plan.num_separator_tokens
    yield "n_text_pieces", sum(run.kind == "text" for run in plan.runs)
    yield "crop_hw", box_hw(tiles[0].box)
    last = tiles[-1].box
    yield (
        "dropped_bottom_right",
        [plan.size.height - last.bottom, plan.size.width - last.right],
    )
    yield "crop_hw_each", [box_hw(view.box) for view in views if view.role == "tile"]
    yield "global_content_hw", box_hw(plan.canvases[-1].content)
    if views[0].token_grid is not None:
        token_grid = [views[0].token_grid.rows, views[0].token_grid.cols]
        yield "token_grid", token_grid
        yield "patch_grid", patches(plan, vector, token_grid)
        yield "n_patches", int(np.prod(patches(plan, vector, token_grid)))
        yield (
            "tile_patch_grids",
            [[view.size.height // 14, view.size.width // 14] for view in views],
        )
    yield "n_vision_tokens_cross_attention", plan.num_cross_attention_tokens
    yield "n_vision_tokens_valid", sum(view.num_tokens for view in views)
    yield "tile_stride", tile_stride(plan)
    yield "token_grids", pooled_grids(plan)
    yield "aspect_ratio_id", aspect_ratio_id(plan)


def padded(plan: Plan) -> list[int]:
    if plan.scheme.startswith("idefics2"):
        sizes = [view.size for view in plan.views]
        return [max(size.height for size in sizes), max(size.width for size in sizes)]
    return hw(plan.canvases[0].size)


def patches(plan: Plan, vector: Vector, token_grid: list[int]) -> list[int]:
    """Patches before merging: the merge is a whole number that the recording tells."""
    recorded = vector.get("patch_grid", token_grid)
    merge = max(recorded[0] // token_grid[0], 1)
    assert merge in (1, 2)
    return [merge * side for side in token_grid]


def tile_stride(plan: Plan) -> int:
    boxes = [view.box for view in plan.views if view.role == "tile"]
    strides = {b.left - a.left for a, b in pairwise(boxes) if b.top == a.top}
    strides |= {b.top - a.top for a, b in pairwise(boxes) if b.top > a.top}
    return strides.pop() if strides else 266


def pooled_grids(plan: Plan) -> dict[str, list[int]] | None:
    if plan.scheme != "molmo2":
        return None
    rows = [segment for segment in plan.segments if len(segment.runs) == 2]
    low, high = ([segment.times, segment.runs[0].num_tokens] for segment in rows)
    return {"low_res": low, "high_res": high}


def aspect_ratio_id(plan: Plan) -> int | None:
    if plan.scheme != "llama-3.2-vision" or plan.grid is None:
        return None
    grids = [(rows, cols) for rows in range(1, 5) for cols in range(1, 5) if rows * cols <= 4]
    return grids.index((plan.grid.rows, plan.grid.cols)) + 1


def compare(plan: Plan, vector: Vector) -> list[str]:
    """Return the differences between a plan and a recorded vector."""
    ours = dict(facts(plan, vector))
    differences = [
        f"{field}: recorded {value}, planned {ours.get(field, 'nothing')}"
        for field, value in vector.items()
        if field not in {*IGNORED, "expansion_rle"}
        and not (field == "canvas_hw" and value is None)
        and ours.get(field, "nothing") != value
    ]
    if "expansion_rle" in vector:
        sequence = placeholder_renamed(vector["expansion_rle"], rle(plan))
        if sequence != expected_rle(vector):
            differences.append(f"sequence: {expected_rle(vector)} != {sequence}")
    return differences


@pytest.mark.parametrize("configuration", sorted(CONFIGURATIONS))
def test_plans_equal_the_recorded_ones(configuration: str, table_row: Callable[..., None]) -> None:
    scheme = scheme_of(configuration)
    vectors = golden()["schemes"][configuration]["vectors"]
    differences = []
    equal = 0
    for vector in vectors:
        width, height = vector["size"]
        try:
            plan = scheme.plan(Size(height=height, width=width))
        except DegenerateSizeError as error:
            found = [] if "error" in vector else [f"raised {error}"]
        else:
            found = (
                [f"planned where the reference fails: {vector['error']}"]
                if "error" in vector
                else compare(plan, vector)
            )
        equal += not found
        differences += [f"{width}x{height}: {line}" for line in found]
    table_row(
        "plans equal to the recorded reference results",
        ("configuration", "sizes", "equal"),
        (configuration, str(len(vectors)), str(equal)),
    )
    assert not differences, "\n".join(differences[:20])


def test_every_recorded_configuration_is_compared() -> None:
    assert set(golden()["schemes"]) == set(CONFIGURATIONS)
    assert len(CONFIGURATIONS) == 39


WITH_PIXELS = sorted(
    name
    for name, recorded in golden()["schemes"].items()
    if any("tiles" in vector for vector in recorded["vectors"])
)


@pytest.mark.parametrize("configuration", WITH_PIXELS)
def test_pixels_equal_the_recorded_ones(configuration: str, table_row: Callable[..., None]) -> None:
    scheme = scheme_of(configuration)
    vectors = [v for v in golden()["schemes"][configuration]["vectors"] if "tiles" in v]
    equal, different = 0, []
    for vector in vectors:
        width, height = vector["size"]
        plan = scheme.plan(Size(height=height, width=width))
        views = render(plan, picture(width, height))
        for index, (view, tile) in enumerate(zip(views, vector["tiles"], strict=True)):
            digest = hashlib.sha256(np.ascontiguousarray(view).tobytes()).hexdigest()[:32]
            if list(view.shape[:2]) == tile["hw"] and digest == tile["sha256_hwc_u8"]:
                equal += 1
            else:
                mean = [round(float(value), 4) for value in view.mean(axis=(0, 1))]
                different.append(f"{width}x{height} view {index}: {mean} {tile['mean_rgb']}")
    num_views = sum(len(v["tiles"]) for v in vectors)
    table_row(
        "pixels equal to the recorded reference results",
        ("configuration", "views", "equal"),
        (configuration, str(num_views), str(equal)),
    )
    assert not different, "\n".join(different[:12])


WITHOUT_LATER_RESIZE = sorted(
    {*CONFIGURATIONS} - {"closest_aspect_4", "gemma3_pan_and_scan", "idefics2_split"}
)


@pytest.mark.parametrize("configuration", WITHOUT_LATER_RESIZE)
def test_stitching_undoes_the_cut(configuration: str) -> None:
    """Where no view is resized after the cut, its tiles give the resized image back."""
    scheme = scheme_of(configuration)
    plan = scheme.plan(Size(height=672, width=1008))
    image = picture(1008, 672)
    tiles = tiles_of(plan)
    assert all(view.box.size == view.size for view in tiles)
    canvas = plan.canvases[tiles[0].canvas]
    for size in canvas.resizes:
        filters = {"bicubic": 3, "bilinear": 2, "lanczos": 1}
        if image.size != (size.width, size.height):
            image = image.resize((size.width, size.height), filters[canvas.resample])
    stitched = stitch(plan, render(plan, picture(1008, 672)))
    covered = np.asarray(image)[: stitched.shape[0], : stitched.shape[1]]
    assert np.array_equal(stitched, covered)
    assert stitched.size >= 0.99 * np.asarray(image).size
