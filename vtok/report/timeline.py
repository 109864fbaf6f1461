"""A picture of who was at work when: one lane a process or thread, one bar a stretch of work.

In: spans of time with a stage and a lane. Out: an image in which gaps are waiting. Knows nothing of
what the stages do.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from PIL import Image, ImageDraw

from vtok.report.lettering import font
from vtok.report.palette import BACKGROUND, INK, PANEL, QUIET, THUMBNAIL, TILE, Colour

_LEFT_PX, _TOP_PX, _LANE_PX, _GAP_PX, _RIGHT_PX = 150, 46, 26, 8, 20
_TEXT_PX = 15
_OTHER: Colour = (128, 200, 120)
_COLOURS: Mapping[str, Colour] = {"decode": TILE, "model": THUMBNAIL, "write": _OTHER}
_NUM_TICKS = 6


class Stretch(Protocol):
    """A stretch of work."""

    @property
    def stage(self) -> str:
        """What was done."""

    @property
    def lane(self) -> int:
        """Which of the stage's processes or threads did it."""

    @property
    def start_s(self) -> float:
        """When it began, on any clock."""

    @property
    def end_s(self) -> float:
        """When it ended, on the same clock."""


def draw_timeline(spans: Sequence[Stretch], *, began_s: float, width_px: int = 1400) -> Image.Image:
    """Return the picture; each lane says which share of the time it was at work.

    Args:
        spans: In any order.
        began_s: Where the picture begins, on the spans' clock.
        width_px: Of the picture.
    """
    lanes = sorted(
        {(span.stage, span.lane) for span in spans},
        key=lambda lane: (list(_COLOURS).index(lane[0]), lane[1]),
    )
    length = max([span.end_s - began_s for span in spans], default=0.0) or 1.0
    scale = (width_px - _LEFT_PX - _RIGHT_PX) / length
    height = _TOP_PX + len(lanes) * (_LANE_PX + _GAP_PX) + 34
    picture = Image.new("RGB", (width_px, height), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    letters = font(_TEXT_PX)
    draw.text((12, 12), "who was at work when; gaps are waiting", INK, letters)
    for number, (stage, lane) in enumerate(lanes):
        top = _TOP_PX + number * (_LANE_PX + _GAP_PX)
        mine = [span for span in spans if (span.stage, span.lane) == (stage, lane)]
        busy = sum(span.end_s - max(span.start_s, began_s) for span in mine)
        draw.text((12, top + 4), f"{stage} {lane}  {busy / length:.0%}", INK, letters)
        draw.rectangle((_LEFT_PX, top, width_px - _RIGHT_PX, top + _LANE_PX), fill=PANEL)
        for span in mine:
            left = _LEFT_PX + (max(span.start_s, began_s) - began_s) * scale
            right = _LEFT_PX + (span.end_s - began_s) * scale
            draw.rectangle(
                (left, top + 2, max(left, right - 1), top + _LANE_PX - 2), _COLOURS[stage]
            )
    for tick in range(_NUM_TICKS + 1):
        at = _LEFT_PX + tick * (width_px - _LEFT_PX - _RIGHT_PX) / _NUM_TICKS
        draw.text((at, height - 16), f"{length * tick / _NUM_TICKS:.1f} s", QUIET, letters, "mm")
    return picture
