"""An encoder at another size than its own: one size for all views, or whatever size they have.

In: an encoder, and what was asked for. Out: the same encoder, with the facts changed that planning
needs. How its positions reach the size is the encoder's business: rotary ones do by themselves,
learned ones are interpolated.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from vtok.errors import UsageError
from vtok.models.base import Encoder, Interpolation
from vtok.records import Size

ViewSize = int | Literal["any"]


def resize(encoder: Encoder, size: ViewSize, interpolation: Interpolation) -> Encoder:
    """Change the views that an encoder takes.

    Args:
        encoder: Is changed.
        size: Side of every view in pixels, or `any` for views of all sizes.
        interpolation: Of learned positions.

    Returns:
        The encoder.

    Raises:
        UsageError: it takes its own size alone, or its patches do not divide the one asked for.
    """
    spec = encoder.spec
    own = spec.fixed_size
    is_own = own is not None and own == _square(size)
    if size != "any" and not is_own and size % spec.alignment_px:
        low = size // spec.alignment_px * spec.alignment_px
        near = " or ".join(str(side) for side in (low, low + spec.alignment_px) if side)
        raise UsageError(
            f"--size {size}: {spec.name} takes multiples of {spec.alignment_px} px: give {near}"
        )
    if not is_own:
        encoder.take_sizes(interpolation)
    if size == "any":
        encoder.spec = replace(
            encoder.spec,
            size_policy="any",
            fixed_size=None,
            scheme=None,
            scheme_options={},
            packs=encoder.can_pack,
        )
        return encoder
    encoder.spec = replace(
        encoder.spec,
        size_policy="fixed",
        fixed_size=_square(size),
        packs=False,  # there is nothing to gain: all views are alike
        **_own_scheme(spec.scheme, spec.scheme_options, size),
    )
    return encoder


def _square(size: ViewSize) -> Size | None:
    return None if size == "any" else Size(height=size, width=size)


def _own_scheme(scheme: str | None, options: Mapping[str, Any], side: int) -> dict[str, Any]:
    """Return the model's own scheme at another size; none where it has no size to change."""
    tile = options.get("tile_size_px")
    if scheme is None or tile is None:
        return {"scheme": None, "scheme_options": {}}
    changed = {**options, "tile_size_px": side}
    if "short_side_px" in options:
        changed["short_side_px"] = round(options["short_side_px"] * side / tile)
    return {"scheme": scheme, "scheme_options": changed}
