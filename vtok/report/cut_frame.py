"""Where a plan's views lie on the photograph: the geometry behind every picture of a cut.

In: a `Plan`. Out: rectangles in the original's pixels, and their places in a drawing of any
size. Draws nothing.

The frame holds the whole photograph and whatever views look at beyond its edges, which is padding.
"""

from dataclasses import dataclass
from functools import cached_property

from vtok.records import Size
from vtok.resolution import Box, Plan, Region, View


@dataclass(frozen=True, slots=True)
class Spot:
    """One view on the photograph.

    Attributes:
        view: The view.
        region: What it shows, in the original's pixels.
        label: What to call it in a picture: a tile's number in the plan's order, or its role.
    """

    view: View
    region: Region
    label: str


class CutFrame:
    """A plan's tiles (or its one view) on the photograph, and its thumbnail beside."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        shown = [i for i, view in enumerate(plan.views) if not view.box.is_empty]
        tiles = [i for i in shown if plan.views[i].role != "thumbnail"]
        # An image that is too small to be cut may have a thumbnail and nothing else: that is it.
        self.spots = tuple(
            Spot(plan.views[i], plan.original_region(plan.views[i]), _label(plan.views[i]))
            for i in tiles or shown
        )
        self.thumbnails = tuple(i for i in shown if i not in tiles) if tiles else ()

    @cached_property
    def outer(self) -> Region:
        """The photograph and all that the tiles show beyond it."""
        size = self.plan.size
        regions = [spot.region for spot in self.spots]
        return Region(
            left=min([0.0, *(region.left for region in regions)]),
            top=min([0.0, *(region.top for region in regions)]),
            right=max([float(size.width), *(region.right for region in regions)]),
            bottom=max([float(size.height), *(region.bottom for region in regions)]),
        )

    @property
    def aspect(self) -> float:
        """Width over height of the frame."""
        outer = self.outer
        return (outer.right - outer.left) / (outer.bottom - outer.top)

    @property
    def is_padded(self) -> bool:
        """Whether a view, the thumbnail included, shows more than the photograph."""
        return any(
            not (content.left <= 0 and content.top <= 0)
            or content.right < view.size.width
            or content.bottom < view.size.height
            for view in self.plan.views
            if not view.box.is_empty
            for content in [view_content(self.plan, view)]
        )

    @property
    def photograph(self) -> Region:
        """The photograph itself."""
        size = self.plan.size
        return Region(0.0, 0.0, float(size.width), float(size.height))

    def fit(self, room: Size) -> Size:
        """Return the largest size of the frame's shape within this room; no side below 1."""
        outer = self.outer
        width, height = outer.right - outer.left, outer.bottom - outer.top
        scale = min(room.width / width, room.height / height)
        return Size(
            height=min(room.height, max(1, round(height * scale))),
            width=min(room.width, max(1, round(width * scale))),
        )

    def place(self, region: Region, drawing: Size) -> Box:
        """Return where a region lies in a drawing of the whole frame, in whole pixels.

        Never empty, never outside the drawing.
        """
        outer = self.outer
        left, right = _span(region.left, region.right, outer.left, outer.right, drawing.width)
        top, bottom = _span(region.top, region.bottom, outer.top, outer.bottom, drawing.height)
        return Box(left=left, top=top, right=right, bottom=bottom)


def view_content(plan: Plan, view: View) -> Box:
    """Return the part of a view that shows the photograph, in the view's own pixels.

    The rest of the view is padding. Not clipped: it reaches past the view where that shows a part
    of the photograph only.
    """
    region = plan.original_region(view)
    width, height = region.right - region.left, region.bottom - region.top
    if width <= 0 or height <= 0:
        return Box(0, 0, 0, 0)
    across, down = view.size.width / width, view.size.height / height
    return Box(
        left=round(-region.left * across),
        top=round(-region.top * down),
        right=round((plan.size.width - region.left) * across),
        bottom=round((plan.size.height - region.top) * down),
    )


def _span(start: float, stop: float, low: float, high: float, length: int) -> tuple[int, int]:
    """Return [start, stop) of [low, high) in whole steps of a line of this length."""
    scale = length / (high - low)
    first = min(length - 1, max(0, round((start - low) * scale)))
    last = min(length, max(first + 1, round((stop - low) * scale)))
    return first, last


def _label(view: View) -> str:
    """Return a tile's number, or the role of a view that has none."""
    number = view.name.removeprefix("tile-").removeprefix("crop-")
    return str(int(number)) if number.isdigit() else view.role
