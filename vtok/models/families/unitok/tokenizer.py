"""UniTok: eight indices a cell, each of a codebook of its own, between two ViTamins.

In: pixels (B, 3, H, W) in [-1, 1]. Out: indices (B, G, L), one row a codebook, and pixels in the
same range, clamped as its authors do. Its text tower and what serves it are left out. Reads no
files. Source: Ma et al., arXiv 2502.20321; the projections attend to all tokens, as in the release
of April 2025 (those of February 2025 attended to earlier ones, under the same names).

Dimension letters: B batch, H W pixels, h w cells, L positions, D channels of all codes of one
position, G codebooks, K codes of each, C channels of a token.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtok.codeshape import CodeShape
from vtok.errors import ShardError
from vtok.models.base import PixelRange, Tokenizer, TokenizerSpec
from vtok.models.families.unitok.shape import UnitokShape
from vtok.models.families.unitok.vitamin import DOWNSAMPLE, GegluMlp, VitaminDecoder, VitaminEncoder
from vtok.nn.quantizer import ProductQuantizer, VectorQuantizer

FAMILY = "unitok"

_WIDENING = 2  # inside the perceptron of a projection


class ProjectionAttention(nn.Module):
    """Attention whose output has other channels than its input.

    Heads have as many channels as the narrow side. Towards it they are averaged, away from it they
    are put side by side.

    Args:
        dim_in: Channels of the input.
        dim_out: Channels of the output; one of the two is a multiple of the other.
    """

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        inside = max(dim_in, dim_out)
        self.head_dim = min(dim_in, dim_out)
        self.narrows = dim_in > dim_out
        self.qkv = nn.Linear(dim_in, 3 * inside, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(inside))
        self.v_bias = nn.Parameter(torch.zeros(inside))
        self.register_buffer("zero_k_bias", torch.zeros(inside))
        self.proj = nn.Linear(dim_out, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, N, C') of x (B, N, C)."""
        bias = torch.cat((self.q_bias, self.get_buffer("zero_k_bias"), self.v_bias))
        parts = functional.linear(x, self.qkv.weight, bias)
        parts = parts.reshape(*x.shape[:2], 3, -1, self.head_dim)  # (B, N, 3, heads, c)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # (B, heads, N, c)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        mixed = mixed.mean(dim=1) if self.narrows else mixed.transpose(1, 2).flatten(2)
        projected: Tensor = self.proj(mixed)
        return projected


class Projection(nn.Module):
    """A linear map and attention side by side, then a perceptron.

    Args:
        dim_in: Channels of the input.
        dim_out: Channels of the output.
    """

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim_in)  # these three with torch's own eps of 1e-5
        self.attn = ProjectionAttention(dim_in, dim_out)
        self.proj = nn.Linear(dim_in, dim_out)
        self.norm3 = nn.LayerNorm(dim_in)
        self.norm2 = nn.LayerNorm(dim_out)
        self.mlp = GegluMlp(dim_out, _WIDENING * dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, N, C') of x (B, N, C)."""
        x = self.proj(self.norm3(x)) + self.attn(self.norm1(x))
        change: Tensor = self.mlp(self.norm2(x))
        return x + change


class UnitokTokenizer(Tokenizer):
    """Images of one size to indices of several codebooks and back.

    Args:
        shape: Of the networks and the codebooks.
        name: The name it was asked for by.
    """

    def __init__(self, shape: UnitokShape, *, name: str) -> None:
        super().__init__()
        wide, narrow, queries = shape.encoder.dim, shape.code_dim, shape.num_queries
        project = Projection if shape.attends else nn.Linear
        self.encoder = VitaminEncoder(shape.stem, shape.down, shape.encoder, queries)
        self.quant_proj: nn.Module = project(wide, narrow)
        part_dim = narrow // shape.num_codebooks
        self.quantizer = ProductQuantizer(
            [
                VectorQuantizer(shape.codebook_size, part_dim, "cosine")
                for _ in range(shape.num_codebooks)
            ]
        )
        self.post_quant_proj: nn.Module = project(narrow, wide)
        self.decoder = VitaminDecoder(shape.decoder, shape.up, queries)
        self.grid = shape.grid
        # With learned tokens in front, positions are no grid.
        positions = shape.grid.num_cells + queries
        self._latent_grid = (1, positions) if queries else (shape.grid.rows, shape.grid.cols)
        self.spec = TokenizerSpec(
            name=name,
            family=FAMILY,
            downsample=DOWNSAMPLE,
            codebook_size=shape.codebook_size,
            code_dim=narrow,
            pixels=PixelRange(),
            codes=CodeShape(
                kind="codebooks",
                num_codebooks=shape.num_codebooks,
                length=positions if queries else None,
            ),
            size_policy="fixed",
            fixed_size=shape.size,
            alignment_px=DOWNSAMPLE,
        )

    def encode(self, pixels: Tensor) -> Tensor:
        """Return latents (B, D, h, w), or (B, D, 1, L), of pixels (B, 3, H, W) in [-1, 1]."""
        latents: Tensor = self.quant_proj(self.encoder(pixels))  # (B, L, D)
        return self._placed(latents)

    def quantize(self, latents: Tensor) -> Tensor:
        """Return the nearest indices (B, G, L) of latents (B, D, h, w); ties to the smaller one.

        Raises:
            NonFiniteError: a latent is NaN or infinite.
        """
        return self.quantizer.quantize(latents.flatten(2).transpose(1, 2)).transpose(1, 2)

    def lookup(self, indices: Tensor) -> Tensor:
        """Return codes (B, D, h, w), or (B, D, 1, L), at indices (B, G, L).

        Raises:
            ShardError: an index is outside its codebook, or there are not as many as there should.
        """
        wanted = self.spec.codes.shape_of(self.grid)
        if tuple(indices.shape[1:]) != wanted:
            raise ShardError(f"indices of shape {tuple(indices.shape[1:])} are not {wanted}")
        return self._placed(self.quantizer.lookup(indices.transpose(1, 2)))

    def decode(self, codes: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W), clamped to [-1, 1], of codes (B, D, h, w) or (B, D, 1, L)."""
        tokens = self.post_quant_proj(codes.flatten(2).transpose(1, 2))  # (B, L, C)
        pixels: Tensor = self.decoder(tokens, self.grid.rows, self.grid.cols)
        return pixels.clamp(-1, 1)

    def _placed(self, vectors: Tensor) -> Tensor:
        """Return vectors (B, L, D) as (B, D, h, w)."""
        return vectors.transpose(1, 2).reshape(len(vectors), -1, *self._latent_grid)
