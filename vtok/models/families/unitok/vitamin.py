"""ViTamin: a convolutional stem and two stages, then transformer blocks without positions.

In: pixels (B, 3, H, W), or tokens (B, N, D). Out: tokens of one sixteenth of the size, or pixels.
Modules are named as in its authors' files. Knows nothing of quantizers or files.
Sources: Chen et al. (ViTamin), arXiv 2404.02132; its mirror image is UniTok's, arXiv 2502.20321.

Dimension letters: B batch, C channels, H W pixels, h w cells, N tokens, D channels of a token.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtok.models.families.unitok.vitamin_conv import (
    Doubling,
    InverseStem,
    Reduction,
    Stage,
    Stem,
    blocks_of,
)

HEAD_DIM = 64  # of ViTamin of every size
DOWNSAMPLE = 16  # by the stem, two stages and the convolution behind them

_EPS = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class BlocksShape:
    """Transformer blocks.

    Attributes:
        dim: Channels of a token (D).
        num_blocks: One after the other.
        hidden_dim: Channels inside a block's perceptron.
    """

    dim: int
    num_blocks: int
    hidden_dim: int


class GegluMlp(nn.Module):
    """Norm, then a linear map times the GELU (by tanh) of another, then a third.

    Args:
        dim: Channels of input and output.
        hidden_dim: Channels between.
    """

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=_EPS)
        self.w0 = nn.Linear(dim, hidden_dim)
        self.w1 = nn.Linear(dim, hidden_dim)
        self.w2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, N, D) of x (B, N, D)."""
        x = self.norm(x)
        mixed: Tensor = self.w2(functional.gelu(self.w0(x), approximate="tanh") * self.w1(x))
        return mixed


class HeadsAttention(nn.Module):
    """Attention of every token to all, in heads of 64 channels.

    Args:
        dim: Channels of input and output (D).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, N, D) of x (B, N, D)."""
        parts = self.qkv(x).reshape(*x.shape[:2], 3, -1, HEAD_DIM)  # (B, N, 3, heads, 64)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)  # (B, heads, N, 64)
        projected: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)), whose perceptron has a norm of its own too.

    Args:
        shape: Of the blocks.
    """

    def __init__(self, shape: BlocksShape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.dim, eps=_EPS)
        self.attn = HeadsAttention(shape.dim)
        self.norm2 = nn.LayerNorm(shape.dim, eps=_EPS)
        self.mlp = GegluMlp(shape.dim, shape.hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, N, D) of x (B, N, D)."""
        x = x + self.attn(self.norm1(x))
        change: Tensor = self.mlp(self.norm2(x))
        return x + change


class VitaminEncoder(nn.Module):
    """Pixels to tokens.

    Args:
        stem: Channels at half the size.
        stages: At a quarter and an eighth of it.
        blocks: Behind them.
        num_queries: Learned tokens in front of those of the image.
    """

    def __init__(
        self, stem: int, stages: tuple[Stage, ...], blocks: BlocksShape, num_queries: int
    ) -> None:
        super().__init__()
        self.stem = Stem(stem)
        self.stages = nn.ModuleList()
        channels = stem
        for stage in stages:
            self.stages.append(nn.Sequential(*blocks_of(channels, stage, "halve")))
            channels = stage.channels
        self.pool = Reduction(channels, blocks.dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, 1, blocks.dim))  # the same for all tokens
        self.reg_token: nn.Parameter | None = None
        if num_queries:
            self.reg_token = nn.Parameter(torch.zeros(1, num_queries, blocks.dim))
        self.blocks = nn.Sequential(*(TransformerBlock(blocks) for _ in range(blocks.num_blocks)))
        self.norm = nn.LayerNorm(blocks.dim, eps=_EPS)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return tokens (B, N, D) of pixels (B, 3, H, W): the queries', then row by row."""
        x: Tensor = self.stem(pixels)
        for stage in self.stages:
            x = stage(x)
        x = self.pool(x).flatten(2).transpose(1, 2)  # (B, hw, D)
        if self.reg_token is not None:
            x = torch.cat((self.reg_token.expand(len(x), -1, -1), x), dim=1)
        tokens: Tensor = self.norm(self.blocks(x + self.pos_embed))
        return tokens


class VitaminDecoder(nn.Module):
    """Tokens to pixels: the encoder's mirror image.

    Args:
        blocks: Before the convolutions.
        stages: At an eighth of the size, which only comes to it, and at a quarter and a half.
        num_queries: Tokens in front that are no part of the image.
    """

    def __init__(self, blocks: BlocksShape, stages: tuple[Stage, Stage], num_queries: int) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.blocks = nn.Sequential(*(TransformerBlock(blocks) for _ in range(blocks.num_blocks)))
        self.norm = nn.LayerNorm(blocks.dim, eps=_EPS)
        first, second = stages
        self.up_conv1 = Doubling(blocks.dim, first.channels)
        self.up_conv2 = nn.Sequential(*blocks_of(first.channels, first, "double"))
        self.up_conv3 = nn.Sequential(*blocks_of(first.channels, second, "double"))
        self.up_conv4 = InverseStem(second.channels)

    def forward(self, tokens: Tensor, rows: int, columns: int) -> Tensor:
        """Return pixels (B, 3, 16 rows, 16 columns) of tokens (B, N, D)."""
        x: Tensor = self.norm(self.blocks(tokens)[:, self.num_queries :])
        x = x.transpose(1, 2).reshape(len(x), -1, rows, columns)  # (B, D, h, w)
        pixels: Tensor = self.up_conv4(self.up_conv3(self.up_conv2(self.up_conv1(x))))
        return pixels
