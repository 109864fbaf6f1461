"""Pixels from plans: what `Plan` says, done with Pillow; and back again for grids.

In: a `Plan` and the original as an RGB `PIL.Image` (orientation already applied). Out: one uint8
array (H, W, 3) per view, in the plan's order. Knows no scheme: all that matters is in the plan.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from vtok.errors import UsageError
from vtok.records import Size
from vtok.resolution.plan import Box, Canvas, Plan, Resample, View

Pixels = npt.NDArray[np.uint8]

_FILTERS: dict[Resample, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

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


def render(plan: Plan, image: Image.Image, *, reduction: int = 1) -> list[Pixels]:
    """Return the plan's views of an image.

    Args:
        plan: Made for an image of exactly this size.
        image: RGB.
        reduction: How many pixels a side of the plan's image became one of this one; at most
            `reduction_for(plan)`.

    Returns:
        One (H, W, 3) uint8 array in [0, 255] per view, in the plan's order.

    Raises:
        UsageError: the image is not of the plan's size, or not RGB.
    """
    size = (-(-plan.size.width // reduction), -(-plan.size.height // reduction))
    if image.size != size or image.mode != "RGB":
        raise UsageError(
            f"the plan is for an RGB image of {plan.size}, "
            f"not {image.mode} of {image.width}x{image.height}"
        )
    canvases: dict[int, Image.Image] = {}
    pixels = []
    for view in plan.views:
        if view.canvas not in canvases:
            canvases[view.canvas] = _paint(plan, plan.canvases[view.canvas], image, reduction)
        # A copy: arrays that share the image's bytes are read-only, which torch warns about.
        pixels.append(np.array(_cut(canvases[view.canvas], view)))
    return pixels


def _paint(plan: Plan, canvas: Canvas, image: Image.Image, reduction: int) -> Image.Image:
    """Return the image resized and padded as the canvas says."""
    if canvas.content.is_empty:
        return Image.new("RGB", (canvas.size.width, canvas.size.height), _colour(canvas))
    sizes = canvas.resizes
    if reduction > 1 and sizes:
        # The edge of the stored image may lie within the last pixel of the reduced one.
        edge = (0.0, 0.0, plan.size.width / reduction, plan.size.height / reduction)
        first, sizes = sizes[0], sizes[1:]
        image = image.resize((first.width, first.height), _FILTERS[canvas.resample], box=edge)
    for _ in range(canvas.halvings if reduction == 1 else 0):
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    for size in sizes:
        image = _resize(image, size, canvas.resample)
    if not canvas.is_padded:
        return image
    if canvas.fill == "edge":
        return _extend_edges(canvas, image)
    painted = Image.new("RGB", (canvas.size.width, canvas.size.height), _colour(canvas))
    painted.paste(image, (canvas.content.left, canvas.content.top))
    return painted


def _colour(canvas: Canvas) -> tuple[int, int, int]:
    assert canvas.fill != "edge"
    return canvas.fill


def _extend_edges(canvas: Canvas, image: Image.Image) -> Image.Image:
    content, size = canvas.content, canvas.size
    padding = (
        (content.top, size.height - content.bottom),
        (content.left, size.width - content.right),
        (0, 0),
    )
    return Image.fromarray(np.pad(np.asarray(image), padding, mode="edge"))


def _cut(canvas: Image.Image, view: View) -> Image.Image:
    if view.box.is_empty:
        return Image.new("RGB", (view.size.width, view.size.height))
    part = canvas if view.box == (0, 0, *canvas.size) else canvas.crop(view.box)
    seen = _resize(part, view.size, view.resample)
    return seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if view.flip else seen


def _resize(image: Image.Image, size: Size, resample: Resample) -> Image.Image:
    if image.size == (size.width, size.height):
        return image
    return image.resize((size.width, size.height), _FILTERS[resample])


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
        raise UsageError(f"the plan has {len(plan.views)} views, not {len(views)}")
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
        tile = _resize(Image.fromarray(pixels), view.box.size, view.resample)
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
