"""Convolutional encoder and decoder: the networks that most published tokenizers share.

In: pixels (B, 3, H, W), or codes (B, D, h, w). Out: latents, or pixels. One implementation with few
switches for taming's VQGAN and what came of it (latent diffusion, Chameleon, LlamaGen, Janus, IBQ,
Show-o), for MaskGIT's and for MAGVIT-v2's. Knows nothing of quantizers, names or files.
Sources: Esser et al., arXiv 2012.09841; Yu et al., arXiv 2310.05737; Luo et al., arXiv 2409.04410.

Dimension letters: B batch, C channels, H W pixels, h w cells, D channels of a code.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from vtok.errors import WeightsError
from vtok.models.convshape import Level, Stack

_NUM_GROUPS = 32
_EPS = 1e-6  # not torch's 1e-5, which moves latents by 2e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvStyle:
    """What families do differently.

    Attributes:
        bias: Whether the encoder's first convolution and all residual ones have a bias.
        shortcut: What the 1x1 shortcut of a widening block reads: the block's `input`, or, as
            MaskGIT has it, its `output`.
        down: Halving: a convolution padded at the `end` (right and below) or on all `sides`, or an
            `average` of four.
        up: Doubling: `nearest` neighbours and a convolution, or a convolution to four times the
            channels that become `pixels`.
        latent_kernel: Side of the convolution that makes latents.
        adaptive: Whether the decoder's levels are scaled by statistics of the code map.
    """

    bias: bool = True
    shortcut: Literal["input", "output"] = "input"
    down: Literal["end", "sides", "average"] = "end"
    up: Literal["nearest", "pixels"] = "nearest"
    latent_kernel: Literal[1, 3] = 3
    adaptive: bool = False


TAMING = ConvStyle()
MASKGIT = ConvStyle(bias=False, shortcut="output", down="average", latent_kernel=1)
MAGVIT2 = ConvStyle(bias=False, down="sides", up="pixels", latent_kernel=1, adaptive=True)


class Block(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), with a 1x1 convolution where channels change.

    Args:
        channels_in: Of the input.
        channels_out: Of the output.
        style: What the family does differently.
    """

    def __init__(self, channels_in: int, channels_out: int, style: ConvStyle) -> None:
        super().__init__()
        self.shortcut_of = style.shortcut
        self.norm1 = _norm(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=style.bias)
        self.norm2 = _norm(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=style.bias)
        self.nin_shortcut: nn.Conv2d | None = None
        if channels_in != channels_out:
            read = channels_in if style.shortcut == "input" else channels_out
            self.nin_shortcut = nn.Conv2d(read, channels_out, 1, bias=style.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', h, w) of x (B, C, h, w)."""
        change: Tensor = self.conv1(functional.silu(self.norm1(x)))
        change = self.conv2(functional.silu(self.norm2(change)))
        if self.nin_shortcut is None:
            return x + change
        kept: Tensor = self.nin_shortcut(x if self.shortcut_of == "input" else change)
        return kept + change


class Attention(nn.Module):
    """x + attention(norm(x)) over all cells, with one head.

    Args:
        channels: Of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, h, w) of x (B, C, h, w)."""
        normed = self.norm(x)
        query, key, value = (
            project(normed).flatten(2).transpose(1, 2).unsqueeze(1)  # (B, 1, hw, C)
            for project in (self.q, self.k, self.v)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        mixed = mixed.squeeze(1).transpose(1, 2).reshape(x.shape)  # (B, C, h, w)
        change: Tensor = self.proj_out(mixed)
        return x + change


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


class AdaptiveNorm(nn.Module):
    """Group norm, scaled and shifted by linear maps of the code map's deviation and mean.

    Args:
        channels: Of input and output.
        code_channels: Of the code map (D).
    """

    def __init__(self, channels: int, code_channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_NUM_GROUPS, channels, eps=_EPS, affine=False)
        self.gamma = nn.Linear(code_channels, channels)
        self.beta = nn.Linear(code_channels, channels)

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        """Return (B, C, h', w') of x (B, C, h', w') and codes (B, D, h, w)."""
        cells = codes.flatten(2)  # (B, D, hw)
        scale: Tensor = self.gamma((cells.var(dim=2) + _EPS).sqrt())[:, :, None, None]
        shift: Tensor = self.beta(cells.mean(dim=2))[:, :, None, None]  # (B, C, 1, 1)
        normed: Tensor = self.norm(x)
        return scale * normed + shift


class LevelBlocks(nn.Module):
    """The blocks at one resolution, each followed by its attention if there is any.

    Args:
        channels_in: Of the input.
        level: Its blocks.
        style: What the family does differently.

    Attributes:
        downsample: What halves the result; None at the lowest resolution, and in a decoder.
        upsample: What doubles it; None at the full resolution, and in an encoder.
    """

    def __init__(self, channels_in: int, level: Level, style: ConvStyle) -> None:
        super().__init__()
        widths = (channels_in, *(level.channels,) * level.num_blocks)
        self.block = nn.ModuleList(Block(*pair, style) for pair in pairwise(widths))
        num_attention = level.num_blocks if level.attention else 0
        self.attn = nn.ModuleList(Attention(level.channels) for _ in range(num_attention))
        self.downsample: nn.Module | None = None
        self.upsample: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', h', w') of x (B, C, h, w)."""
        for place, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[place](x)
        for resample in (self.downsample, self.upsample):
            if resample is not None:
                x = resample(x)
        return x


class Analysis(nn.Module):
    """Pixels to latents.

    Args:
        stack: Levels and layers.
        latent_channels: Of the output.
        style: What the family does differently.
    """

    def __init__(self, stack: Stack, latent_channels: int, style: ConvStyle) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, stack.stem, 3, padding=1, bias=style.bias)
        self.down = nn.ModuleList()
        channels = stack.stem
        for place, level in enumerate(stack.levels):
            blocks = LevelBlocks(channels, level, style)
            channels = level.channels
            if place + 1 < len(stack.levels):
                average = style.down == "average"
                blocks.downsample = nn.AvgPool2d(2) if average else Downsample(channels, style.down)
            self.down.append(blocks)
        self.mid = _middle(stack, channels, style)
        self.norm_out = _norm(channels)
        kernel = style.latent_kernel
        self.conv_out = nn.Conv2d(channels, latent_channels, kernel, padding=kernel // 2)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (B, C, h, w) of pixels (B, 3, H, W)."""
        x: Tensor = self.conv_in(pixels)
        for level in self.down:
            x = level(x)
        x = self.mid(x)
        latents: Tensor = self.conv_out(functional.silu(self.norm_out(x)))
        return latents


class Synthesis(nn.Module):
    """Codes to pixels.

    Args:
        stack: Levels and layers, from the full resolution down.
        latent_channels: Of the input.
        style: What the family does differently.
    """

    def __init__(self, stack: Stack, latent_channels: int, style: ConvStyle) -> None:
        super().__init__()
        channels = stack.levels[-1].channels
        self.conv_in = nn.Conv2d(latent_channels, channels, 3, padding=1)
        self.mid = _middle(stack, channels, style)
        upsample = NearestUpsample if style.up == "nearest" else PixelUpsample
        levels: list[LevelBlocks] = []
        adaptive: list[AdaptiveNorm] = []
        for place, level in reversed(list(enumerate(stack.levels))):
            adaptive.append(AdaptiveNorm(channels, latent_channels))
            blocks = LevelBlocks(channels, level, style)
            channels = level.channels
            if place > 0:
                blocks.upsample = upsample(channels)
            levels.append(blocks)
        self.up = nn.ModuleList(reversed(levels))
        self.adaptive = nn.ModuleList(reversed(adaptive) if style.adaptive else ())
        self.norm_out = _norm(channels)
        self.conv_out = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, codes: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W), unclamped, of codes (B, C, h, w)."""
        x: Tensor = self.mid(self.conv_in(codes))
        for place in reversed(range(len(self.up))):
            if len(self.adaptive):
                x = self.adaptive[place](x, codes)
            x = self.up[place](x)
        pixels: Tensor = self.conv_out(functional.silu(self.norm_out(x)))
        return pixels


def _middle(stack: Stack, channels: int, style: ConvStyle) -> nn.Sequential:
    return nn.Sequential(
        *(
            Block(channels, channels, style) if kind == "block" else Attention(channels)
            for kind in stack.mid
        )
    )


def _norm(channels: int) -> nn.GroupNorm:
    if channels % _NUM_GROUPS:
        raise WeightsError(f"{channels} channels are not a multiple of {_NUM_GROUPS} groups")
    return nn.GroupNorm(_NUM_GROUPS, channels, eps=_EPS)
