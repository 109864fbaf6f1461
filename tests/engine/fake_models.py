"""Models that are deterministic from pixels, and can be told to fail."""

import torch
from torch import Tensor
from torch.nn import functional

from vtok.errors import NonFiniteError, ShardError
from vtok.models.base import Encoder, EncoderSpec, PixelRange, Tokenizer, TokenizerSpec

FACTOR = 4
NUM_LEVELS = 9


class BlockTokenizer(Tokenizer):
    """A code for every 4x4 block: its mean colour, to one of 9 levels a channel.

    Attributes:
        batch_shapes: Shapes of every call, in order.
        most_pixels: More than this in one call are out of memory.
        is_poisoned: Blocks of mean 0 become NaN.
    """

    def __init__(self, *, most_pixels: int = 1 << 40, is_poisoned: bool = False) -> None:
        super().__init__()
        self.spec = TokenizerSpec(
            name="block",
            family="block",
            downsample=FACTOR,
            codebook_size=NUM_LEVELS**3,
            code_dim=3,
            pixels=PixelRange(),
            alignment_px=FACTOR,
        )
        self.batch_shapes: list[tuple[int, ...]] = []
        self.most_pixels = most_pixels
        self.is_poisoned = is_poisoned

    def encode(self, pixels: Tensor) -> Tensor:
        self.batch_shapes.append(tuple(pixels.shape))
        if pixels.shape[0] * pixels.shape[2] * pixels.shape[3] > self.most_pixels:
            raise torch.OutOfMemoryError("pretended")
        assert torch.is_inference_mode_enabled()
        assert not self.training
        latents = functional.avg_pool2d(pixels, FACTOR)
        return latents / (latents > -1) if self.is_poisoned else latents

    def quantize(self, latents: Tensor) -> Tensor:
        if not latents.isfinite().all():
            raise NonFiniteError("a latent is NaN")
        levels = ((latents + 1) / 2 * (NUM_LEVELS - 1)).round().long()  # (B, 3, h, w)
        return (levels[:, 0] * NUM_LEVELS + levels[:, 1]) * NUM_LEVELS + levels[:, 2]

    def lookup(self, indices: Tensor) -> Tensor:
        if indices.min() < 0 or indices.max() >= self.spec.codebook_size:
            raise ShardError("an index is outside the codebook")
        levels = [
            indices // NUM_LEVELS**2,
            indices // NUM_LEVELS % NUM_LEVELS,
            indices % NUM_LEVELS,
        ]
        return torch.stack(levels, 1) / (NUM_LEVELS - 1) * 2 - 1

    def decode(self, codes: Tensor) -> Tensor:
        self.batch_shapes.append(tuple(codes.shape))
        pixels = functional.interpolate(codes, scale_factor=FACTOR, mode="nearest")
        return pixels / (pixels > -1) if self.is_poisoned else pixels


class BlockEncoder(Encoder):
    """A feature of six numbers for every 4x4 block; refuses what is not finite as a whole."""

    def __init__(self, *, is_poisoned: bool = False) -> None:
        super().__init__()
        self.spec = EncoderSpec(
            name="block", family="block", patch_px=FACTOR, dim=6, pixels=PixelRange(),
            alignment_px=FACTOR,
        )  # fmt: skip
        self.scale = torch.nn.Parameter(torch.full((1,), 3.0))
        self.is_poisoned = is_poisoned

    def features(self, pixels: Tensor) -> Tensor:
        means = functional.avg_pool2d(pixels, FACTOR)
        both = torch.cat([means, means * self.scale], 1).flatten(2).transpose(1, 2)  # (B, N, 6)
        if self.is_poisoned and (means == -1).any():
            raise NonFiniteError("a block is black")
        return both
