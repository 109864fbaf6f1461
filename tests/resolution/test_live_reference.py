"""Random sizes, decided by vtok and by the functions of the installed transformers."""

import random
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the reference processors are an extra")

import reference_rules as reference

from vtok.errors import DegenerateSizeError
from vtok.records import Size
from vtok.resolution import Plan, Scheme, SchemeOptions, resolve

Facts = tuple[Any, ...]


def sizes(count: int, seed: int) -> list[tuple[int, int]]:
    """Draw (height, width): any, extreme, tiny, and just beside multiples of common tiles."""
    draw = random.Random(seed)
    found = []
    tiles = (14, 16, 28, 32, 56, 224, 256, 336, 364, 378, 384, 448, 512, 560, 768, 980, 1024)
    for index in range(count):
        kind = index % 5
        if kind == 0:
            found.append((int(2 ** draw.uniform(0, 14.5)), int(2 ** draw.uniform(0, 14.5))))
        elif kind == 1:
            found.append((draw.randint(1, 4000), draw.randint(1, 4000)))
        elif kind == 2:
            tile = draw.choice(tiles)
            beside = [tile * draw.randint(1, 12) + draw.choice((-1, 0, 0, 1)) for _ in "hw"]
            found.append((beside[0], beside[1]))
        elif kind == 3:
            found.append((draw.randint(1, 64), draw.randint(1, 64)))
        else:
            short = draw.randint(1, 40)
            long = draw.randint(short, 20000)
            found.append((short, long) if draw.random() < 0.5 else (long, short))
    return found


def canvas_and_content(plan: Plan) -> Facts:
    canvas = plan.canvases[0]
    content = canvas.content.size
    return (canvas.size.height, canvas.size.width, content.height, content.width)


def with_tokens(plan: Plan) -> Facts:
    return (*canvas_and_content(plan), plan.num_tokens)


def grid(plan: Plan) -> Facts:
    return (0, 0) if plan.grid is None else (plan.grid.rows, plan.grid.cols)


def view_sizes(plan: Plan) -> Facts:
    return tuple(s for view in plan.views for s in (view.size.height, view.size.width))


def deepseek_vl2(plan: Plan) -> Facts:
    canvas = plan.canvases[0]
    full = (canvas.size.height, canvas.size.width)
    if plan.size.num_pixels > 250_000:
        return full
    box = canvas.content
    return (*full, box.top, box.bottom, box.left, box.right) if not box.is_empty else full


def grid_and_global(plan: Plan) -> Facts:
    content = plan.canvases[-1].content.size
    return (*grid(plan), content.height, content.width)


def molmo2(plan: Plan) -> Facts:
    return (*grid(plan), plan.canvases[0].size.height, plan.canvases[0].size.width)


def kimi(plan: Plan) -> Facts:
    content, view = plan.canvases[0].content.size, plan.views[0].size
    return (content.height, content.width, view.height, view.width)


def phi4(plan: Plan) -> Facts:
    content = plan.canvases[0].content.size
    return (*grid(plan), content.height, content.width, plan.num_tokens)


def two_resizes(plan: Plan) -> Facts:
    return tuple(s for size in plan.canvases[0].resizes for s in (size.height, size.width))


def content(plan: Plan) -> Facts:
    size = plan.canvases[0].content.size
    return (size.height, size.width)


def crops(plan: Plan) -> Facts:
    boxes = [view.box.size for view in plan.views if view.role == "tile"]
    return tuple(side for box in boxes for side in (box.height, box.width))


def minicpm(plan: Plan) -> Facts:
    source = plan.views[0].size
    if plan.grid is None:
        return (source.height, source.width, 0, 0)
    refined = plan.canvases[1].size
    return (source.height, source.width, *grid(plan), refined.height, refined.width)


Case = tuple[str, SchemeOptions, Callable[[int, int], Facts], Callable[[Plan], Facts]]

CASES: dict[str, Case] = {
    "llava-next": ("llava-next", SchemeOptions(), reference.llava_next, with_tokens),
    "llava-onevision": (
        "llava-onevision",
        SchemeOptions(),
        reference.llava_onevision,
        with_tokens,
    ),
    "deepseek-vl2": ("deepseek-vl2", SchemeOptions(), reference.deepseek_vl2, deepseek_vl2),
    "internvl 1-12": ("internvl", SchemeOptions(), reference.internvl(1, 12, 448), grid),
    "internvl 1-6": (
        "internvl",
        SchemeOptions(max_tiles=6),
        reference.internvl(1, 6, 448),
        grid,
    ),
    "internvl 3-24": (
        "internvl",
        SchemeOptions(min_tiles=3, max_tiles=24),
        reference.internvl(3, 24, 448),
        grid,
    ),
    "got-ocr2-crop": ("got-ocr2-crop", SchemeOptions(), reference.internvl(1, 12, 1024), grid),
    "aya-vision": ("aya-vision", SchemeOptions(), reference.internvl(1, 12, 364), grid),
    "cohere2-vision": ("cohere2-vision", SchemeOptions(), reference.cohere2, grid),
    "ovis2": ("ovis2", SchemeOptions(), reference.ovis, grid),
    "deepseek-ocr2": (
        "deepseek-ocr2",
        SchemeOptions(),
        reference.deepseek_ocr,
        grid_and_global,
    ),
    "llama-3.2": ("llama-3.2", SchemeOptions(), reference.llama32, canvas_and_content),
    "llama-4": ("llama-4", SchemeOptions(), reference.llama4, canvas_and_content),
    "molmo2": ("molmo2", SchemeOptions(), reference.molmo, molmo2),
    "phi-4": ("phi-4", SchemeOptions(), reference.phi4, phi4),
    "idefics2": ("idefics2", SchemeOptions(), reference.idefics2_whole, view_sizes),
    "idefics2-split": (
        "idefics2-split",
        SchemeOptions(),
        reference.idefics2_quarters,
        view_sizes,
    ),
    "idefics3": ("idefics3", SchemeOptions(), reference.idefics(1456, 364), two_resizes),
    "idefics3 5000": (
        "idefics3",
        SchemeOptions(long_side_px=5000),
        reference.idefics(5000, 364),
        two_resizes,
    ),
    "smolvlm": ("smolvlm", SchemeOptions(), reference.idefics(1536, 384), two_resizes),
    "smolvlm2": ("smolvlm2", SchemeOptions(), reference.idefics(2048, 512), two_resizes),
    "qwen2.5-vl": (
        "qwen2.5-vl",
        SchemeOptions(),
        reference.qwen(28, 3136, 12845056),
        view_sizes,
    ),
    "qwen2-vl default": (
        "qwen2-vl-default",
        SchemeOptions(),
        reference.qwen(28, 3136, 1003520),
        view_sizes,
    ),
    "qwen3-vl": ("qwen3-vl", SchemeOptions(), reference.qwen(32, 65536, 16777216), view_sizes),
    "pixtral": ("pixtral", SchemeOptions(), reference.mistral(1024, 16), view_sizes),
    "mistral-small": ("mistral-small", SchemeOptions(), reference.mistral(1540, 28), view_sizes),
    "siglip2 256": ("siglip2", SchemeOptions(), reference.naflex(256), view_sizes),
    "siglip2 1024": ("siglip2", SchemeOptions(max_tokens=1024), reference.naflex(1024), view_sizes),
    "kimi": ("kimi", SchemeOptions(), reference.kimi, kimi),
    "fuyu": ("fuyu", SchemeOptions(), reference.fuyu, content),
    "gemma3-pan-and-scan": ("gemma3-pan-and-scan", SchemeOptions(), reference.gemma3, crops),
    "minicpm-v-4.6 16x": ("minicpm-v-4.6", SchemeOptions(), reference.minicpm("16x"), minicpm),
    "minicpm-v-4.6 4x": ("minicpm-v-4.6-4x", SchemeOptions(), reference.minicpm("4x"), minicpm),
}


def decided(scheme: Scheme, facts: Callable[[Plan], Facts], height: int, width: int) -> Facts | str:
    try:
        return facts(scheme.plan(Size(height=height, width=width)))
    except DegenerateSizeError:
        return "degenerate"


def expected(rule: Callable[[int, int], Facts], height: int, width: int) -> Facts | str:
    try:
        return tuple(rule(height, width))
    except (ValueError, ZeroDivisionError):
        return "degenerate"


def differences(case: str, count: int, seed: int) -> list[str]:
    name, options, rule, facts = CASES[case]
    scheme = resolve(name, options)
    found = []
    for height, width in sizes(count, seed):
        ours, theirs = decided(scheme, facts, height, width), expected(rule, height, width)
        if ours != theirs:
            found.append(f"{width}x{height}: reference {theirs}, planned {ours}")
    return found


@pytest.mark.parametrize("case", sorted(CASES))
def test_random_sizes_are_decided_alike(case: str, table_row: Callable[..., None]) -> None:
    count = 200
    found = differences(case, count, seed=20)
    table_row(
        "sizes decided as the installed transformers does",
        ("configuration", "sizes", "equal"),
        (case, str(count), str(count - len(found))),
    )
    assert not found, f"{len(found)} of {count}:\n" + "\n".join(found[:15])


@pytest.mark.slow
@pytest.mark.parametrize("case", sorted(CASES))
def test_very_many_random_sizes_are_decided_alike(
    case: str, table_row: Callable[..., None]
) -> None:
    count = 5_000
    found = differences(case, count, seed=21)
    table_row(
        "sizes decided as the installed transformers does",
        ("configuration", "sizes", "equal"),
        (case, str(count), str(count - len(found))),
    )
    assert not found, f"{len(found)} of {count}:\n" + "\n".join(found[:15])
