"""Decoded views back to the picture they were cut from: stitched, padding off, at its own scale.

In: a plan from a shard's metadata, which is not trusted, and its views' pixels. Out: the part of
the original that the views show. Knows nothing of models or files.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vtok.errors import ShardError, UsageError
from vtok.io.images import DecodeLimits
from vtok.resolution import Box, Plan, View, stitch

Pixels = npt.NDArray[np.uint8]

_MAX_PIXELS = 2 * DecodeLimits().max_pixels


def plan_of(meta: Mapping[str, Any], key: str) -> Plan | None:
    """Return the plan in a sample's metadata, None if there is none.

    Raises:
        ShardError: it is not one, or of an image larger than any that is read.
    """
    if "canvases" not in meta:
        return None
    try:
        plan = Plan.from_json(meta)
        sizes = [plan.size, *(canvas.size for canvas in plan.canvases)]
        sizes += [view.size for view in plan.views]
        sizes += [view.box.size for view in plan.views if not view.box.is_empty]
        is_sound = all(0 <= view.canvas < len(plan.canvases) for view in plan.views)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ShardError(f"sample {key!r}: its metadata holds no plan: {error!r}") from error
    if not plan.views or not is_sound or max(size.num_pixels for size in sizes) > _MAX_PIXELS:
        raise ShardError(f"sample {key!r}: its plan is not one of an image that vtok reads")
    return plan


def shown_by(plan: Plan) -> tuple[View, ...]:
    """Return the views that make up the picture: its tiles, or the whole; not the thumbnail."""
    parts = tuple(view for view in plan.views if view.role != "thumbnail" and not view.box.is_empty)
    return parts or plan.views


def can_stitch(plan: Plan) -> bool:
    """Tell whether the views that make up the picture lie on one canvas; crops make up none."""
    return len({view.canvas for view in shown_by(plan)}) == 1 and not shows_crops(plan)


def shows_crops(plan: Plan) -> bool:
    """Tell whether every view is a crop of its own."""
    return all(view.role == "crop" for view in plan.views)


def shown_region(plan: Plan, key: str) -> Box:
    """Return the part of the original, in its pixels, that the stitched picture shows.

    Raises:
        ShardError: it shows nothing.
    """
    parts = shown_by(plan)
    canvas = plan.canvases[parts[0].canvas]
    content = canvas.content
    if content.is_empty:
        raise ShardError(f"sample {key!r}: its plan shows nothing of the image")
    scale_x = plan.size.width / (content.right - content.left)
    scale_y = plan.size.height / (content.bottom - content.top)
    left = max(content.left, min(part.box.left for part in parts)) - content.left
    top = max(content.top, min(part.box.top for part in parts)) - content.top
    right = min(content.right, max(part.box.right for part in parts)) - content.left
    bottom = min(content.bottom, max(part.box.bottom for part in parts)) - content.top
    region = Box(
        left=round(left * scale_x),
        top=round(top * scale_y),
        right=round(right * scale_x),
        bottom=round(bottom * scale_y),
    )
    if region.is_empty or region.size.num_pixels > _MAX_PIXELS:
        raise ShardError(f"sample {key!r}: its plan shows nothing of the image")
    return region


def restore(plan: Plan, views: Sequence[Pixels], *, key: str) -> Pixels:
    """Return the picture that the views make up, (H, W, 3), as large as in the original.

    Args:
        plan: One whose views can be stitched.
        views: Every view's pixels, in the plan's order; the thumbnail's are not looked at.
        key: The sample's, for messages.

    Raises:
        ShardError: the views are not of the plan's sizes.
    """
    try:
        picture = stitch(plan, views)
        region = shown_region(plan, key).size
    except (UsageError, ValueError, IndexError) as error:
        raise ShardError(f"sample {key!r}: its views are not those of its plan: {error}") from error
    if picture.shape[:2] == (region.height, region.width):
        return picture
    image = Image.fromarray(picture)
    resized = image.resize((region.width, region.height), Image.Resampling.BICUBIC)
    return np.asarray(resized)
