"""Convolutional encoder and decoder: the networks that most published tokenizers share.

In: pixels (B, 3, H, W), or codes (B, D, h, w). Out: latents, or pixels. One implementation with few
switches for taming's VQGAN and what came of it (latent diffusion, Chameleon, LlamaGen, Janus, IBQ,
Show-o, open-muse's VQGAN, MoVQ), for MaskGIT's and for MAGVIT-v2's. Knows nothing of quantizers,
names or files.
Sources: Esser et al., arXiv 2012.09841; Yu et al., arXiv 2310.05737; Luo et al., arXiv 2409.04410.

Dimension letters: B batch, C channels, H W pixels, h w cells, D channels of a code.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from vtok.models.families.convnet.norms import AdaptiveNorm, SpatialNorm, group_norm
from vtok.models.families.convnet.resizing import Downsample, NearestUpsample, PixelUpsample
from vtok.models.families.convnet.shape import Level, Stack


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
        spatial: Whether each of the decoder's norms is scaled by the codes, cell by cell.
        lone_attention: Whether a level's attention is used where the level has one block, and so
            one of it: open-muse's code has it then, and passes it over.
    """

    bias: bool = True
    shortcut: Literal["input", "output"] = "input"
    down: Literal["end", "sides", "average"] = "end"
    up: Literal["nearest", "pixels"] = "nearest"
    latent_kernel: Literal[1, 3] = 3
    adaptive: bool = False
    spatial: bool = False
    lone_attention: bool = True


TAMING = ConvStyle()
MUSE = ConvStyle(lone_attention=False)
MUSE_MOVQ = ConvStyle(lone_attention=False, spatial=True)
MOVQ = ConvStyle(spatial=True)
MASKGIT = ConvStyle(bias=False, shortcut="output", down="average", latent_kernel=1)
MAGVIT2 = ConvStyle(bias=False, down="sides", up="pixels", latent_kernel=1, adaptive=True)


class Block(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), with a 1x1 convolution where channels change.

    Args:
        channels_in: Of the input.
        channels_out: Of the output.
        style: What the family does differently.
        code_channels: Of the codes that scale its norms (D); None for plain norms.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        style: ConvStyle,
        code_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.shortcut_of = style.shortcut
        self.norm1 = _norm(channels_in, code_channels)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=style.bias)
        self.norm2 = _norm(channels_out, code_channels)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=style.bias)
        self.nin_shortcut: nn.Conv2d | None = None
        if channels_in != channels_out:
            read = channels_in if style.shortcut == "input" else channels_out
            self.nin_shortcut = nn.Conv2d(read, channels_out, 1, bias=style.bias)

    def forward(self, x: Tensor, codes: Tensor | None = None) -> Tensor:
        """Return (B, C', h, w) of x (B, C, h, w), with the codes (B, D, h', w') for its norms."""
        change: Tensor = self.conv1(functional.silu(_normed(self.norm1, x, codes)))
        change = self.conv2(functional.silu(_normed(self.norm2, change, codes)))
        if self.nin_shortcut is None:
            return x + change
        kept: Tensor = self.nin_shortcut(x if self.shortcut_of == "input" else change)
        return kept + change


class Attention(nn.Module):
    """x + attention(norm(x)) over all cells, with one head.

    Args:
        channels: Of input and output.
        code_channels: Of the codes that scale its norm (D); None for a plain norm.
    """

    def __init__(self, channels: int, code_channels: int | None = None) -> None:
        super().__init__()
        self.norm = _norm(channels, code_channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, codes: Tensor | None = None) -> Tensor:
        """Return (B, C, h, w) of x (B, C, h, w), with the codes (B, D, h', w') for its norm."""
        normed = _normed(self.norm, x, codes)
        query, key, value = (
            project(normed).flatten(2).transpose(1, 2).unsqueeze(1)  # (B, 1, hw, C)
            for project in (self.q, self.k, self.v)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        mixed = mixed.squeeze(1).transpose(1, 2).reshape(x.shape)  # (B, C, h, w)
        change: Tensor = self.proj_out(mixed)
        return x + change


class LevelBlocks(nn.Module):
    """The blocks at one resolution, each followed by its attention if there is any.

    Args:
        channels_in: Of the input.
        level: Its blocks.
        style: What the family does differently.
        code_channels: Of the codes that scale its norms (D); None for plain norms.

    Attributes:
        downsample: What halves the result; None at the lowest resolution, and in a decoder.
        upsample: What doubles it; None at the full resolution, and in an encoder.
    """

    def __init__(
        self,
        channels_in: int,
        level: Level,
        style: ConvStyle,
        code_channels: int | None = None,
    ) -> None:
        super().__init__()
        widths = (channels_in, *(level.channels,) * level.num_blocks)
        self.block = nn.ModuleList(Block(*pair, style, code_channels) for pair in pairwise(widths))
        num_attention = level.num_blocks if level.attention else 0
        self.attn = nn.ModuleList(
            Attention(level.channels, code_channels) for _ in range(num_attention)
        )
        self.attends = num_attention > (0 if style.lone_attention else 1)
        self.downsample: nn.Module | None = None
        self.upsample: nn.Module | None = None

    def forward(self, x: Tensor, codes: Tensor | None = None) -> Tensor:
        """Return (B, C', h', w') of x (B, C, h, w), with the codes (B, D, ...) for its norms."""
        for place, block in enumerate(self.block):
            x = block(x, codes)
            if self.attends:
                x = self.attn[place](x, codes)
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
        self.conv_in = nn.Conv2d(stack.pixel_channels, stack.stem, 3, padding=1, bias=style.bias)
        self.down = nn.ModuleList()
        channels = stack.stem
        for place, level in enumerate(stack.levels):
            blocks = LevelBlocks(channels, level, style)
            channels = level.channels
            if place in stack.halved:
                average = style.down == "average"
                blocks.downsample = nn.AvgPool2d(2) if average else Downsample(channels, style.down)
            self.down.append(blocks)
        self.mid = _middle(stack, channels, style)
        self.norm_out = group_norm(channels)
        kernel = style.latent_kernel
        self.conv_out = nn.Conv2d(channels, latent_channels, kernel, padding=kernel // 2)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (B, C, h, w) of pixels (B, 3, H, W)."""
        x: Tensor = self.conv_in(pixels)
        for level in self.down:
            x = level(x)
        for layer in self.mid:
            x = layer(x)
        latents: Tensor = self.conv_out(functional.silu(self.norm_out(x)))
        return latents


class Synthesis(nn.Module):
    """Codes to pixels.

    Args:
        stack: Levels and layers, from the full resolution down.
        latent_channels: Of the input.
        style: What the family does differently.
        code_channels: Of the codes (D); None where the latents are the codes.
    """

    def __init__(
        self,
        stack: Stack,
        latent_channels: int,
        style: ConvStyle,
        code_channels: int | None = None,
    ) -> None:
        super().__init__()
        channels = stack.levels[-1].channels
        code_channels = code_channels or latent_channels
        for_norms = code_channels if style.spatial else None
        self.conv_in = nn.Conv2d(latent_channels, channels, 3, padding=1)
        self.mid = _middle(stack, channels, style, for_norms)
        upsample = NearestUpsample if style.up == "nearest" else PixelUpsample
        levels: list[LevelBlocks] = []
        adaptive: list[AdaptiveNorm] = []
        for place, level in reversed(list(enumerate(stack.levels))):
            adaptive.append(AdaptiveNorm(channels, code_channels))
            blocks = LevelBlocks(channels, level, style, for_norms)
            channels = level.channels
            if place in stack.doubled:
                blocks.upsample = upsample(channels)
            levels.append(blocks)
        self.up = nn.ModuleList(reversed(levels))
        self.adaptive = nn.ModuleList(reversed(adaptive) if style.adaptive else ())
        self.norm_out = _norm(channels, for_norms)
        self.conv_out = nn.Conv2d(channels, stack.pixel_channels, 3, padding=1)

    def forward(self, latents: Tensor, codes: Tensor | None = None) -> Tensor:
        """Return pixels (B, 3, H, W), unclamped.

        Args:
            latents: (B, C, h, w), what a convolution makes of the codes, or the codes themselves.
            codes: (B, D, h, w), for the norms of those families whose norms read them; None where
                the latents are the codes.
        """
        codes = latents if codes is None else codes
        x: Tensor = self.conv_in(latents)
        for layer in self.mid:
            x = layer(x, codes)
        for place in reversed(range(len(self.up))):
            if len(self.adaptive):
                x = self.adaptive[place](x, codes)
            x = self.up[place](x, codes)
        pixels: Tensor = self.conv_out(functional.silu(_normed(self.norm_out, x, codes)))
        return pixels


def _middle(
    stack: Stack, channels: int, style: ConvStyle, code_channels: int | None = None
) -> nn.ModuleList:
    return nn.ModuleList(
        Block(channels, channels, style, code_channels)
        if kind == "block"
        else Attention(channels, code_channels)
        for kind in stack.mid
    )


def _norm(channels: int, code_channels: int | None) -> nn.GroupNorm | SpatialNorm:
    return group_norm(channels) if code_channels is None else SpatialNorm(channels, code_channels)


def _normed(norm: nn.Module, x: Tensor, codes: Tensor | None) -> Tensor:
    """Return x (B, C, h, w) normed; the codes (B, D, h', w') are read by norms that take them."""
    normed: Tensor = norm(x, codes) if isinstance(norm, SpatialNorm) else norm(x)
    return normed
