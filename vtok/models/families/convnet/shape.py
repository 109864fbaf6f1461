"""The shape of a convolutional tokenizer.

Knows nothing of files, tensors or families.
"""

from dataclasses import dataclass
from typing import Literal

from vtok.nn.patching import Patching

MidLayer = Literal["block", "attention"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The blocks at one resolution.

    Attributes:
        channels: Of its blocks' outputs.
        num_blocks: Residual blocks, one after the other.
        attention: Whether each is followed by attention over all cells.
    """

    channels: int
    num_blocks: int
    attention: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """An encoder or a decoder.

    Attributes:
        levels: From the full resolution down, each half the size of the one before.
        mid: The layers at the lowest resolution.
        stem: Channels at the full resolution, outside of the levels.
        pixel_channels: Of what it reads, or writes, there.
        resampled: The levels whose result is halved, in a decoder doubled; None for all but the
            lowest.
    """

    levels: tuple[Level, ...]
    mid: tuple[MidLayer, ...]
    stem: int
    pixel_channels: int = 3
    resampled: frozenset[int] | None = None

    @property
    def halved(self) -> frozenset[int]:
        """The levels of an encoder whose result is halved."""
        return frozenset(range(len(self.levels) - 1)) if self.resampled is None else self.resampled

    @property
    def doubled(self) -> frozenset[int]:
        """The levels of a decoder whose result is doubled."""
        return frozenset(range(1, len(self.levels))) if self.resampled is None else self.resampled


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvShape:
    """A whole tokenizer.

    Attributes:
        encoder: Pixels to latents.
        decoder: Codes to pixels; None where the file has none.
        latent_channels: Between the networks and the 1x1 convolutions around the quantizer.
        code_dim: Length of one code (D).
        codebook_size: Number of codes (K).
        quant_conv: Whether there are such convolutions.
        post_quant_conv: Whether there is one on the decoder's side too.
        quant_kernel: The side of these.
        scales: (rows, columns) of a multi-scale quantizer's grids, coarse to fine.
        num_refiners: Its convolutions.
        digits: Levels of each channel of a finite scalar quantizer.
        depth: Indices of one cell, residuals of each other.
        shares_codebook: Whether they have one codebook together.
        patching: What lies between the pixels and the networks; None for nothing.
        alignment_px: What sides must be multiples of; None for the pixels of a latent cell.
    """

    encoder: Stack
    decoder: Stack | None
    latent_channels: int
    code_dim: int
    codebook_size: int
    quant_conv: bool
    post_quant_conv: bool = True
    quant_kernel: int = 1
    scales: tuple[tuple[int, int], ...] = ()
    num_refiners: int = 0
    digits: tuple[int, ...] = ()
    depth: int = 1
    shares_codebook: bool = False
    patching: Patching | None = None
    alignment_px: int | None = None

    @property
    def downsample(self) -> int:
        """Pixels per latent cell along one side."""
        return (1 if self.patching is None else self.patching.side) << len(self.encoder.halved)
