"""Models that squash an image to a grid of tiles and cut it: InternVL and its relatives."""

from functools import partial

from vtok.records import Grid
from vtok.resolution.options import SchemeOptions, known, require
from vtok.resolution.policies.aspects import ClosestAspectByArea
from vtok.resolution.policies.covering import FewestCovering
from vtok.resolution.policies.cutters import CanvasCutter, Cutter, Overview, WholeCutter
from vtok.resolution.policies.fits import Letterboxed, SquashFit
from vtok.resolution.policies.frames import Squash
from vtok.resolution.policies.grids import GridPolicy, OnlyAbove
from vtok.resolution.policies.layouts import NEWLINE, Layout, Mark, Plain, Tiled
from vtok.resolution.policies.placements import Gridded, LongSideTiles
from vtok.resolution.policies.scales import LeastUpscale
from vtok.resolution.rows.row import Row, merged, square

_GREY = (127, 127, 127)


def _closest(options: SchemeOptions) -> GridPolicy:
    return ClosestAspectByArea(
        known(options.max_tiles), known(options.tile_size_px), known(options.min_tiles)
    )


def _least_upscale(options: SchemeOptions) -> GridPolicy:
    return LeastUpscale(known(options.max_tiles), known(options.tile_size_px))


def _covering(options: SchemeOptions) -> GridPolicy:
    return FewestCovering(known(options.max_tiles), known(options.tile_size_px))


def _squashed_tiles(
    options: SchemeOptions, grids: GridPolicy, *, merge: int, whole_first: bool = False
) -> CanvasCutter:
    tile, overlap = known(options.tile_size_px), known(options.overlap_px)
    require(overlap < tile, f"overlap_px {overlap} must be less than tile_size_px {tile}")
    tokens = merged(tile, known(options.patch_px), merge)
    overview = None
    if options.thumbnail:
        overview = Overview("first" if whole_first else "last", "tiled", "original", tile, tokens)
    return CanvasCutter(Gridded(grids, SquashFit(), tile, overlap), tokens, overview)


def _internvl(options: SchemeOptions) -> tuple[Cutter, Layout]:
    cutter = _squashed_tiles(options, _closest(options), merge=2)
    return cutter, Plain("<IMG_CONTEXT>", (Mark("<img>"),), (Mark("</img>"),))


def _got_ocr2_crop(options: SchemeOptions) -> tuple[Cutter, Layout]:
    return _squashed_tiles(options, _closest(options), merge=4), Plain("<imgpad>")


def _got_ocr2(options: SchemeOptions) -> tuple[Cutter, Layout]:
    tile, patch = known(options.tile_size_px), known(options.patch_px)
    cutter = WholeCutter(Squash(square(tile)), patch * 4)
    return cutter, Plain("<imgpad>")


_AYA = Tiled(
    token="<|IMG_PATCH|>",
    opening=(Mark("<|START_OF_IMG|>"),),
    tile_before=(Mark("TILE_{index}"),),
    whole_before=(Mark("TILE_GLOBAL"),),
    closing=(Mark("<|END_OF_IMG|>"),),
)
_COHERE = Tiled(
    token="<|IMG_PATCH|>",
    opening=(Mark("<|START_OF_IMG|>"),),
    tile_after=(Mark("<|IMG_LINE_BREAK|>"),),
    whole_after=(Mark("<|IMG_LINE_BREAK|>"),),
    closing=(Mark("<|END_OF_IMG|>"),),
)
_OVIS = Tiled(
    token="<IMG_ATOM>",
    opening=(Mark("<IMG_START>"),),
    whole_after=(Mark("<IMG_GRID>"),),
    between_cols=(Mark("<IMG_COL>"),),
    between_rows=(Mark("<IMG_ROW>"),),
    closing=(Mark("<IMG_END>"),),
)
_FAKE = Mark("<fake_token_around_image>")
_IDEFICS3 = Tiled(
    token="<image>",
    tile_before=(_FAKE, Mark("<row_{row}_col_{col}>")),
    between_rows=(NEWLINE,),
    # The tokenizer has one token for the last row's line break and the one before the whole.
    between_parts=(Mark("\n\n", "text"),),
    whole_before=(_FAKE, Mark("<global-img>")),
    closing=(_FAKE,),
)


def _aya(options: SchemeOptions) -> tuple[Cutter, Layout]:
    return _squashed_tiles(options, _closest(options), merge=2), _AYA


def _cohere(options: SchemeOptions) -> tuple[Cutter, Layout]:
    return _squashed_tiles(options, _least_upscale(options), merge=2), _COHERE


def _ovis2(options: SchemeOptions) -> tuple[Cutter, Layout]:
    return _squashed_tiles(options, _covering(options), merge=2, whole_first=True), _OVIS


def _deepseek_ocr2(options: SchemeOptions) -> tuple[Cutter, Layout]:
    tile, patch = known(options.tile_size_px), known(options.patch_px)
    whole_px = known(options.long_side_px)
    grids = OnlyAbove(tile, _closest(options))
    whole = Overview(
        "last",
        "always",
        "fitted",
        whole_px,
        _ceil_merged(whole_px, patch, 4),
        fit=Letterboxed(_GREY),
    )
    cutter = CanvasCutter(Gridded(grids, SquashFit(), tile), _ceil_merged(tile, patch, 4), whole)
    return cutter, Plain("<image>", closing=(Mark("<image>", "image"),))


def _ceil_merged(side_px: int, patch_px: int, merge: int) -> Grid:
    tokens = -(-side_px // (patch_px * merge))
    return Grid(rows=tokens, cols=tokens)


def _idefics3(options: SchemeOptions, *, merge: int) -> tuple[Cutter, Layout]:
    tile = known(options.tile_size_px)
    tokens = merged(tile, known(options.patch_px), merge)
    overview = Overview("last", "always", "canvas", tile, tokens, "lanczos")
    placer = LongSideTiles(tile, known(options.long_side_px))
    return CanvasCutter(placer, tokens, overview), _IDEFICS3


ROWS = (
    Row(
        name="internvl",
        summary="grid of nearest aspect (larger of equals), squashed, thumbnail last if tiled",
        source="OpenGVLab/InternVL dynamic_preprocess; transformers got_ocr2 and internvl",
        defaults=SchemeOptions(
            tile_size_px=448, patch_px=14, min_tiles=1, max_tiles=12, thumbnail=True, overlap_px=0
        ),
        build=_internvl,
        aliases=("internvl2", "internvl2.5", "internvl3", "internvl3.5"),
    ),
    Row(
        name="got-ocr2",
        summary="one squash to 1024 px, 256 tokens",
        source="transformers got_ocr2 without cropping (stepfun-ai/GOT-OCR-2.0-hf)",
        defaults=SchemeOptions(tile_size_px=1024, patch_px=16),
        build=_got_ocr2,
        aliases=("got-ocr", "got-ocr2.0"),
    ),
    Row(
        name="got-ocr2-crop",
        summary="InternVL's grid of 1024 px tiles, 256 tokens each",
        source="transformers got_ocr2 with crop_to_patches",
        defaults=SchemeOptions(
            tile_size_px=1024, patch_px=16, min_tiles=1, max_tiles=12, thumbnail=True, overlap_px=0
        ),
        build=_got_ocr2_crop,
        aliases=("got-ocr2-multi-crop",),
    ),
    Row(
        name="aya-vision",
        summary="InternVL's grid of 364 px tiles, each named by a token",
        source="transformers aya_vision (CohereForAI/aya-vision-8b)",
        defaults=SchemeOptions(
            tile_size_px=364, patch_px=14, min_tiles=1, max_tiles=12, thumbnail=True, overlap_px=0
        ),
        build=_aya,
        aliases=("aya",),
    ),
    Row(
        name="cohere2-vision",
        summary="grid of least enlargement, 512 px tiles, thumbnail last if tiled",
        source="transformers cohere2_vision (Command A Vision)",
        defaults=SchemeOptions(
            tile_size_px=512, patch_px=16, max_tiles=12, thumbnail=True, overlap_px=0
        ),
        build=_cohere,
        aliases=("cohere", "command-a-vision", "cohere-vision"),
    ),
    Row(
        name="ovis2",
        summary="fewest tiles that cover 90 % of the image, thumbnail first if tiled",
        source="transformers ovis2 (AIDC-AI/Ovis2)",
        defaults=SchemeOptions(
            tile_size_px=448, patch_px=14, max_tiles=9, thumbnail=True, overlap_px=0
        ),
        build=_ovis2,
        aliases=("ovis",),
        note="follows the transformers processor, which measures rows x cols and cuts cols x rows",
    ),
    Row(
        name="deepseek-ocr2",
        summary="InternVL's grid (2 to 6 of 768 px) above 768 px, letterboxed 1024 px view last",
        source="transformers deepseek_ocr2",
        defaults=SchemeOptions(
            tile_size_px=768, patch_px=16, min_tiles=2, max_tiles=6, long_side_px=1024
        ),
        build=_deepseek_ocr2,
    ),
    Row(
        name="idefics3",
        summary="long side to 1456 px, up to whole 364 px tiles, thumbnail last",
        source="transformers idefics3 (HuggingFaceM4/Idefics3-8B-Llama3)",
        defaults=SchemeOptions(tile_size_px=364, patch_px=14, long_side_px=1456),
        build=partial(_idefics3, merge=2),
    ),
    Row(
        name="smolvlm",
        summary="Idefics3's rule with 384 px tiles of 81 tokens",
        source="transformers smolvlm (SmolVLM-Instruct 2.2B)",
        defaults=SchemeOptions(tile_size_px=384, patch_px=14, long_side_px=1536),
        build=partial(_idefics3, merge=3),
        aliases=("smolvlm2-2.2b",),
    ),
    Row(
        name="smolvlm2",
        summary="Idefics3's rule with 512 px tiles of 64 tokens",
        source="transformers smolvlm (SmolVLM-256M, SmolVLM-500M, SmolVLM2)",
        defaults=SchemeOptions(tile_size_px=512, patch_px=16, long_side_px=2048),
        build=partial(_idefics3, merge=4),
        aliases=("smolvlm-256m", "smolvlm-500m"),
    ),
)
