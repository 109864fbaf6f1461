"""Pixels from plans: what `Plan` says, done by a painter; and back again for grids.

In: a `Plan` and the original in RGB (orientation already applied). Out: one uint8 array (H, W, 3)
per view, in the plan's order. Knows no scheme: all that matters is in the plan.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vtok.errors import UsageError
from vtok.quantities import counted
from vtok.resolution.painters import PILLOW, Colour, Painter, PictureT
from vtok.resolution.parts import Box, Canvas, View
from vtok.resolution.plan import Plan

Pixels = npt.NDArray[np.uint8]

_OVERSAMPLING = 3


def reduction_for(plan: Plan, allowed: Sequence[int]) -> int:
    """Return by how much an image may be reduced before it is rendered; 1 if not at all.

    The rule: the reduced image has at least three times the pixels of every canvas, along each
    side, at the first resize; so what was left out is far above what that resize keeps. On small
    photographs with detail in every pixel the views have a PSNR of 54 dB to the exact ones in the
    mean, above 50.8 dB in 19 of 20 and 47 dB at worst. A canvas that takes pixels as they are
    needs all of them.

    Args:
        plan: For the image as it is stored.
        allowed: The reductions to choose from, the largest first.
    """
    first = [
        canvas.resizes[0] if canvas.resizes else plan.size
        for canvas in plan.canvases
        if not canvas.content.is_empty
    ]
    for reduction in allowed:
        if all(
            _OVERSAMPLING * reduction * size.height <= plan.size.height
            and _OVERSAMPLING * reduction * size.width <= plan.size.width
            for size in first
        ):
            return reduction
    return 1


def render(
    plan: Plan,
    image: Image.Image | Pixels,
    *,
    reduction: int = 1,
    painter: Painter[Any] = PILLOW,
) -> list[Pixels]:
    """Return the plan's views of an image.

    Args:
        plan: Made for an image of exactly this size.
        image: RGB, or (H, W, 3) uint8.
        reduction: How many pixels a side of the plan's image became one of this one; at most
            `reduction_for(plan)`.
        painter: Who resizes.

    Returns:
        One (H, W, 3) uint8 array in [0, 255] per view, in the plan's order.

    Raises:
        UsageError: the image is not of the plan's size, or not RGB.
    """
    # Copies: arrays that share an image's bytes are read-only, which torch warns about.
    views = render_frozen(plan, image, reduction=reduction, painter=painter)
    return [np.array(pixels) for pixels in views]


def render_frozen(
    plan: Plan, image: Image.Image | Pixels, *, reduction: int, painter: Painter[Any]
) -> Iterator[Pixels]:
    """Yield what `render` returns, without a copy of its own: not to be written to."""
    _check(plan, image, reduction)
    picture = painter.open(image)
    canvases: dict[int, Any] = {}
    uses = Counter(view.canvas for view in plan.views)
    for view in plan.views:
        canvas = plan.canvases[view.canvas]
        if uses[view.canvas] == 1 and _is_cut_alone(canvas, view):
            shown = _paint(plan, canvas, picture, reduction, painter, view.box)
            yield painter.pixels(painter.flip(shown) if view.flip else shown)
            continue
        if view.canvas not in canvases:
            canvases[view.canvas] = _paint(plan, canvas, picture, reduction, painter)
        yield painter.pixels(_cut(canvases[view.canvas], view, painter))


def _check(plan: Plan, image: Image.Image | Pixels, reduction: int) -> None:
    """Require an image of the plan's size."""
    height, width = -(-plan.size.height // reduction), -(-plan.size.width // reduction)
    if isinstance(image, Image.Image):
        if image.size == (width, height) and image.mode == "RGB":
            return
        given = f"{image.mode} of {image.width}x{image.height}"
    else:
        if image.shape == (height, width, 3) and image.dtype == np.uint8:
            return
        given = f"{image.dtype} of shape {image.shape}"
    raise UsageError(f"the plan is for an RGB image of {plan.size}, not {given}")


def _is_cut_alone(canvas: Canvas, view: View) -> bool:
    """Tell whether a view that has a canvas to itself is a part of it, and of its last resize."""
    is_part = bool(canvas.resizes) and not canvas.is_padded and not view.box.is_empty
    return is_part and view.box.size == view.size != canvas.size


def _paint(
    plan: Plan,
    canvas: Canvas,
    picture: PictureT,
    reduction: int,
    painter: Painter[PictureT],
    shown: Box | None = None,
) -> PictureT:
    """Return the picture resized and padded as the canvas says.

    Where a part of it is all that is shown, the last resize, which there must be, makes no more.
    """
    if canvas.content.is_empty:
        return painter.blank(canvas.size, _colour(canvas))
    # The edge of the stored image may lie within the last pixel of the reduced one.
    edge = (plan.size.height / reduction, plan.size.width / reduction) if reduction > 1 else None
    for _ in range(canvas.halvings if reduction == 1 else 0):
        picture = painter.halve(picture)
    for number, size in enumerate(canvas.resizes, 1):
        part = shown if number == len(canvas.resizes) else None
        picture = painter.resize(picture, size, canvas.resample, edge=edge, shown=part)
        edge = None
    if not canvas.is_padded:
        return picture
    if canvas.fill == "edge":
        return painter.extend(picture, canvas.size, canvas.content)
    return painter.place(picture, canvas.size, canvas.content, _colour(canvas))


def _colour(canvas: Canvas) -> Colour:
    assert canvas.fill != "edge"
    return canvas.fill


def _cut(canvas: PictureT, view: View, painter: Painter[PictureT]) -> PictureT:
    if view.box.is_empty:
        return painter.blank(view.size, (0, 0, 0))
    seen = painter.resize(painter.part(canvas, view.box), view.size, view.resample)
    return painter.flip(seen) if view.flip else seen


def stitch(plan: Plan, views: Sequence[Pixels]) -> Pixels:
    """Put the views back together: the inverse of cutting, as far as the plan kept the pixels.

    Tiles go back to their boxes (resized where the view is not of the box's size; later ones win
    where they overlap), padding is taken off. Exact for every plan whose tiles are of their
    boxes' size.

    Args:
        plan: A plan with tiles or one whole view; the thumbnail is not needed.
        views: Arrays in the plan's order, (H, W, 3) uint8.

    Returns:
        (H, W, 3) uint8: the part of the (resized) image that the tiles cover.

    Raises:
        UsageError: the number or a size of the views is not the plan's.
    """
    if len(views) != len(plan.views):
        raise UsageError(f"the plan has {counted(len(plan.views), 'view')}, not {len(views)}")
    parts = [
        (view, pixels)
        for view, pixels in zip(plan.views, views, strict=True)
        if view.role != "thumbnail" and not view.box.is_empty
    ] or list(zip(plan.views, views, strict=True))
    for view, pixels in parts:
        if pixels.shape != (view.size.height, view.size.width, 3):
            raise UsageError(f"view {view.name} should be {view.size}, not shape {pixels.shape}")
    canvas = plan.canvases[parts[0][0].canvas]
    covered = _covered(canvas, [view.box for view, _ in parts])
    whole = np.zeros((canvas.size.height, canvas.size.width, 3), np.uint8)
    for view, pixels in parts:
        tile = PILLOW.resize(Image.fromarray(pixels), view.box.size, view.resample)
        whole[view.box.top : view.box.bottom, view.box.left : view.box.right] = np.asarray(tile)
    return whole[covered.top : covered.bottom, covered.left : covered.right]


def _covered(canvas: Canvas, boxes: Sequence[Box]) -> Box:
    """Return the part of the content that lies inside the boxes' common frame."""
    return Box(
        left=max(canvas.content.left, min(box.left for box in boxes)),
        top=max(canvas.content.top, min(box.top for box in boxes)),
        right=min(canvas.content.right, max(box.right for box in boxes)),
        bottom=min(canvas.content.bottom, max(box.bottom for box in boxes)),
    )
