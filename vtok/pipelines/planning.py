"""`vtok.plan`: what becomes of an image of some size, from integers alone.

In: a size, a scheme's name, and the scheme's options as keywords. Out: a `Plan`. Opens no image,
loads no model.
"""

from typing import TypedDict, Unpack

from vtok.records import Size
from vtok.resolution import Plan, SchemeOptions, resolve
from vtok.resolution.options import Align, Filter


class PlanOptions(TypedDict, total=False):
    """The keywords of `plan`: the fields of `SchemeOptions`, where they are explained."""

    tile_size_px: int
    max_tiles: int
    min_tiles: int
    thumbnail: bool
    patch_px: int
    max_tokens: int
    max_patches: int
    min_pixels: int
    max_pixels: int
    long_side_px: int
    short_side_px: int
    overlap_px: int
    alignment_px: int
    align: Align
    resample: Filter
    size_px: int
    crops: int
    seed: int
    flip: bool
    crop_range: float
    min_crop_scale: float


def plan(
    *, width: int, height: int, scheme: str = "closest", **options: Unpack[PlanOptions]
) -> Plan:
    """Return views, boxes and token counts of an image of this size.

    Args:
        width: In pixels, after the image's EXIF orientation.
        height: Likewise.
        scheme: Name of a scheme: `closest`, `native`, `llava-next`, ...
        **options: Overrides of the scheme's own numbers, as in `SchemeOptions`.

    Raises:
        UnknownNameError: no scheme is called so; the message names the nearest.
        UsageError: the scheme does not have an option, or it cannot be what it is.
        DegenerateSizeError: the scheme cannot cut this size.
        ValueError: a side is below 1.
    """
    return resolve(scheme, SchemeOptions(**options)).plan(Size(height=height, width=width))
