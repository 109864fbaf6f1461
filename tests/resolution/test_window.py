"""What a resize of which a part is shown reads and makes: never past the source, always enough."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vtok.records import Size
from vtok.resolution.painters import painter
from vtok.resolution.parts import Box
from vtok.resolution.window import Window

RADIUS = 3


@st.composite
def windows(draw: Callable[[Any], Any]) -> tuple[int, float, int, tuple[int, int]]:
    stored = draw(st.integers(1, 5000))
    length = draw(st.just(float(stored)) | st.floats(max(0.5, stored - 1), stored))
    wanted = draw(st.integers(1, 5000))
    begin = draw(st.integers(0, wanted - 1))
    return stored, length, wanted, (begin, draw(st.integers(begin + 1, wanted)))


@settings(max_examples=2000, deadline=None)
@given(windows())
def test_a_window_lies_in_the_source_and_covers_what_the_part_is_made_of(
    case: tuple[int, float, int, tuple[int, int]],
) -> None:
    stored, length, wanted, part = case
    scale = length / wanted
    window = Window.of(stored, length, wanted, part, RADIUS)
    for each in (window, window.of_all(stored)):
        assert 0 <= each.first < each.last <= stored
        assert each.start >= 0
        assert each.length > 0
        # As the resizer adds them up, in floating point.
        assert each.start + each.length <= each.last - each.first
        # The same places, to a thousandth of a pixel.
        assert each.length / each.num_made == pytest.approx(scale, rel=1e-3 / (wanted * scale + 1))
        begin = (each.first + each.start) / scale
        assert begin + each.shown.start == pytest.approx(part[0], abs=1e-6 * wanted)
        assert each.shown.stop - each.shown.start == part[1] - part[0]
        # What a shown pixel sees lies in what is read, or there is no more of the source.
        reach = RADIUS * max(scale, 1.0)
        assert each.first == 0 or (part[0] + 0.5) * scale - reach >= each.first + each.start
        end = each.first + each.start + each.length
        assert each.last == stored or (part[1] - 0.5) * scale + reach <= end


def test_a_part_whose_last_row_rounds_past_the_source_is_resized() -> None:
    pytest.importorskip("cykooz_resizer", reason="it is not built for this machine")
    import numpy as np

    fast = painter("fast")
    for height in range(1900, 2000):
        pixels = np.zeros((height, 64, 3), np.uint8)
        wanted = Size(height=round(height * 224 / 640), width=22)
        top = (wanted.height - 224) // 2
        box = Box(0, top, 22, top + 224)
        assert fast.resize(pixels, wanted, "bicubic", shown=box).shape == (224, 22, 3)
