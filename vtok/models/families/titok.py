"""TiTok: an image as a short sequence of tokens that have no place in it.

In: pixels (B, 3, H, W) in [0, 1], of the one size that it was trained at. Out: L indices, and
pixels in the same range. Learned latent tokens join the patches in a transformer, and are all that
is kept; the decoder's transformer fills a grid of mask tokens from them. The grid then becomes
pixels by itself, or, in the first release, a mixture of a MaskGIT VQGAN's codes, which that
model's own decoder turns into pixels. Reads no files.
Source: Yu et al., arXiv 2406.07550.

Dimension letters: B batch, H W pixels, N cells of the grid, L latent tokens, C channels, D channels
of a code, P pixels of a cell along one side.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtok.codeshape import CodeShape
from vtok.errors import UsageError, WeightsError
from vtok.models.base import PixelRange, TokenizerSpec
from vtok.models.families.convnet.networks import MASKGIT, Synthesis
from vtok.models.families.titok_shape import HEAD_CHANNELS, TitokShape, TowerShape
from vtok.models.quantized import QuantizedTokenizer
from vtok.nn.block import Block
from vtok.nn.quantizer import VectorQuantizer
from vtok.records import Size

FAMILY = "titok"

_PIXELS = PixelRange(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))  # [0, 1]
_NORM_EPS = 1e-5


class Tower(nn.Module):
    """Blocks over a class token, the cells of a grid and the latent tokens, all with positions.

    Args:
        shape: Of the transformer.
        num_tokens: Latent tokens (L).
    """

    def __init__(self, shape: TowerShape, num_tokens: int) -> None:
        super().__init__()
        width, self.num_cells = shape.width, shape.grid**2
        self.class_embedding = nn.Parameter(torch.randn(1, width))
        self.positional_embedding = nn.Parameter(torch.randn(self.num_cells + 1, width))
        self.latent_token_positional_embedding = nn.Parameter(torch.randn(num_tokens, width))
        self.norm_pre = nn.LayerNorm(width, eps=_NORM_EPS)
        self.blocks = nn.ModuleList(
            Block(width, width // HEAD_CHANNELS, 4 * width, norm_eps=_NORM_EPS)
            for _ in range(shape.num_layers)
        )
        self.norm_post = nn.LayerNorm(width, eps=_NORM_EPS)

    def mixed(self, cells: Tensor, latents: Tensor) -> Tensor:
        """Return all tokens (B, 1 + N + L, C) of cells (B, N, C) and latent tokens (B, L, C)."""
        first = self.class_embedding.expand(len(cells), -1, -1)  # (B, 1, C)
        grid = torch.cat((first, cells), dim=1) + self.positional_embedding
        places = latents + self.latent_token_positional_embedding
        x: Tensor = self.norm_pre(torch.cat((grid, places), dim=1))
        for block in self.blocks:
            x = block(x)
        return x


class TitokEncoder(Tower):
    """Pixels and the learned latent tokens to latents.

    Args:
        shape: Of the tokenizer.
    """

    def __init__(self, shape: TitokShape) -> None:
        super().__init__(shape.encoder, shape.num_tokens)
        width, patch_px = shape.encoder.width, shape.encoder.patch_px
        self.legacy = shape.legacy
        self.patch_embed = nn.Conv2d(3, width, patch_px, stride=patch_px)
        self.conv_out = nn.Conv2d(width, shape.code_dim, 1)

    def forward(self, pixels: Tensor, latent_tokens: Tensor) -> Tensor:
        """Return latents (B, D, 1, L) of pixels (B, 3, H, W) and latent tokens (L, C)."""
        cells = self.patch_embed(pixels).flatten(2).transpose(1, 2)  # (B, N, C)
        x = self.mixed(cells, latent_tokens.expand(len(pixels), -1, -1))
        tokens: Tensor = self.norm_post(x[:, 1 + self.num_cells :])  # (B, L, C)
        batch, length, width = tokens.shape
        columns = tokens.transpose(1, 2)  # (B, C, L)
        if self.legacy:
            # The first release read the memory of (L, C) as (C, L): a channel of its convolution is
            # a run of L numbers, most often of a single token. Its weights were trained so.
            columns = tokens.reshape(batch, width, length)
        latents: Tensor = self.conv_out(columns.unsqueeze(3))  # (B, D, L, 1)
        return latents.reshape(batch, -1, 1, length)


class TitokDecoder(Tower):
    """Codes to a map over the grid: pixels, or logits of the proxies.

    Args:
        tower: Of the transformer.
        shape: Of the tokenizer.
    """

    def __init__(self, tower: TowerShape, shape: TitokShape) -> None:
        super().__init__(tower, shape.num_tokens)
        width, self.side, self.patch_px = tower.width, tower.grid, tower.patch_px
        self.decoder_embed = nn.Linear(shape.code_dim, width)
        self.mask_token = nn.Parameter(torch.randn(1, 1, width))
        self.conv_out: nn.Conv2d | None = None
        if shape.proxies is None:
            self.head = nn.Sequential(nn.Conv2d(width, 3 * self.patch_px**2, 1))
            self.conv_out = nn.Conv2d(3, 3, 3, padding=1)
        else:
            self.head = nn.Sequential(
                nn.Conv2d(width, 2 * width, 1), nn.Tanh(), nn.Conv2d(2 * width, shape.proxies[0], 1)
            )

    def forward(self, codes: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W), or logits (B, K', h, w), of codes (B, D, 1, L)."""
        latents = self.decoder_embed(codes.squeeze(2).transpose(1, 2))  # (B, L, C)
        masks = self.mask_token.expand(len(codes), self.num_cells, -1)
        x: Tensor = self.norm_post(self.mixed(masks, latents)[:, 1 : 1 + self.num_cells])
        batch, width = len(x), x.shape[2]
        grid: Tensor = self.head(x.transpose(1, 2).reshape(batch, width, self.side, self.side))
        if self.conv_out is None:
            return grid
        # A cell's channels are its rows, then its columns, then its colours, which come first in
        # torch's pixel_shuffle.
        cells = grid.reshape(batch, self.patch_px**2, 3, self.side, self.side)
        cells = cells.transpose(1, 2).flatten(1, 2)  # (B, 3 P^2, h, w)
        pixels: Tensor = self.conv_out(functional.pixel_shuffle(cells, self.patch_px))
        return pixels


class TitokTokenizer(QuantizedTokenizer):
    """Square images of one size to L indices and back.

    Args:
        shape: Of the networks and the codebook.
        name: The name it was asked for by.
    """

    def __init__(self, shape: TitokShape, *, name: str) -> None:
        super().__init__()
        self.encoder = TitokEncoder(shape)
        self.latent_tokens = nn.Parameter(torch.randn(shape.num_tokens, shape.encoder.width))
        self.quantizer = VectorQuantizer(shape.codebook_size, shape.code_dim, shape.metric)
        self.decoder: TitokDecoder | None = None
        self.pixel_decoder: Synthesis | None = None
        self._no_decoder = shape.no_decoder
        if shape.decoder is not None:
            self.decoder = TitokDecoder(shape.decoder, shape)
        if shape.proxies is not None and shape.pixel_decoder is not None:
            self.proxy_codes = nn.Parameter(torch.randn(shape.proxies))
            self.pixel_decoder = Synthesis(shape.pixel_decoder, shape.proxies[1], MASKGIT)
        self.spec = TokenizerSpec(
            name=name,
            family=FAMILY,
            downsample=shape.encoder.patch_px,
            codebook_size=shape.codebook_size,
            code_dim=shape.code_dim,
            pixels=_PIXELS,
            codes=CodeShape(kind="codebooks", length=shape.num_tokens),
            size_policy="fixed",
            fixed_size=Size(height=shape.side_px, width=shape.side_px),
            alignment_px=shape.encoder.patch_px,
            can_decode=self.decoder is not None,
        )

    def encode(self, pixels: Tensor) -> Tensor:
        """Return latents (B, D, 1, L) of pixels (B, 3, H, W).

        Raises:
            UsageError: the images are of another size.
        """
        size = Size(height=pixels.shape[2], width=pixels.shape[3])
        if size != self.spec.fixed_size:
            raise UsageError(f"{self.spec.name} takes {self.spec.fixed_size} alone, not {size}")
        latents: Tensor = self.encoder(pixels, self.latent_tokens)
        return latents

    def decode(self, codes: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W), unclamped, of codes (B, D, 1, L).

        Raises:
            WeightsError: it cannot.
        """
        if self.decoder is None:
            raise WeightsError(f"{self.spec.name} cannot decode: {self._no_decoder}")
        grid: Tensor = self.decoder(codes)
        if self.pixel_decoder is None:
            return grid
        mixture = torch.einsum("bkhw,kd->bdhw", grid.softmax(dim=1), self.proxy_codes)
        pixels: Tensor = self.pixel_decoder(mixture)
        return pixels
