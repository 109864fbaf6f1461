"""Pixels to indices and back on a device: in one piece, or where a view is large in several.

In: stacks of views, or of indices. Out: indices, or bytes of images. This file knows no sample or
file; `vtok.engine.pieces` knows how views are cut, `vtok.engine.piecewise` puts results together.

Dimension letters: B batch, D channels, H W pixels, h w latent grid.
"""

from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from vtok.engine.compiled import Function
from vtok.engine.device import to_bytes, to_pixels
from vtok.engine.forward import Forward, finite_rows
from vtok.engine.pieces import Pieces
from vtok.engine.piecewise import assembled_indices, assembled_latents, assembled_pixels
from vtok.engine.precision import set_float32
from vtok.models.base import Tokenizer
from vtok.records import Grid

_GRIDS = ("grid", "deep-grid")
"""Kinds of indices of which a part is that of a part of the image."""


class _CodingForward(Forward):
    """A tokenizer on a device.

    Args:
        tokenizer: The model.
        device: Where it runs.
        dtype: Of the network that runs here.
        piece_size: Side of the pieces of large views, as `Pieces.of` takes it.
    """

    may_round: ClassVar[bool] = True
    """Whether torch may let convolutions in float32 round to TF32."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        piece_size: int | None = None,
    ) -> None:
        super().__init__(tokenizer, self.network_of(tokenizer), device=device, dtype=dtype)
        if device.type == "cuda" and not self.may_round:
            set_float32("ieee")
        self._tokenizer = tokenizer
        self._pieces = Pieces.of(tokenizer, piece_size)
        self.remedy = ", --piece-size PX" if self._pieces.can_cut else ""

    def network_of(self, tokenizer: Tokenizer) -> Function:
        """Return the network of a tokenizer that runs here."""
        raise NotImplementedError

    def grid_of(self, shape: tuple[int, ...]) -> Grid | None:
        """Return the latent grid of an input of this shape; None where parts of it mean nothing."""
        raise NotImplementedError

    def take_less(self, part: Any) -> bool:
        """Cut views into smaller pieces from now on, where they are exact."""
        grid = self.grid_of(part.shape[1:])
        smaller = None if grid is None else self._pieces.halved(grid)
        self._pieces = smaller or self._pieces
        return smaller is not None

    def _network(self) -> torch.autocast:
        """Return the context in which the networks run."""
        lower = self.dtype != torch.float32
        return torch.autocast(self.device.type, self.dtype if lower else None, enabled=lower)


class TokenizeForward(_CodingForward):
    """(B, H, W, 3) uint8 → int64 indices, (B, h, w) or B of what shape the model gives.

    With a dtype other than float32 the encoder runs under autocast; the search for codes is in
    float32 always. Large views are coded in pieces.
    """

    may_round = False

    def network_of(self, tokenizer: Tokenizer) -> Function:
        """Return the encoder."""
        return tokenizer.encode

    def grid_of(self, shape: tuple[int, ...]) -> Grid | None:
        """Return the latent grid of a view (H, W, 3)."""
        factor = self._tokenizer.spec.downsample
        return Grid(rows=shape[0] // factor, cols=shape[1] // factor)

    def compute(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return indices, and whether the latents were finite."""
        spec = self._tokenizer.spec
        grid = self.grid_of(inputs.shape[1:])
        layout = None if grid is None else self._pieces.encoding(grid)
        if layout is None:
            return self._quantize(self._encode(inputs, self.function))
        encode = partial(self._encode, function=self._tokenizer.encode)  # not compiled a shape
        if self._pieces.is_exact and spec.codes.kind in _GRIDS:
            return assembled_indices(
                inputs, layout, spec.downsample, lambda part: self._quantize(encode(part))
            )
        return self._quantize(assembled_latents(inputs, layout, spec.downsample, encode))

    def _encode(self, inputs: Tensor, function: Function) -> Tensor:
        """Return latents (B, D, h, w) float32 of (B, H, W, 3) uint8."""
        pixels = to_pixels(inputs, self._tokenizer.spec.pixels, device=self.device)
        with self._network():
            latents = function(pixels)
        return latents.float()

    def _quantize(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        is_finite = finite_rows(latents)
        # A latent of NaN has no nearest code: its sample fails, and the others must not.
        safe = latents.where(is_finite.view(-1, *[1] * (latents.ndim - 1)), 0)
        return self._tokenizer.quantize(safe), is_finite


class DecodeForward(_CodingForward):
    """int64 indices as the model gives them → (B, H, W, 3) uint8 pixels, rounded by `to_bytes`.

    Large images are decoded in pieces.
    """

    def network_of(self, tokenizer: Tokenizer) -> Function:
        """Return the decoder."""
        return tokenizer.decode

    def image_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return (H, W, 3) of what indices of this shape decode to.

        Raises:
            ShardError: the model gives no indices of such a shape.
        """
        size = self._tokenizer.spec.image_size(shape)
        return (size.height, size.width, 3)

    def compute(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return pixels, and whether the decoder's output was finite."""
        tokenizer, spec = self._tokenizer, self._tokenizer.spec
        indices = inputs.to(self.device, non_blocking=True)
        grid = self.grid_of(indices.shape[1:])
        layout = None if grid is None else self._pieces.decoding(grid)
        if layout is None:
            pixels = self._decode(tokenizer.lookup(indices), self.function)
            is_finite = finite_rows(pixels)
            return to_bytes(pixels.nan_to_num(), spec.pixels), is_finite
        return assembled_pixels(
            layout,
            spec.downsample,
            lambda rows, cols: self._decode(
                tokenizer.lookup(indices[:, rows, cols]), tokenizer.decode
            ),
            lambda pixels: to_bytes(pixels, spec.pixels),
        )

    def grid_of(self, shape: tuple[int, ...]) -> Grid | None:
        """Return the grid of indices of this shape; None where a part of them means nothing."""
        codes = self._tokenizer.spec.codes
        return codes.grid_of(shape) if codes.kind in _GRIDS else None

    def _decode(self, codes: Tensor, function: Function) -> Tensor:
        """Return pixels (B, 3, H, W) of codes (B, D, h, w)."""
        with self._network():
            return function(codes)
