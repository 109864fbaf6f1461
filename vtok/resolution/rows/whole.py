"""Models that read the image as one view, or as the whole and a few crops of the original."""

from functools import partial

from vtok.records import Grid, Size
from vtok.resolution.options import SchemeOptions, known, require
from vtok.resolution.policies.crops import PanAndScan, Quarters, Slices
from vtok.resolution.policies.cutters import Cutter, WholeCutter
from vtok.resolution.policies.frames import Squash
from vtok.resolution.policies.grids import AreaThenLogAspect
from vtok.resolution.policies.layouts import (
    NEWLINE,
    Layout,
    Mark,
    PanAndScanText,
    Plain,
    Rows,
    Tiled,
)
from vtok.resolution.policies.native import (
    FillBudget,
    FitWithin,
    HoldSides,
    LimitLongSide,
    ReducedAndPadded,
    ShrinkAndPad,
    SmartResize,
)
from vtok.resolution.rows.row import Row, square


def _qwen(options: SchemeOptions) -> tuple[Cutter, Layout]:
    cell = 2 * known(options.patch_px)
    frame = SmartResize(cell, known(options.min_pixels), known(options.max_pixels))
    return WholeCutter(frame, cell), Plain("<|image_pad|>")


def _pixtral(options: SchemeOptions, *, merge: int) -> tuple[Cutter, Layout]:
    cell = merge * known(options.patch_px)
    cutter = WholeCutter(LimitLongSide(known(options.long_side_px), cell), cell)
    return cutter, Rows("[IMG]", Mark("[IMG_BREAK]"), Mark("[IMG_END]"))


def _siglip2(options: SchemeOptions) -> tuple[Cutter, Layout]:
    patch = known(options.patch_px)
    return WholeCutter(FillBudget(patch, known(options.max_tokens)), patch), Plain("<patch>")


def _kimi(options: SchemeOptions) -> tuple[Cutter, Layout]:
    patch = known(options.patch_px)
    frame = ShrinkAndPad(patch, 2 * patch, known(options.max_patches), 512)
    return WholeCutter(frame, 2 * patch), Plain("<|media_pad|>")


def _kimi_vl(options: SchemeOptions) -> tuple[Cutter, Layout]:
    patch = known(options.patch_px)
    frame = ReducedAndPadded(patch, 2 * patch, known(options.max_patches), 512)
    return WholeCutter(frame, 2 * patch), Plain("<|media_pad|>")


def _fuyu(options: SchemeOptions) -> tuple[Cutter, Layout]:
    patch = known(options.patch_px)
    page = Size(height=1080, width=1920)
    require(
        page.height % patch == 0 and page.width % patch == 0,
        f"patch_px {patch} does not divide the page of {page}",
    )
    layout = Rows("|SPEAKER|", Mark("|NEWLINE|"), closing=(Mark("<s>"),))
    return WholeCutter(FitWithin(page, patch), patch), layout


def _gemma_tokens(options: SchemeOptions) -> int:
    tile, patch = known(options.tile_size_px), known(options.patch_px)
    require(
        tile % (4 * patch) == 0,
        f"tile_size_px {tile} must be a multiple of four patches of {patch} px",
    )
    return tile // (4 * patch)


def _gemma3(options: SchemeOptions) -> tuple[Cutter, Layout]:
    _gemma_tokens(options)
    frame = Squash(square(known(options.tile_size_px)), "bilinear")
    return WholeCutter(frame, 4 * known(options.patch_px)), PanAndScanText()


def _gemma3_pan_and_scan(options: SchemeOptions) -> tuple[Cutter, Layout]:
    per_side = _gemma_tokens(options)
    tokens = Grid(rows=per_side, cols=per_side)
    cutter = PanAndScan(known(options.tile_size_px), tokens, known(options.max_tiles))
    return cutter, PanAndScanText()


_FAKE = Mark("<fake_token_around_image>")
_IDEFICS2 = Tiled(token="<image>", tile_before=(_FAKE,), whole_before=(_FAKE,), closing=(_FAKE,))
_IDEFICS2_TOKENS = 64


def _idefics2(options: SchemeOptions) -> tuple[Cutter, Layout]:
    sides = HoldSides(378, known(options.long_side_px))
    return WholeCutter(sides, num_tokens=_IDEFICS2_TOKENS), _IDEFICS2


def _idefics2_split(options: SchemeOptions) -> tuple[Cutter, Layout]:
    sides = HoldSides(378, known(options.long_side_px))
    return Quarters(sides, _IDEFICS2_TOKENS), _IDEFICS2


_MINICPM = Tiled(
    token="<unk>",
    whole_before=(Mark("<image>"),),
    whole_after=(Mark("</image>"),),
    tile_before=(Mark("<slice>"),),
    tile_after=(Mark("</slice>"),),
    between_rows=(NEWLINE,),
)


def _minicpm(options: SchemeOptions) -> tuple[Cutter, Layout]:
    grids = AreaThenLogAspect(known(options.max_tiles), known(options.tile_size_px))
    patch = known(options.patch_px)
    return Slices(grids, known(options.tile_size_px), patch, num_tokens=64), _MINICPM


def _minicpm46(options: SchemeOptions, *, merge: int) -> tuple[Cutter, Layout]:
    grids = AreaThenLogAspect(known(options.max_tiles), known(options.tile_size_px), more_rows=True)
    cell = merge * known(options.patch_px)
    return Slices(grids, known(options.tile_size_px), cell, cell), _MINICPM


_QWEN_SOURCE = (
    "transformers qwen2_vl smart_resize; the chat template adds <|vision_start|> and <|vision_end|>"
)
_MINICPM_NOTE = "without the optional <image_id> prefix"

ROWS = (
    Row(
        name="qwen2.5-vl",
        summary="native ratio, sides rounded to 28 px, 3136 to 12845056 pixels",
        source=f"{_QWEN_SOURCE}; Qwen2-VL and Qwen2.5-VL checkpoints",
        defaults=SchemeOptions(patch_px=14, min_pixels=3136, max_pixels=12845056),
        build=_qwen,
        aliases=("qwen2-vl", "qwen2.5"),
    ),
    Row(
        name="qwen2-vl-default",
        summary="the same with the processor class's own limit of 1003520 pixels",
        source=_QWEN_SOURCE,
        defaults=SchemeOptions(patch_px=14, min_pixels=3136, max_pixels=1003520),
        build=_qwen,
    ),
    Row(
        name="qwen3-vl",
        summary="native ratio, sides rounded to 32 px, 65536 to 16777216 pixels",
        source=f"{_QWEN_SOURCE}; Qwen3-VL checkpoints",
        defaults=SchemeOptions(patch_px=16, min_pixels=65536, max_pixels=16777216),
        build=_qwen,
        aliases=("qwen3",),
    ),
    Row(
        name="idefics2",
        summary="one view, long side at most 980 px, 64 tokens",
        source="transformers idefics2 without image splitting",
        defaults=SchemeOptions(long_side_px=980),
        build=_idefics2,
    ),
    Row(
        name="idefics2-split",
        summary="four quarters and the original last, 64 tokens each",
        source="transformers idefics2 with image splitting",
        defaults=SchemeOptions(long_side_px=980),
        build=_idefics2_split,
        note="a quarter of no width is a blank view, as in the transformers processor",
    ),
    Row(
        name="minicpm-v",
        summary="the whole first, then up to nine slices of nearest log ratio, 64 tokens each",
        source="OpenBMB/MiniCPM-V slice_image (MiniCPM-V 2.6 to 4.5, MiniCPM-o 2.6)",
        defaults=SchemeOptions(tile_size_px=448, patch_px=14, max_tiles=9),
        build=_minicpm,
        aliases=(
            "minicpm-v-2.6",
            "minicpm-v-4",
            "minicpm-v-4.5",
            "minicpm-o",
            "minicpm-o-2.6",
            "minicpm",
        ),
        note=_MINICPM_NOTE,
    ),
    Row(
        name="minicpm-v-4.6",
        summary="the same with slices of whole 56 px cells, a token each (16x)",
        source="transformers minicpmv4_6, downsample_mode 16x",
        defaults=SchemeOptions(tile_size_px=448, patch_px=14, max_tiles=9),
        build=partial(_minicpm46, merge=4),
        aliases=("minicpm-v-4.6-16x",),
        note=_MINICPM_NOTE,
    ),
    Row(
        name="minicpm-v-4.6-4x",
        summary="the same with 28 px cells (4x)",
        source="transformers minicpmv4_6, downsample_mode 4x",
        defaults=SchemeOptions(tile_size_px=448, patch_px=14, max_tiles=9),
        build=partial(_minicpm46, merge=2),
        note=_MINICPM_NOTE,
    ),
    Row(
        name="pixtral",
        summary="native ratio, long side at most 1024 px, up to whole 16 px patches",
        source="transformers pixtral (Pixtral-12B)",
        defaults=SchemeOptions(patch_px=16, long_side_px=1024),
        build=partial(_pixtral, merge=1),
    ),
    Row(
        name="mistral-small",
        summary="native ratio, long side at most 1540 px, up to whole 28 px cells",
        source="transformers pixtral (Mistral-Small-3.1)",
        defaults=SchemeOptions(patch_px=14, long_side_px=1540),
        build=partial(_pixtral, merge=2),
        aliases=("mistral-small-3.1", "mistral-small-3.2", "mistral3", "mistral"),
    ),
    Row(
        name="gemma3",
        summary="one squash to 896 px, 256 tokens",
        source="transformers gemma3",
        defaults=SchemeOptions(tile_size_px=896, patch_px=14),
        build=_gemma3,
    ),
    Row(
        name="gemma3-pan-and-scan",
        summary="the squash first, then two to four crops along the long side",
        source="transformers gemma3 with do_pan_and_scan",
        defaults=SchemeOptions(tile_size_px=896, patch_px=14, max_tiles=4),
        build=_gemma3_pan_and_scan,
        aliases=("gemma3-pas",),
        note="words of the sentence around the crops are counted as one token each",
    ),
    Row(
        name="siglip2",
        summary="NaFlex: native ratio, scaled to fill a budget of 256 patches",
        source="google-research/big_vision ops_naflex; transformers siglip2",
        defaults=SchemeOptions(patch_px=16, max_tokens=256),
        build=_siglip2,
        aliases=("siglip2-naflex", "naflex", "siglip2-so400m-patch16-naflex"),
        note="batches are padded to max_tokens with a mask",
    ),
    Row(
        name="kimi-k2.5",
        summary="NaViT: native ratio, reduced to 16384 patches, black to whole 28 px cells",
        source="transformers kimi_k25 navit_resize",
        defaults=SchemeOptions(patch_px=14, max_patches=16384),
        build=_kimi,
        aliases=("kimi", "kimi-navit"),
        note="sizes and tokens are exact; pixels are Pillow's, the reference resizes tensors",
    ),
    Row(
        name="kimi-vl",
        summary="MoonViT: native ratio, reduced to 4096 patches, black to whole 28 px cells",
        source="moonshotai/Kimi-VL-A3B image_processing_kimi_vl.py (in_token_limit of the Instruct "
        "checkpoint)",
        defaults=SchemeOptions(patch_px=14, max_patches=4096),
        build=_kimi_vl,
        aliases=("moonvit", "kimi-vl-a3b-thinking"),
        note="Kimi-VL-A3B-Thinking-2506 takes --max-patches 16384",
    ),
    Row(
        name="fuyu",
        summary="reduced to fit 1920x1080, the 30 px patches in use, a newline a row",
        source="transformers fuyu (fuyu-8b)",
        defaults=SchemeOptions(patch_px=30),
        build=_fuyu,
    ),
)
