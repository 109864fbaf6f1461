"""Rules whose reference is not installed, restated as plainly as possible, and documented bills.

MiniCPM-V up to 4.5 (OpenBMB/MiniCPM-V), Phi-3.5-vision (its remote code), Molmo (allenai/molmo):
candidates are tried one by one with numpy's own precision, the other way round from the policies.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtok.errors import DegenerateSizeError
from vtok.records import Size
from vtok.resolution import Plan, SchemeOptions, resolve

any_side = st.integers(1, 8000)


def nearest_multiple(length: float, step: int) -> int:
    return max(round(length / step), 1) * step


def minicpm_side(width: float, height: float, enlarge: bool) -> tuple[int, int]:
    if enlarge or width * height > 448**2:
        height, ratio = int(448 / math.sqrt(width / height)), width / height
        width = int(height * ratio)
    return nearest_multiple(width, 14), nearest_multiple(height, 14)


@given(any_side, any_side)
@settings(max_examples=400, deadline=None)
def test_minicpm_v_as_its_authors_slice(width: int, height: int) -> None:
    plan = resolve("minicpm-v").plan(Size(height=height, width=width))
    slices = min(math.ceil(width * height / 448**2), 9)
    source = (plan.views[0].size.width, plan.views[0].size.height)
    if slices <= 1:
        assert plan.grid is None
        assert source == minicpm_side(width, height, enlarge=True)
        assert plan.num_tokens == 66
        return
    grids = [
        (cols, number // cols)
        for number in (slices - 1, slices, slices + 1)
        if 1 < number <= 9
        for cols in range(1, number + 1)
        if number % cols == 0
    ]
    wanted = math.log(width / height)
    cols, rows = min(grids, key=lambda grid: abs(wanted - math.log(grid[0] / grid[1])))
    piece = minicpm_side(
        nearest_multiple(width, cols) / cols, nearest_multiple(height, rows) / rows, enlarge=True
    )
    assert plan.grid is not None
    assert (plan.grid.cols, plan.grid.rows) == (cols, rows)
    assert source == minicpm_side(width, height, enlarge=False)
    assert (plan.views[1].size.width, plan.views[1].size.height) == piece
    assert plan.num_image_tokens == 64 * (cols * rows + 1)
    assert plan.num_separator_tokens == 2 * (cols * rows + 1)
    assert plan.num_text_tokens == rows - 1


@given(any_side, any_side)
@settings(max_examples=400, deadline=None)
def test_phi_3_5_as_its_authors_transform(width: int, height: int) -> None:
    long, short = max(width, height), min(width, height)
    ratio = long / short
    across = max(n for n in range(1, 17) if n * math.ceil(n / ratio) <= 16)
    free = int(across * 336 / ratio)
    if free == 0:
        with pytest.raises(DegenerateSizeError):
            resolve("phi-3.5").plan(Size(height=height, width=width))
        return
    plan = resolve("phi-3.5").plan(Size(height=height, width=width))
    padded = int(np.ceil(free / 336) * 336)
    tall = width < height
    canvas = plan.canvases[0]
    assert (canvas.size.width, canvas.size.height) == (
        (padded, across * 336) if tall else (across * 336, padded)
    )
    start = canvas.content.left if tall else canvas.content.top
    assert start == (padded - free) // 2
    rows, cols = canvas.size.height // 336, canvas.size.width // 336
    assert plan.num_tokens == (rows * cols + 1) * 144 + 1 + (rows + 1) * 12


def molmo_grid(width: int, height: int) -> tuple[int, int]:
    grids = sorted(
        ((rows, cols) for rows in range(1, 13) for cols in range(1, 13) if rows * cols <= 12),
        key=lambda grid: (grid[0] * grid[1], grid[0]),
    )
    sides = np.array([height - 112, width - 112], np.float32)
    with np.errstate(divide="ignore"):
        scales = (np.array(grids, np.float32) * np.float32(224) / sides).min(axis=1)
    if (scales < 1).all():
        return grids[int(scales.argmax())]
    return grids[int(np.where(scales < 1, np.float32(1e10), scales).argmin())]


@given(any_side, any_side)
@settings(max_examples=300, deadline=None)
def test_molmo_as_its_authors_tile(width: int, height: int) -> None:
    rows, cols = molmo_grid(width, height)
    full = (rows * 224 + 112, cols * 224 + 112)
    contents = []
    for target in (full, (336, 336)):
        scale = min(
            np.float32(target[0]) / np.float32(height), np.float32(target[1]) / np.float32(width)
        )
        contents.append((int(np.float32(height) * scale), int(np.float32(width) * scale)))
    if any(0 in content for content in contents):
        with pytest.raises(DegenerateSizeError):
            resolve("molmo").plan(Size(height=height, width=width))
        return
    plan = resolve("molmo").plan(Size(height=height, width=width))
    assert plan.grid is not None
    assert (plan.grid.rows, plan.grid.cols) == (rows, cols)
    planned = [canvas.content.size for canvas in plan.canvases]
    assert [(size.height, size.width) for size in planned] == contents
    joint = (full[0] // 28) * (full[1] // 28 + 1) + 2
    assert plan.num_tokens == 158 + joint
    assert plan.views[0].role == "thumbnail"


def tokens(name: str, width: int, height: int, **options: int) -> int:
    plan = resolve(name, SchemeOptions(**options)).plan(Size(height=height, width=width))
    assert isinstance(plan, Plan)
    return plan.num_tokens


@pytest.mark.parametrize(
    ("name", "width", "height", "billed"),
    [
        ("gpt-4o", 1024, 1024, 765),
        ("gpt-4o", 2048, 4096, 1105),
        ("gpt-4o", 128, 64, 255),
        ("gpt-4o", 2049, 513, 85 + 8 * 170),
        ("gpt-4o", 2050, 513, 85 + 4 * 170),
        ("gpt-4o-low", 4096, 8192, 85),
        ("gpt-4o-mini", 1024, 1024, 2833 + 4 * 5667),
        ("gpt-4.1-mini", 1024, 1024, math.ceil(1024 * 1.62)),
        ("gpt-4.1-mini", 1800, 2400, math.ceil(1452 * 1.62)),
        ("claude", 1920, 1080, 1560),
        ("claude", 1092, 1092, 1521),
        ("claude-high-resolution", 1920, 1080, 2691),
        ("claude-legacy", 1092, 1092, 1590),
        ("gemini", 384, 384, 258),
        ("gemini", 960, 540, 6 * 258),
    ],
)
def test_documented_bills(name: str, width: int, height: int, billed: int) -> None:
    assert tokens(name, width, height) == billed


def test_the_patch_bill_has_the_documented_grid() -> None:
    plan = resolve("gpt-4.1-mini").plan(Size(height=2400, width=1800))
    grid = plan.views[0].token_grid
    assert grid is not None
    assert (grid.cols, grid.rows) == (33, 44)
    plan = resolve("gpt-4.1-mini").plan(Size(height=1474, width=4000))
    grid = plan.views[0].token_grid
    assert grid is not None
    assert (grid.cols, grid.rows) == (63, 23)


def test_the_current_claude_bill_uses_the_largest_fitting_size() -> None:
    plan = resolve("claude").plan(Size(height=1080, width=1920))
    assert plan.views[0].size == Size(height=819, width=1456)
