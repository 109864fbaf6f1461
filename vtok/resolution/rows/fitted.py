"""Models that fit an image into a grid's canvas and pad: LLaVA, Llama, Phi, DeepSeek-VL2, Molmo."""

from vtok.records import Grid
from vtok.resolution.options import SchemeOptions, known, require
from vtok.resolution.policies.aspects import ClosestAspectByArea
from vtok.resolution.policies.cutters import CanvasCutter, Cutter, Overview
from vtok.resolution.policies.features import JointRows, MaskedRows, PooledRows, Unpadded
from vtok.resolution.policies.fits import (
    CeilCentred,
    ClippedFit,
    ClippedFitMixed,
    Fit,
    FloorCorner,
    LongSideCentred,
    RoundCentred,
    SingleCentred,
    SquashFit,
)
from vtok.resolution.policies.grids import CeilTiles, LargestFitting
from vtok.resolution.policies.layouts import CrossAttended, Layout, Mark, Tiled
from vtok.resolution.policies.placements import Gridded
from vtok.resolution.policies.scales import BestResolution, LeastUpscale
from vtok.resolution.rows.row import Row, merged

_GREY = (127, 127, 127)
_TORCHVISION = (
    "sizes and tokens are exact; pixels are Pillow's, the reference resizes tensors and may "
    "differ by a few levels"
)


def _grids(*rows_cols: tuple[int, int]) -> tuple[Grid, ...]:
    return tuple(Grid(rows=rows, cols=cols) for rows, cols in rows_cols)


# The order of image_grid_pinpoints and candidate_resolutions in the checkpoints decides ties.
_LLAVA_NEXT = _grids((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))
_ONEVISION = _grids(*((rows, cols) for rows in range(1, 7) for cols in range(1, 7)))
_DEEPSEEK_VL2 = _grids(
    *((1, 1), (2, 1), (1, 2), (3, 1), (1, 3), (4, 1), (1, 4), (2, 2), (5, 1), (1, 5), (6, 1)),
    *((1, 6), (3, 2), (2, 3), (7, 1), (1, 7), (8, 1), (1, 8), (4, 2), (2, 4), (9, 1), (1, 9)),
    (3, 3),
)


def _anyres(
    options: SchemeOptions, grids: tuple[Grid, ...], max_tiles: int | None
) -> tuple[Cutter, Layout]:
    tile = known(options.tile_size_px)
    tokens = merged(tile, known(options.patch_px))
    placer = Gridded(BestResolution(grids, tile), CeilCentred(), tile)
    overview = Overview("first", "always", "original", tile, tokens)
    return CanvasCutter(placer, tokens, overview), Unpadded("<image>", max_tiles)


def _llava_next(options: SchemeOptions) -> tuple[Cutter, Layout]:
    return _anyres(options, _LLAVA_NEXT, None)


def _llava_onevision(options: SchemeOptions) -> tuple[Cutter, Layout]:
    return _anyres(options, _ONEVISION, 9)


def _deepseek_vl2(options: SchemeOptions) -> tuple[Cutter, Layout]:
    tile, patch = known(options.tile_size_px), known(options.patch_px)
    per_side = -(-(tile // patch) // 2)
    tokens = Grid(rows=per_side, cols=per_side)
    fit = RoundCentred(_GREY)
    placer = Gridded(BestResolution(_DEEPSEEK_VL2, tile), fit, tile)
    overview = Overview("first", "always", "fitted", tile, tokens, fit=fit)
    return CanvasCutter(placer, tokens, overview), JointRows()


def _mllama(options: SchemeOptions) -> tuple[Cutter, Layout]:
    tile, max_tiles = known(options.tile_size_px), known(options.max_tiles)
    placer = Gridded(LeastUpscale(max_tiles, tile), ClippedFit(tile), tile)
    patches = merged(tile, known(options.patch_px))
    layout = CrossAttended("<|image|>", max_tiles)
    return CanvasCutter(placer, patches, class_token=True), layout


_LLAMA4 = Tiled(
    token="<|patch|>",
    opening=(Mark("<|image_start|>"),),
    between_cols=(Mark("<|tile_x_separator|>"),),
    between_rows=(Mark("<|tile_y_separator|>"),),
    between_parts=(Mark("<|tile_y_separator|>"),),
    whole_before=(Mark("<|image|>"),),
    closing=(Mark("<|image_end|>"),),
)


def _llama4(options: SchemeOptions) -> tuple[Cutter, Layout]:
    tile, max_tiles = known(options.tile_size_px), known(options.max_tiles)
    tokens = merged(tile, known(options.patch_px), 2)
    grids = LeastUpscale(max_tiles, tile, single_precision=True)
    overview = Overview("last", "tiled", "original", tile, tokens, "bilinear")
    return CanvasCutter(Gridded(grids, ClippedFitMixed(tile), tile), tokens, overview), _LLAMA4


def _phi3(options: SchemeOptions) -> tuple[Cutter, Layout]:
    tile = known(options.tile_size_px)
    tokens = merged(tile, known(options.patch_px), 2)
    placer = Gridded(LargestFitting(known(options.max_tiles), tile), LongSideCentred(), tile)
    overview = Overview("last", "always", "canvas", tile, tokens)
    return CanvasCutter(placer, tokens, overview), JointRows("<|image|>")


def _phi4(options: SchemeOptions) -> tuple[Cutter, Layout]:
    tile, patch, most = (
        known(options.tile_size_px),
        known(options.patch_px),
        known(options.max_tiles),
    )
    require(
        tile % (2 * patch) == 0,
        f"tile_size_px {tile} must be a multiple of two patches of {patch} px",
    )
    tokens = merged(tile, patch, 2)
    grids = CeilTiles(tile, most, ClosestAspectByArea(most, tile))
    overview = Overview("first", "always", "canvas", tile, tokens)
    cutter = CanvasCutter(Gridded(grids, FloorCorner(), tile), tokens, overview)
    return cutter, MaskedRows(patch)


# Molmo's tiles repeat four patches on either side.
_MARGIN_PATCHES = 8


def _molmo_tiles(
    options: SchemeOptions, fit: Fit, overview_fit: Fit | None, start: str
) -> tuple[Cutter, Layout]:
    tile, patch = known(options.tile_size_px), known(options.patch_px)
    margin = _MARGIN_PATCHES * patch
    require(
        tile % patch == 0 and tile > margin,
        f"tile_size_px {tile} must be a multiple of patch_px {patch} and more than {margin}",
    )
    grids = LeastUpscale(known(options.max_tiles), tile - margin, margin, single_precision=True)
    per_side = -(-tile // (2 * patch))
    tokens = Grid(rows=per_side, cols=per_side)
    overview = Overview(
        "first",
        "always",
        "fitted" if overview_fit else "original",
        tile,
        tokens,
        "bilinear",
        overview_fit,
    )
    cutter = CanvasCutter(Gridded(grids, fit, tile, margin), tokens, overview)
    return cutter, PooledRows(2 * patch, start)


def _molmo(options: SchemeOptions) -> tuple[Cutter, Layout]:
    return _molmo_tiles(options, SingleCentred(), SingleCentred(), "<im_start>")


def _molmo2(options: SchemeOptions) -> tuple[Cutter, Layout]:
    return _molmo_tiles(options, SquashFit("bilinear"), None, "<low_res_im_start>")


ROWS = (
    Row(
        name="llava-next",
        summary="anyres: one of five grids of 336 px tiles, padding taken out, whole first",
        source="transformers llava_next (LLaVA-NeXT, llava-v1.6)",
        defaults=SchemeOptions(tile_size_px=336, patch_px=14),
        build=_llava_next,
        aliases=("llava-1.6", "llava-v1.6", "anyres", "llava-next-anyres", "llava-v1.6-mistral"),
    ),
    Row(
        name="llava-onevision",
        summary="anyres_max_9: up to 6x6 grids of 384 px tiles, shrunk to about nine tiles' tokens",
        source="transformers llava_onevision",
        defaults=SchemeOptions(tile_size_px=384, patch_px=14),
        build=_llava_onevision,
        aliases=("llava-ov", "onevision", "anyres-max-9"),
    ),
    Row(
        name="deepseek-vl2",
        summary="one of 23 grids of 384 px tiles, centred on grey, whole first",
        source="deepseek-ai/DeepSeek-VL2 processing_deepseek_vl_v2.py (up to two images)",
        defaults=SchemeOptions(tile_size_px=384, patch_px=14),
        build=_deepseek_vl2,
        note="an image that scales to less than half a pixel leaves the canvas blank, as upstream",
        aliases=("deepseek-vl2-tiny", "deepseek-vl2-small"),
    ),
    Row(
        name="llama-3.2-vision",
        summary="up to four 560 px tiles, black below and right, read by cross-attention",
        source="transformers mllama (Llama-3.2-11B-Vision, Llama-3.2-90B-Vision)",
        defaults=SchemeOptions(tile_size_px=560, patch_px=14, max_tiles=4),
        build=_mllama,
        aliases=("mllama", "llama-3.2", "llama-3.2-11b-vision", "llama-3.2-90b-vision"),
    ),
    Row(
        name="llama-4",
        summary="up to 16 tiles of 336 px, black below and right, thumbnail last if tiled",
        source="transformers llama4 (Scout, Maverick)",
        defaults=SchemeOptions(tile_size_px=336, patch_px=14, max_tiles=16),
        build=_llama4,
        aliases=("llama-4-scout", "llama-4-maverick"),
        note=_TORCHVISION,
    ),
    Row(
        name="phi-3.5-vision",
        summary="as many 336 px tiles as fit the ratio, white above and below, thumbnail last",
        source="microsoft/Phi-3.5-vision-instruct processing_phi3_v.py; vLLM phi3v",
        defaults=SchemeOptions(tile_size_px=336, patch_px=14, max_tiles=16),
        build=_phi3,
        aliases=("phi-3.5", "phi-3-vision", "phi3v"),
        note=_TORCHVISION,
    ),
    Row(
        name="phi-4-multimodal",
        summary="448 px tiles that cover the image (up to 36), white below and right, whole first",
        source="transformers phi4_multimodal",
        defaults=SchemeOptions(tile_size_px=448, patch_px=14, max_tiles=36),
        build=_phi4,
        aliases=("phi-4", "phi4mm"),
        note=_TORCHVISION,
    ),
    Row(
        name="molmo",
        summary="overlapping 336 px tiles (up to 12) centred on black, whole first",
        source="allenai/molmo olmo/data/model_preprocessor.py",
        defaults=SchemeOptions(tile_size_px=336, patch_px=14, max_tiles=12),
        build=_molmo,
        aliases=("molmo1", "molmo-7b-d", "molmo-7b-o"),
        note=_TORCHVISION,
    ),
    Row(
        name="molmo2",
        summary="overlapping 378 px tiles (up to 8), squashed, whole first",
        source="transformers molmo2",
        defaults=SchemeOptions(tile_size_px=378, patch_px=14, max_tiles=8),
        build=_molmo2,
        note=_TORCHVISION,
    ),
)
