"""The schemes that belong to no published model: closest, squash, navit, native."""

from vtok.records import Grid, Size
from vtok.resolution.options import SchemeOptions, require
from vtok.resolution.policies.cutters import CropCutter, Cutter, WholeCutter
from vtok.resolution.policies.frames import FloorPatches, Native, Squash
from vtok.resolution.policies.grids import ClosestAspect
from vtok.resolution.policies.layouts import Layout, Plain
from vtok.resolution.rows.row import Row


def tile_and_tokens(options: SchemeOptions) -> tuple[Size, Grid]:
    """Return the square tile of the options and its token grid.

    Raises:
        UsageError: the patch does not divide the tile.
    """
    tile, patch = options.tile_size_px, options.patch_px
    assert tile is not None
    assert patch is not None
    require(
        tile % patch == 0,
        f"patch_px {patch} does not divide tile_size_px {tile}: choose a multiple of the patch",
    )
    return Size(height=tile, width=tile), Grid(rows=tile // patch, cols=tile // patch)


def _closest(options: SchemeOptions) -> tuple[Cutter, Layout]:
    tile, tokens = tile_and_tokens(options)
    assert options.max_tiles is not None
    assert options.min_tiles is not None
    grids = ClosestAspect(options.max_tiles, options.min_tiles)
    cutter = CropCutter(grids, tile, tokens, bool(options.thumbnail), options.overlap_px or 0)
    return cutter, Plain()


def _squash(options: SchemeOptions) -> tuple[Cutter, Layout]:
    tile, _ = tile_and_tokens(options)
    assert options.patch_px is not None
    return WholeCutter(Squash(tile), options.patch_px), Plain()


def _navit(options: SchemeOptions) -> tuple[Cutter, Layout]:
    assert options.patch_px is not None
    assert options.max_tokens is not None
    frame = FloorPatches(options.patch_px, options.max_tokens)
    return WholeCutter(frame, options.patch_px), Plain()


def _native(options: SchemeOptions) -> tuple[Cutter, Layout]:
    alignment = options.alignment_px
    assert alignment is not None
    assert options.align is not None
    patch = options.patch_px or alignment
    require(
        alignment % patch == 0,
        f"patch_px {patch} does not divide alignment_px {alignment}",
    )
    return WholeCutter(Native(alignment, options.align, options.max_pixels), patch), Plain()


ROWS = (
    Row(
        name="closest",
        summary="grid of nearest aspect, tiles cropped from the original, thumbnail last",
        source="the nearest-aspect grid of dynamic high-resolution processors; the thumbnail is "
        "always there, for a 1x1 grid too, so that a grid of n tiles is n + 1 views",
        defaults=SchemeOptions(
            tile_size_px=336, patch_px=14, min_tiles=1, max_tiles=6, thumbnail=True, overlap_px=0
        ),
        build=_closest,
        aliases=("closest-aspect",),
    ),
    Row(
        name="squash",
        summary="the whole image resized to one square, whatever its aspect",
        source="ViT (arXiv 2010.11929), CLIP at 336 px with patches of 14",
        defaults=SchemeOptions(tile_size_px=336, patch_px=14),
        build=_squash,
        aliases=("resize", "vit"),
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
