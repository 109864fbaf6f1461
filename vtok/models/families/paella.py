"""Paella's tokenizer: blocks of a depthwise and a channelwise step, with four times few levels.

In: pixels (B, 3, H, W) in [0, 1]. Out: indices (B, h, w), and pixels in the same range. Latents are
what the encoder's last batch norm gives, by its running statistics; its authors' `encode` divides
codes by a scale factor and their `decode` multiplies by it, which here is done at neither end.
Reads no files: the shape is in the tensors. Their names are its authors', which open-muse and
diffusers (Würstchen's `vqgan`) kept. Source: Rampas et al., arXiv 2211.07292.

Dimension letters: B batch, H W pixels, h w cells, C channels, D channels of a code, K codes.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtok.errors import WeightsError
from vtok.models.base import PixelRange, TokenizerSpec
from vtok.models.quantized import QuantizedTokenizer
from vtok.models.reach import Reach
from vtok.nn.quantizer import VectorQuantizer

FAMILY = "paella"

_PIXELS = PixelRange(mean=(0.0,) * 3, std=(1.0,) * 3)
_EPS = 1e-6  # of the layer norms; the batch norm has torch's own 1e-5
_WIDENING = 4
_MAX_LEVELS = 8
_MAX_BLOCKS = 64
_CODEBOOK = "quantizer.codebook"
_THEIR_CODEBOOKS = ("vquantizer.codebook.weight", "vquantizer.embedding.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class PaellaShape:
    """The shape of the two networks and the codebook.

    Attributes:
        fold_px: Side of the square of pixels that become channels at first.
        width: Channels at the lowest resolution, half as many at each one above.
        num_levels: Resolutions.
        num_bottleneck: The decoder's blocks at the lowest one.
        codebook_size: Number of codes (K).
        code_dim: Length of one code (D).
    """

    fold_px: int
    width: int
    num_levels: int
    num_bottleneck: int
    codebook_size: int
    code_dim: int

    @property
    def downsample(self) -> int:
        """Pixels per latent cell along one side."""
        return self.fold_px << (self.num_levels - 1)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, from the highest resolution to the lowest."""
        return tuple(self.width >> level for level in reversed(range(self.num_levels)))


class PaellaBlock(nn.Module):
    """A convolution inside each channel, then a perceptron inside each cell, both added.

    Six learned numbers, the same for all channels, scale and shift what each step reads and scale
    what it adds.

    Args:
        channels: Of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        within = nn.Conv2d(channels, channels, 3, groups=channels)
        self.depthwise = nn.Sequential(nn.ReplicationPad2d(1), within)
        self.channelwise = nn.Sequential(
            nn.Linear(channels, _WIDENING * channels),
            nn.GELU(),
            nn.Linear(_WIDENING * channels, channels),
        )
        self.gammas = nn.Parameter(torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, h, w) of x (B, C, h, w)."""
        scale, shift, gain, scale_2, shift_2, gain_2 = self.gammas.unbind()
        read = _normed(x.movedim(1, -1)).movedim(-1, 1) * (1 + scale) + shift
        x = x + self.depthwise(read) * gain
        cells = _normed(x.movedim(1, -1)) * (1 + scale_2) + shift_2  # (B, h, w, C)
        change: Tensor = self.channelwise(cells).movedim(-1, 1)
        return x + change * gain_2


class PaellaTokenizer(QuantizedTokenizer):
    """Images to indices and back, at any size that the downsampling factor divides.

    Args:
        shape: Of the networks.
        name: The name it was asked for by.
    """

    def __init__(self, shape: PaellaShape, *, name: str) -> None:
        super().__init__()
        widths, folded = shape.widths, 3 * shape.fold_px**2
        self.in_block = nn.Sequential(
            nn.PixelUnshuffle(shape.fold_px), nn.Conv2d(folded, widths[0], 1)
        )
        self.down_blocks = nn.Sequential(*_down(shape))
        self.quantizer = VectorQuantizer(shape.codebook_size, shape.code_dim)
        self.up_blocks = nn.Sequential(*_up(shape))
        self.out_block = nn.Sequential(
            nn.Conv2d(widths[0], folded, 1), nn.PixelShuffle(shape.fold_px)
        )
        self.spec = TokenizerSpec(
            name=name,
            family=FAMILY,
            downsample=shape.downsample,
            codebook_size=shape.codebook_size,
            code_dim=shape.code_dim,
            pixels=_PIXELS,
            alignment_px=shape.downsample,
        )
        self.reach = _reach(shape)

    def encode(self, pixels: Tensor) -> Tensor:
        """Return latents (B, D, h, w) of pixels (B, 3, H, W) in [0, 1]."""
        latents: Tensor = self.down_blocks(self.in_block(pixels))
        return latents

    def decode(self, codes: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W) around [0, 1], unclamped, of codes (B, D, h, w)."""
        pixels: Tensor = self.out_block(self.up_blocks(codes))
        return pixels


def paella_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a file under this package's names."""
    return {_CODEBOOK if n in _THEIR_CODEBOOKS else n: tensor for n, tensor in state.items()}


def paella_shape(state: Mapping[str, Tensor]) -> PaellaShape:
    """Return the shape that tensors under this package's names have.

    Raises:
        WeightsError: one that the shape depends on is missing, or it is no such model's.
    """
    needed = ("in_block.1.weight", "up_blocks.0.0.weight", _CODEBOOK)
    missing = [name for name in needed if name not in state or state[name].ndim < 2]
    if missing:
        raise WeightsError(f"missing: {missing[0]}, without which the shape is unknown")
    first, lowest, codes = (state[name] for name in needed)
    fold_px = math.isqrt(first.shape[1] // 3)
    # Blocks and halvings take turns, and a convolution with its batch norm is the last.
    num_levels = (_last(state, "down_blocks") + 1) // 2
    num_bottleneck = _last(state, "up_blocks") - 2 * (num_levels - 1)
    width = lowest.shape[0]
    sound = first.shape[1] == 3 * fold_px**2 > 0 and 1 <= num_levels <= _MAX_LEVELS
    if not sound or not 0 <= num_bottleneck <= _MAX_BLOCKS or width % (1 << (num_levels - 1)):
        raise WeightsError(
            f"{num_levels} levels of up to {width} channels and {num_bottleneck} blocks between "
            f"them, over {first.shape[1]} channels, are none of Paella's"
        )
    return PaellaShape(
        fold_px=fold_px,
        width=width,
        num_levels=num_levels,
        num_bottleneck=num_bottleneck,
        codebook_size=codes.shape[0],
        code_dim=codes.shape[1],
    )


def _reach(shape: PaellaShape) -> Reach:
    """Return how far the networks see: a block one of its own cells, no norm any further.

    Counted from the lowest resolution up for the encoder, whose halvings read a cell more than the
    four under them, and from the highest down for the decoder, whose doublings read one as well.
    """
    up, down = 1, 0
    for _ in range(shape.num_levels - 1):
        up = 2 * up + 2
        down = (down + 1) // 2 + 1
    return Reach(
        encoder_cells=-(-up >> (shape.num_levels - 1)), decoder_cells=down + shape.num_bottleneck
    )


def _down(shape: PaellaShape) -> Iterator[nn.Module]:
    widths = shape.widths
    for level, channels in enumerate(widths):
        if level > 0:
            yield nn.Conv2d(widths[level - 1], channels, 4, stride=2, padding=1)
        yield PaellaBlock(channels)
    yield nn.Sequential(
        nn.Conv2d(widths[-1], shape.code_dim, 1, bias=False), nn.BatchNorm2d(shape.code_dim)
    )


def _up(shape: PaellaShape) -> Iterator[nn.Module]:
    widths = shape.widths[::-1]
    yield nn.Sequential(nn.Conv2d(shape.code_dim, widths[0], 1))
    for level, channels in enumerate(widths):
        if level > 0:
            yield nn.ConvTranspose2d(widths[level - 1], channels, 4, stride=2, padding=1)
        for _ in range(1 if level > 0 else shape.num_bottleneck):
            yield PaellaBlock(channels)


def _normed(cells: Tensor) -> Tensor:
    """Return x (..., C) with the mean and variance of its channels taken out."""
    return functional.layer_norm(cells, cells.shape[-1:], eps=_EPS)


def _last(state: Mapping[str, Tensor], part: str) -> int:
    """Return the largest number of a part's modules, -1 where it has none."""
    found = (re.match(rf"{part}\.(\d{{1,4}})\.", name) for name in state)
    return max((int(each[1]) for each in found if each), default=-1)
