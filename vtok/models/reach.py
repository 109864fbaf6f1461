"""How far a network sees, where that is finite: what coding an image in pieces has to know.

In: a network of convolutions and windowed attention. Out: a number of cells. A network with a group
norm, or with attention over the whole image, sees everything and has no reach. Knows no family.
"""

import math
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far the two networks of a tokenizer see, in cells of its latent grid.

    An index depends on the pixels of its own cell and of those up to `encoder_cells` away, a pixel
    on the codes of its own cell and of those up to `decoder_cells` away, on nothing else.

    Attributes:
        encoder_cells: Of the encoder, and of the choice of codes behind it.
        decoder_cells: Of the decoder.
        period_cells: A part of an image is coded as the whole is only if it begins at a multiple
            of this many cells: attention windows lie so, and turns at choosing codes.
    """

    encoder_cells: int
    decoder_cells: int
    period_cells: int = 1

    @classmethod
    def of(cls, encoder: nn.Module, decoder: nn.Module) -> "Reach":
        """Return the reach of two networks whose layers all work at one place of the grid.

        Args:
            encoder: Of convolutions of stride 1, and of layers with a `window`: attention inside
                windows of so many cells; nothing else in it may look at another cell.
            decoder: Likewise.
        """
        return cls(
            encoder_cells=_cells(encoder),
            decoder_cells=_cells(decoder),
            period_cells=math.lcm(*_windows(encoder), *_windows(decoder)),
        )

    def behind(self, cells: int, period_cells: int) -> "Reach":
        """Return the reach where indices depend on latents so many cells around, too.

        Args:
            cells: How far from a cell a latent can lie that its index depends on.
            period_cells: A part of a grid has the whole's indices only if it begins at a multiple.
        """
        return Reach(
            encoder_cells=self.encoder_cells + cells,
            decoder_cells=self.decoder_cells,
            period_cells=math.lcm(self.period_cells, period_cells),
        )


def _cells(network: nn.Module) -> int:
    """Return the sum over the layers: what each sees of the one before adds up."""
    convolutions = (layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    spans = (
        max(layer.dilation[axis] * (layer.kernel_size[axis] - 1) for axis in (0, 1))
        for layer in convolutions
    )
    return sum(span // 2 for span in spans) + sum(side - 1 for side in _windows(network))


def _windows(network: nn.Module) -> list[int]:
    """Return the sides of the attention windows of all layers that have one."""
    sides = (getattr(layer, "window", None) for layer in network.modules())
    return [side for side in sides if isinstance(side, int)]
