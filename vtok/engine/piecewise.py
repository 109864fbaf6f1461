"""A model over the pieces of large views, and its results put together again.

In: pixels or codes of a whole view, how it is cut, and what the model makes of a piece. Out: the
latents, indices or pixels of the whole. No more than the results and one piece's intermediate
values are held at a time, and while pixels are blended one row of pieces. Knows no model.

Dimension letters: B batch, H W pixels, h w cells, D channels.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vtok.engine.forward import finite_rows
from vtok.engine.pieces import Cut, Layout

Finite = tuple[Tensor, Tensor]
"""Values (B, ...), and (B,) bool: whether they are finite."""


def assembled_latents(
    pixels: Tensor, layout: Layout, factor: int, encode: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return the latents (B, D, h, w) of a whole view, blended where its cuts say so.

    Args:
        pixels: (B, H, W, 3).
        layout: How the view is cut.
        factor: Pixels of a cell along one side.
        encode: (B, H', W', 3) pixels of a piece → (B, D, h', w') float32.
    """
    whole: Tensor | None = None
    for row, col in layout.pieces():
        latents = _counted(encode(_part(pixels, row, col, factor)), row, col, 1)
        if whole is None:
            shape = (*latents.shape[:2], layout.grid.rows, layout.grid.cols)
            whole = latents.new_zeros(shape)
        whole[:, :, row.first : row.last, col.first : col.last] += latents
    assert whole is not None  # there is a piece
    return whole


def assembled_indices(
    pixels: Tensor, layout: Layout, factor: int, tokenize: Callable[[Tensor], Finite]
) -> Finite:
    """Return the indices (B, h, w, ...) of a whole view whose pieces are exact.

    Args:
        pixels: (B, H, W, 3).
        layout: How the view is cut, without ramps.
        factor: Pixels of a cell along one side.
        tokenize: (B, H', W', 3) pixels of a piece → indices (B, h', w', ...), whether they mean
            anything.
    """
    whole: Tensor | None = None
    is_finite: Tensor | None = None
    for row, col in layout.pieces():
        indices, finite = tokenize(_part(pixels, row, col, factor))
        is_finite = finite if is_finite is None else is_finite & finite
        if whole is None:
            shape = (len(indices), layout.grid.rows, layout.grid.cols, *indices.shape[3:])
            whole = indices.new_empty(shape)
        part = indices[:, _kept(row, 1), _kept(col, 1)]
        whole[:, row.first : row.last, col.first : col.last] = part
    assert whole is not None  # there is a piece
    assert is_finite is not None
    return whole, is_finite


def assembled_pixels(
    layout: Layout,
    factor: int,
    decode: Callable[[slice, slice], Tensor],
    to_bytes: Callable[[Tensor], Tensor],
) -> Finite:
    """Return the pixels (B, H, W, 3) uint8 of a whole view, blended where its cuts say so.

    Args:
        layout: How its indices are cut.
        factor: Pixels of a cell along one side.
        decode: Rows and columns of cells → (B, 3, H', W') float pixels of that piece.
        to_bytes: (B, 3, H', W') float → (B, H', W', 3) uint8.
    """
    whole: Tensor | None = None
    is_finite: Tensor | None = None
    above: Tensor | None = None
    for row in layout.rows:
        band, finite = _band(layout, row, factor, decode)  # (B, 3, H', W)
        is_finite = finite if is_finite is None else is_finite & finite
        if above is not None:
            band[:, :, : above.shape[2]] += above
        below = row.ramp_after * factor
        done = band.shape[2] - below
        above = band[:, :, done:].clone() if below else None
        if whole is None:
            size = (layout.grid.rows * factor, layout.grid.cols * factor, 3)
            whole = band.new_empty((len(band), *size), dtype=torch.uint8)
        top = row.first * factor
        whole[:, top : top + done] = to_bytes(band[:, :, :done])
    assert whole is not None  # there is a row of pieces
    assert is_finite is not None
    return whole, is_finite


def _band(
    layout: Layout, row: Cut, factor: int, decode: Callable[[slice, slice], Tensor]
) -> Finite:
    """Return one row of pieces (B, 3, H', W), weighted towards the rows above and below."""
    band: Tensor | None = None
    is_finite: Tensor | None = None
    for col in layout.cols:
        pixels = decode(slice(row.start, row.stop), slice(col.start, col.stop))
        finite = finite_rows(pixels)
        part = _counted(pixels.float().nan_to_num(), row, col, factor)
        if band is None or is_finite is None:
            band = part.new_zeros((*part.shape[:3], layout.grid.cols * factor))
            is_finite = finite
        is_finite = is_finite & finite
        band[:, :, :, col.first * factor : col.last * factor] += part
    assert band is not None  # there is a piece
    assert is_finite is not None
    return band, is_finite


def _part(pixels: Tensor, row: Cut, col: Cut, factor: int) -> Tensor:
    """Return what of an image (B, H, W, 3) a piece covers."""
    rows = slice(row.start * factor, row.stop * factor)
    return pixels[:, rows, col.start * factor : col.stop * factor].contiguous()


def _kept(cut: Cut, factor: int) -> slice:
    """Return what of a piece's result counts."""
    return slice((cut.first - cut.start) * factor, (cut.last - cut.start) * factor)


def _counted(values: Tensor, row: Cut, col: Cut, factor: int) -> Tensor:
    """Return what of a piece's (B, C, H', W') counts, weighted where others count too."""
    part = values[:, :, _kept(row, factor), _kept(col, factor)]
    for axis, cut in ((2, row), (3, col)):
        for ramp, is_before in ((cut.ramp_before, True), (cut.ramp_after, False)):
            if ramp:
                part = _faded(part, axis, ramp * factor, is_before)
    return part


def _faded(part: Tensor, axis: int, length: int, is_before: bool) -> Tensor:
    """Return values that fade in or out over so many; two such add up to 1 at every place."""
    places = torch.arange(length, device=part.device, dtype=torch.float32)
    rising = (math.pi / 2 * (places + 0.5) / length).sin().square()
    weight = part.new_ones(part.shape[axis])
    if is_before:
        weight[:length] = rising
    else:
        weight[-length:] = 1 - rising
    return part * weight.view([-1 if each == axis else 1 for each in range(part.ndim)])
