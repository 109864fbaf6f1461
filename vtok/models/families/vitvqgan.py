"""ViT-VQGAN, as its one public implementation has it: transformers around a search by angle.

In: pixels (B, 3, H, W) in [0, 1], of the one size that its positions are for. Out: indices, and
pixels in the same range. Cells are tokens from end to end: a convolution makes one of each patch,
and a transposed one turns it back. Reads no files.
Sources: Yu et al., arXiv 2110.04627; github.com/thuanz123/enhancing-transformers.

Dimension letters: B batch, H W pixels, h w cells, N all of them, C channels, D channels of a code.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtok.codeshape import CodeShape
from vtok.models.base import PixelRange, TokenizerSpec
from vtok.models.families.vitvqgan_shape import TransformerShape, VitVqShape
from vtok.models.quantized import QuantizedTokenizer
from vtok.nn.quantizer import Metric, ResidualQuantizer, VectorQuantizer
from vtok.records import Size

FAMILY = "vit-vqgan"
MARK = "encoder.en_pos_embedding"  # a name that it alone has

_PIXELS = PixelRange(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))  # [0, 1]


class Layer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); the perceptron has tanh inside.

    Args:
        shape: Of the transformer.
    """

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.num_heads = shape.num_heads
        self.norm1 = nn.LayerNorm(shape.dim)  # with torch's own eps of 1e-5, all of them
        self.to_qkv = nn.Linear(shape.dim, 3 * shape.inner_dim, bias=False)
        self.to_out: nn.Module = nn.Identity()
        if shape.projects:
            self.to_out = nn.Linear(shape.inner_dim, shape.dim)
        self.norm2 = nn.LayerNorm(shape.dim)
        self.mlp = nn.Sequential(
            nn.Linear(shape.dim, shape.hidden_dim),
            nn.Tanh(),
            nn.Linear(shape.hidden_dim, shape.dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, N, C) of x (B, N, C)."""
        batch, length, _ = x.shape
        parts = self.to_qkv(self.norm1(x)).view(batch, length, 3, self.num_heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each (B, heads, N, C / heads)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.to_out(mixed.transpose(1, 2).flatten(2))
        change: Tensor = self.mlp(self.norm2(x))
        return x + change


class Transformer(nn.Module):
    """Layers over tokens with positions, and a norm behind them.

    Args:
        shape: Of the transformer.
        num_cells: Tokens (N).
    """

    def __init__(self, shape: TransformerShape, num_cells: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(1, num_cells, shape.dim))
        self.blocks = nn.ModuleList(Layer(shape) for _ in range(shape.num_layers))
        self.norm = nn.LayerNorm(shape.dim)

    def mixed(self, tokens: Tensor) -> Tensor:
        """Return (B, N, C) of tokens (B, N, C)."""
        x: Tensor = tokens + self.positions
        for block in self.blocks:
            x = block(x)
        normed: Tensor = self.norm(x)
        return normed


class VitVqEncoder(Transformer):
    """Pixels to tokens.

    Args:
        shape: Of the tokenizer.
    """

    def __init__(self, shape: VitVqShape) -> None:
        super().__init__(shape.encoder, shape.grid.num_cells)
        self.cells = nn.Conv2d(3, shape.encoder.dim, shape.patch_px, stride=shape.patch_px)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return (B, N, C) of pixels (B, 3, H, W)."""
        return self.mixed(self.cells(pixels).flatten(2).transpose(1, 2))


class VitVqDecoder(Transformer):
    """Tokens to pixels.

    Args:
        shape: Of the tokenizer.
    """

    def __init__(self, shape: VitVqShape) -> None:
        super().__init__(shape.decoder, shape.grid.num_cells)
        self.grid = shape.grid
        self.pixels = nn.ConvTranspose2d(
            shape.decoder.dim, 3, shape.patch_px, stride=shape.patch_px
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W) of tokens (B, N, C)."""
        cells = self.mixed(tokens).transpose(1, 2)  # (B, C, N)
        pixels: Tensor = self.pixels(
            cells.reshape(*cells.shape[:2], self.grid.rows, self.grid.cols)
        )
        return pixels


class VitVqTokenizer(QuantizedTokenizer):
    """Images of one size to indices and back.

    Args:
        shape: Of the networks and the codebook.
        name: The name it was asked for by.
    """

    def __init__(self, shape: VitVqShape, *, name: str) -> None:
        super().__init__()
        self.encoder = VitVqEncoder(shape)
        self.decoder = VitVqDecoder(shape)
        self.pre_quant = nn.Linear(shape.encoder.dim, shape.code_dim)
        self.post_quant = nn.Linear(shape.code_dim, shape.decoder.dim)
        metric: Metric = "cosine" if shape.by_angle else "l2"
        book = VectorQuantizer(shape.codebook_size, shape.code_dim, metric)
        self.quantizer = book
        codes = CodeShape()
        if shape.depth is not None:
            self.quantizer = ResidualQuantizer([book] * shape.depth)
            codes = CodeShape(kind="deep-grid", depth=shape.depth)
        self.grid, factor = shape.grid, shape.patch_px
        self.spec = TokenizerSpec(
            name=name,
            family=FAMILY,
            downsample=factor,
            codebook_size=shape.codebook_size,
            code_dim=shape.code_dim,
            pixels=_PIXELS,
            codes=codes,
            size_policy="fixed",
            fixed_size=Size(height=self.grid.rows * factor, width=self.grid.cols * factor),
            alignment_px=factor,
        )

    def encode(self, pixels: Tensor) -> Tensor:
        """Return latents (B, D, h, w) of pixels (B, 3, H, W) in [0, 1]."""
        latents: Tensor = self.pre_quant(self.encoder(pixels))  # (B, N, D)
        columns = latents.transpose(1, 2)  # (B, D, N)
        return columns.reshape(*columns.shape[:2], self.grid.rows, self.grid.cols)

    def decode(self, codes: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W), clamped to [0, 1], of codes (B, D, h, w)."""
        tokens = self.post_quant(codes.flatten(2).transpose(1, 2))  # (B, N, C)
        pixels: Tensor = self.decoder(tokens)
        return pixels.clamp(0, 1)
