"""Closed models: estimates after their makers' documentation, marked inexact."""

from functools import partial

from vtok.resolution.options import SchemeOptions, known
from vtok.resolution.policies.billing import (
    AreaBilling,
    CellBilling,
    PatchBilling,
    TileBilling,
    UnitBilling,
)
from vtok.resolution.policies.cutters import Cutter
from vtok.resolution.policies.features import Priced
from vtok.resolution.policies.layouts import Layout
from vtok.resolution.rows.row import Row

_OPENAI = "OpenAI, Images and vision guide"
_ANTHROPIC = "Anthropic, Vision guide"
_GEMINI = "Google, Gemini API, Image understanding"


def _estimate(source: str, detail: str = "") -> str:
    return f"estimate after {source}, as documented in 2025-2026" + (detail and f"; {detail}")


def _openai_tiles(options: SchemeOptions, *, base: int, price: int) -> tuple[Cutter, Layout]:
    return TileBilling(known(options.tile_size_px), price), Priced(base)


def _openai_low(options: SchemeOptions, *, base: int) -> tuple[Cutter, Layout]:
    # Low detail is billed the base alone, whatever the size: a view of one 512 px square.
    return TileBilling(512, 0, 512, 512), Priced(base)


def _openai_patches(options: SchemeOptions, *, multiplier: float) -> tuple[Cutter, Layout]:
    cutter = PatchBilling(known(options.patch_px), known(options.max_patches), multiplier)
    return cutter, Priced(0)


def _anthropic_legacy(options: SchemeOptions) -> tuple[Cutter, Layout]:
    return AreaBilling(known(options.long_side_px), known(options.max_tokens)), Priced(0)


def _anthropic(options: SchemeOptions) -> tuple[Cutter, Layout]:
    cutter = CellBilling(
        known(options.patch_px), known(options.long_side_px), known(options.max_tokens)
    )
    return cutter, Priced(0)


def _gemini(options: SchemeOptions) -> tuple[Cutter, Layout]:
    return UnitBilling(258), Priced(0)


def _tile_row(name: str, base: int, price: int, *aliases: str) -> Row:
    return Row(
        name=name,
        summary=f"{base} tokens and {price} for every 512 px tile (high detail)",
        source=_OPENAI,
        defaults=SchemeOptions(tile_size_px=512),
        build=partial(_openai_tiles, base=base, price=price),
        aliases=aliases,
        exact=False,
        note=_estimate(_OPENAI, "sides rounded, as bills reported by users show"),
    )


def _patch_row(name: str, multiplier: float, *aliases: str) -> Row:
    return Row(
        name=name,
        summary=f"{multiplier} tokens for every 32 px patch, at most 1536 patches",
        source=_OPENAI,
        defaults=SchemeOptions(patch_px=32, max_patches=1536),
        build=partial(_openai_patches, multiplier=multiplier),
        aliases=aliases,
        exact=False,
        note=_estimate(_OPENAI, "bills reported by users differ at extreme ratios"),
    )


ROWS = (
    _tile_row(
        "gpt-4o",
        85,
        170,
        "gpt-4.1",
        "gpt-4.5",
        "openai",
        "openai-tile",
        "gpt-4-turbo",
        "gpt-4v",
        "gpt-4-vision",
    ),
    _tile_row("gpt-4o-mini", 2833, 5667),
    _tile_row("o1", 75, 150, "o1-pro", "o3"),
    _tile_row("gpt-5", 70, 140, "gpt-5-chat"),
    _tile_row("computer-use-preview", 65, 129, "computer-use"),
    Row(
        name="gpt-4o-low",
        summary="85 tokens whatever the size (low detail)",
        source=_OPENAI,
        defaults=SchemeOptions(),
        build=partial(_openai_low, base=85),
        exact=False,
        note=_estimate(_OPENAI),
    ),
    _patch_row("gpt-4.1-mini", 1.62, "openai-patch"),
    _patch_row("gpt-4.1-nano", 2.46),
    _patch_row("gpt-5-mini", 1.62),
    _patch_row("gpt-5-nano", 2.46),
    _patch_row("o4-mini", 1.72),
    Row(
        name="claude",
        summary="a token for every 28 px cell, long side to 1568 px and 1568 tokens",
        source=_ANTHROPIC,
        defaults=SchemeOptions(patch_px=28, long_side_px=1568, max_tokens=1568),
        build=_anthropic,
        aliases=(
            "anthropic",
            "claude-standard",
            "claude-4",
            "claude-sonnet-4",
            "claude-sonnet-4.5",
            "claude-haiku-4.5",
            "claude-opus-4",
        ),
        exact=False,
        note=_estimate(_ANTHROPIC, "from copies of the current page"),
    ),
    Row(
        name="claude-high-resolution",
        summary="the same, to 2576 px and 4784 tokens",
        source=_ANTHROPIC,
        defaults=SchemeOptions(patch_px=28, long_side_px=2576, max_tokens=4784),
        build=_anthropic,
        aliases=("anthropic-high-resolution",),
        exact=False,
        note=_estimate(_ANTHROPIC, "from copies of the current page"),
    ),
    Row(
        name="claude-legacy",
        summary="pixels / 750, long side to 1568 px and about 1600 tokens",
        source=_ANTHROPIC,
        defaults=SchemeOptions(long_side_px=1568, max_tokens=1600),
        build=_anthropic_legacy,
        aliases=(
            "anthropic-legacy",
            "claude-3",
            "claude-3.5",
            "claude-3.5-sonnet",
            "claude-3.7",
            "claude-3.7-sonnet",
        ),
        exact=False,
        note=_estimate(_ANTHROPIC, "the page's older formula"),
    ),
    Row(
        name="gemini",
        summary="258 tokens up to 384 px, else 258 a crop of two thirds of the short side",
        source=_GEMINI,
        defaults=SchemeOptions(),
        build=_gemini,
        aliases=(
            "google",
            "gemini-1.5",
            "gemini-1.5-pro",
            "gemini-1.5-flash",
            "gemini-2",
            "gemini-2.0",
            "gemini-2.0-flash",
            "gemini-2.5",
            "gemini-2.5-pro",
            "gemini-2.5-flash",
        ),
        exact=False,
        note=_estimate(_GEMINI, "the page calls it approximate"),
    ),
)
