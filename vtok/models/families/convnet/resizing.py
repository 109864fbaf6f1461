"""Halving and doubling of height and width, as convolutional tokenizers do it.

In: features (B, C, h, w). Out: features at half or twice the size. Knows nothing of levels.

Dimension letters: B batch, C channels, h w features.
"""

from torch import Tensor, nn
from torch.nn import functional


class Downsample(nn.Conv2d):
    """Half the height and width by a convolution of stride 2.

    Args:
        channels: Of input and output.
        padding: `end`, right and below alone; or `sides`, all around.
    """

    def __init__(self, channels: int, padding: str) -> None:
        super().__init__(channels, channels, 3, stride=2, padding=0 if padding == "end" else 1)
        self.at_end = padding == "end"

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, h/2, w/2) of x (B, C, h, w)."""
        return super().forward(functional.pad(x, (0, 1, 0, 1)) if self.at_end else x)


class NearestUpsample(nn.Conv2d):
    """Twice the height and width by repeating cells, then a convolution.

    Args:
        channels: Of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, 2h, 2w) of x (B, C, h, w)."""
        return super().forward(functional.interpolate(x, scale_factor=2.0, mode="nearest"))


class PixelUpsample(nn.Conv2d):
    """Twice the height and width: each cell's four neighbours are groups of channels.

    Args:
        channels: Of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 4 * channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, 2h, 2w) of x (B, C, h, w)."""
        batch, channels, height, width = x.shape
        parts = super().forward(x).reshape(batch, 4, channels, height, width)
        # The neighbour is the outer index of these channels; pixel_shuffle has it as the inner one.
        return functional.pixel_shuffle(parts.transpose(1, 2).flatten(1, 2), 2)
