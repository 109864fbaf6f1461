import io

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from vtok.records import Size
from vtok.report import cut_blocks, cut_outline, cut_picture, picture_style
from vtok.report.cut_frame import CutFrame
from vtok.report.half_blocks import Label, half_blocks
from vtok.report.palette import PADDING_DARK, PADDING_LIGHT, TILE
from vtok.resolution import Plan, resolve, scheme_names

LANDSCAPE = Size(height=672, width=1008)


def plan_of(scheme: str, size: Size = LANDSCAPE) -> Plan:
    return resolve(scheme).plan(size)


def photograph(size: Size) -> Image.Image:
    return Image.effect_noise((size.width, size.height), 50).convert("RGB")


def test_tiles_that_partition_the_photograph_fill_the_frame_once() -> None:
    frame = CutFrame(plan_of("closest"))
    drawing = Size(height=200, width=300)
    covered = np.zeros((200, 300), int)
    for spot in frame.spots:
        box = frame.place(spot.region, drawing)
        covered[box.top : box.bottom, box.left : box.right] += 1
    assert (covered == 1).all()
    assert [spot.label for spot in frame.spots] == list("012345")
    assert frame.aspect == pytest.approx(1.5)
    assert not frame.is_padded


def test_padding_widens_the_frame() -> None:
    plan = plan_of("llava-next", Size(height=512, width=384))
    frame = CutFrame(plan)
    assert frame.is_padded
    assert frame.outer.left < 0
    assert frame.outer.right > 384
    canvas = plan.canvases[plan.views[-1].canvas].size
    assert frame.aspect == pytest.approx(canvas.width / canvas.height, rel=0.01)


@pytest.mark.parametrize("scheme", scheme_names())
@pytest.mark.parametrize("size", [LANDSCAPE, Size(height=64, width=48)])
def test_every_scheme_has_an_outline(scheme: str, size: Size) -> None:
    plan = plan_of(scheme, size)
    outline = cut_outline(plan, width=80)
    drawn = [line for line in outline.splitlines() if line.lstrip(".").startswith(("+", "|"))]
    assert len(drawn) >= 3
    assert max(map(len, drawn)) <= 80
    for spot in CutFrame(plan).spots:
        assert spot.label in outline or spot.view.role != "tile"


@pytest.mark.parametrize("scheme", ["closest", "squash", "deepseek-vl2", "gpt-4o", "qwen2.5-vl"])
def test_half_blocks_fit_the_terminal(scheme: str) -> None:
    size = Size(height=90, width=240)
    blocks = cut_blocks(plan_of(scheme, size), photograph(size), width=80)
    pictured = [line for line in blocks.plain.splitlines() if "▀" in line]
    assert pictured
    assert max(map(len, pictured)) <= 80


def test_outline_is_as_it_was(check_golden) -> None:
    texts = [
        cut_outline(plan_of(scheme, size), width=80)
        for scheme, size in [
            ("closest", LANDSCAPE),
            ("llava-next", Size(height=512, width=384)),
            ("molmo", LANDSCAPE),
            ("internvl", Size(height=200, width=640)),
            ("gpt-4o", LANDSCAPE),
            ("qwen2.5-vl", LANDSCAPE),
        ]
    ]
    check_golden("cut_outlines.txt", "\n".join(texts))


def test_large_picture_shows_tiles_padding_and_thumbnail() -> None:
    size = Size(height=512, width=384)
    plan = plan_of("llava-next", size)
    picture = cut_picture(plan, Image.new("RGB", (384, 512), (10, 200, 10)), title="x" * 500)
    colours = {colour for _, colour in picture.getcolors(1 << 24) or ()}
    assert {TILE, PADDING_DARK, PADDING_LIGHT, (10, 200, 10)} <= colours
    assert max(picture.size) >= 1000


@pytest.mark.parametrize("size", [Size(height=1, width=1), Size(height=20000, width=1)])
def test_degenerate_sizes_are_drawn(size: Size) -> None:
    plan = plan_of("closest", size)
    assert cut_picture(plan, photograph(size)).width > 100
    assert cut_blocks(plan, photograph(size), width=80).plain
    assert cut_outline(plan, width=80)


def test_half_blocks_are_the_pixels() -> None:
    image = Image.new("RGB", (3, 3), (1, 2, 3))
    image.putpixel((1, 0), (200, 0, 0))
    lines = half_blocks(image, [Label(1, 2, "7", TILE)])
    assert [line.plain for line in lines] == ["▀▀▀", "▀▀7"]
    styles = [span.style for span in lines[0].spans]
    assert styles[1].color.triplet == (200, 0, 0)
    assert styles[1].bgcolor.triplet == (1, 2, 3)
    assert lines[1].spans[0].style.bgcolor is None


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "blocks"),
        ({"TERM": "xterm-16color"}, "outline"),
        ({"TERM": "dumb"}, "outline"),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "outline"),
    ],
)
def test_the_terminal_decides(environment: dict[str, str], expected: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    console = Console(file=stream, force_terminal=True, _environ=environment)
    assert picture_style(console) == expected


def test_pipes_get_outlines() -> None:
    assert picture_style(Console(file=io.StringIO(), _environ={"TERM": "xterm"})) == "outline"
