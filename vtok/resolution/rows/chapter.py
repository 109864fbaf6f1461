"""The schemes that belong to no published model: closest, squash, navit, native."""

from vtok.records import Grid
from vtok.resolution.options import SchemeOptions, known, require
from vtok.resolution.policies.aspects import ClosestAspect
from vtok.resolution.policies.crops import FloorCrops
from vtok.resolution.policies.cutters import Cutter, WholeCutter
from vtok.resolution.policies.frames import CentreCrop, FloorPatches, Native, Squash
from vtok.resolution.policies.layouts import Layout, Plain
from vtok.resolution.rows.row import Row, square


def _tokens(options: SchemeOptions) -> Grid:
    """Return the whole patches of a tile; SigLIP's 384 px are 27 of 14, and 6 px that none sees."""
    tile, patch = known(options.tile_size_px), known(options.patch_px)
    require(
        patch <= tile, f"patch_px {patch} is larger than tile_size_px {tile}: choose a smaller one"
    )
    return Grid(rows=tile // patch, cols=tile // patch)


def _closest(options: SchemeOptions) -> tuple[Cutter, Layout]:
    grids = ClosestAspect(known(options.max_tiles), known(options.min_tiles))
    tile = square(known(options.tile_size_px))
    overlap = known(options.overlap_px)
    cutter = FloorCrops(grids, tile, _tokens(options), known(options.thumbnail), overlap)
    return cutter, Plain()


def _squash(options: SchemeOptions) -> tuple[Cutter, Layout]:
    _tokens(options)
    frame = Squash(square(known(options.tile_size_px)), options.resample or "bicubic")
    return WholeCutter(frame, known(options.patch_px)), Plain()


def _centre_crop(options: SchemeOptions) -> tuple[Cutter, Layout]:
    _tokens(options)
    side = known(options.tile_size_px)
    short = options.short_side_px or side
    require(
        short >= side, f"short_side_px {short} is below tile_size_px {side}, which is cut out of it"
    )
    frame = CentreCrop(short, side, options.resample or "bicubic")
    return WholeCutter(frame, known(options.patch_px)), Plain()


def _navit(options: SchemeOptions) -> tuple[Cutter, Layout]:
    patch = known(options.patch_px)
    return WholeCutter(FloorPatches(patch, known(options.max_tokens)), patch), Plain()


def _native(options: SchemeOptions) -> tuple[Cutter, Layout]:
    alignment = known(options.alignment_px)
    patch = options.patch_px or alignment
    require(alignment % patch == 0, f"patch_px {patch} does not divide alignment_px {alignment}")
    frame = Native(alignment, known(options.align), options.max_pixels)
    return WholeCutter(frame, patch), Plain()


ROWS = (
    Row(
        name="closest",
        summary="grid of nearest aspect, tiles cropped from the original, thumbnail last",
        source="the nearest-aspect grid of dynamic high-resolution processors; the thumbnail is "
        "there for a 1x1 grid too, so that a grid of n tiles is always n + 1 views",
        defaults=SchemeOptions(
            tile_size_px=336, patch_px=14, min_tiles=1, max_tiles=6, thumbnail=True, overlap_px=0
        ),
        build=_closest,
        aliases=("closest-aspect",),
    ),
    Row(
        name="squash",
        summary="the whole image resized to one square, whatever its aspect",
        source="ViT (arXiv 2010.11929); CLIP at 336 px with patches of 14",
        defaults=SchemeOptions(tile_size_px=336, patch_px=14),
        build=_squash,
        optional=frozenset({"resample"}),
        aliases=("resize", "clip"),
    ),
    Row(
        name="centre-crop",
        summary="the short side to a length, then a square of the centre",
        source="the ImageNet evaluation transform; transformers' CLIP and DINOv2 processors",
        defaults=SchemeOptions(tile_size_px=224, patch_px=14),
        build=_centre_crop,
        optional=frozenset({"short_side_px", "resample"}),
        aliases=("center-crop",),
    ),
    Row(
        name="navit",
        summary="native ratio: whole patches, scaled down when over the token budget",
        source="NaViT (arXiv 2307.06304)",
        defaults=SchemeOptions(patch_px=14, max_tokens=1024),
        build=_navit,
    ),
    Row(
        name="native",
        summary="the image's own pixels, sides padded or cropped to a multiple",
        source="how fully convolutional tokenizers are fed",
        defaults=SchemeOptions(alignment_px=8, align="pad"),
        build=_native,
        optional=frozenset({"patch_px", "max_pixels"}),
        aliases=("none", "original"),
    ),
)
