"""The convolutional half of ViTamin: stem and stages, and their mirror images.

In: pixels (B, 3, H, W), or features (B, C, h, w). Out: features, or pixels. Modules are named as in
its authors' files. Knows nothing of tokens. Source: Chen et al., arXiv 2404.02132.

Dimension letters: B batch, C channels, H W pixels, h w features, D channels of a token.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

Resize = Literal["halve", "double", "keep"]

_EPS = 1e-6
_WIDENING = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Convolutional blocks at one resolution.

    Attributes:
        channels: Of their outputs.
        num_blocks: The first of them changes the size.
    """

    channels: int
    num_blocks: int


class ChannelNorm(nn.LayerNorm):
    """Layer norm of the channels of each cell.

    Args:
        channels: Of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, h, w) of x (B, C, h, w)."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Doubling(nn.Module):
    """Twice the height and width by repeating cells, then a convolution.

    Args:
        channels_in: Of the input.
        channels_out: Of the output.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', 2h, 2w) of x (B, C, h, w)."""
        doubled: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return doubled


class Halving(nn.Module):
    """Half the height and width by averaging, then a 1x1 convolution where channels change.

    Args:
        channels_in: Of the input.
        channels_out: Of the output.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        same = channels_in == channels_out
        self.expand = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', h/2, w/2) of x (B, C, h, w)."""
        halved: Tensor = self.expand(self.pool(x))
        return halved


class MbConv(nn.Module):
    """Widen each cell, convolve inside each channel, narrow; beside a shortcut.

    Args:
        channels_in: Of the input.
        channels_out: Of the output.
        resize: Whether it halves, doubles or keeps height and width.
    """

    def __init__(self, channels_in: int, channels_out: int, resize: Resize) -> None:
        super().__init__()
        inside = _WIDENING * channels_out
        self.shortcut: nn.Module = nn.Identity()
        if resize == "halve":
            self.shortcut = Halving(channels_in, channels_out)
        elif resize == "double":
            self.shortcut = Doubling(channels_in, channels_out)
        elif channels_in != channels_out:
            self.shortcut = nn.Conv2d(channels_in, channels_out, 1)
        stride = 2 if resize == "halve" else 1
        self.pre_norm = ChannelNorm(channels_in)
        self.conv1_1x1 = nn.Conv2d(channels_in, inside, 1)
        self.up = Doubling(inside, inside) if resize == "double" else nn.Identity()
        self.conv2_kxk = nn.Conv2d(inside, inside, 3, stride=stride, padding=1, groups=inside)
        self.conv3_1x1 = nn.Conv2d(inside, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', h', w') of x (B, C, h, w)."""
        change: Tensor = functional.gelu(self.conv1_1x1(self.pre_norm(x)))
        change = functional.gelu(self.conv2_kxk(self.up(change)))
        change = self.conv3_1x1(change)
        kept: Tensor = self.shortcut(x)
        return change + kept


class Stem(nn.Module):
    """Pixels to features of half the size.

    Args:
        channels: Of the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 3, stride=2, padding=1)
        self.norm1 = ChannelNorm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (B, C, H/2, W/2) of pixels (B, 3, H, W)."""
        features: Tensor = self.conv2(functional.gelu(self.norm1(self.conv1(pixels))))
        return features


class InverseStem(nn.Module):
    """Features to pixels of twice the size.

    Args:
        channels: Of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = Doubling(channels, channels)
        self.norm1 = ChannelNorm(channels)
        self.conv2 = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return pixels (B, 3, 2h, 2w) of x (B, C, h, w)."""
        pixels: Tensor = self.conv2(functional.gelu(self.norm1(self.conv1(x))))
        return pixels


class Reduction(nn.Module):
    """The last halving, to the channels of a token.

    Args:
        channels_in: Of the input.
        channels_out: Of the output (D).
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels_in)
        self.proj = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, D, h/2, w/2) of x (B, C, h, w)."""
        reduced: Tensor = self.proj(self.norm(x))
        return reduced


def blocks_of(channels_in: int, stage: Stage, resize: Resize) -> Iterator[MbConv]:
    """Yield the blocks of a stage, of which the first alone changes the size."""
    for number in range(stage.num_blocks):
        yield MbConv(
            stage.channels if number else channels_in, stage.channels, "keep" if number else resize
        )
