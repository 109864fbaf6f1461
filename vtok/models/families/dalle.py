"""DALL-E's discrete VAE, from its two pickles of whole modules or from FLAVA's encoder.

In: pixels (B, 3, H, W) in [0.1, 0.9], which is what its authors map [0, 1] to. Out: indices, and
pixels in the same range. Logits are scored by the encoder's last layer; a code is what the
decoder's first layer makes of one index, so that no one-hot map is ever built. Reads no files.
Sources: Ramesh et al., arXiv 2102.12092; Singh et al., arXiv 2112.04482.

Dimension letters: B batch, H W pixels, h w cells, C channels, D channels of a code, K codes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from vtok.errors import WeightsError
from vtok.models.base import PixelRange, TokenizerSpec
from vtok.models.families.convnet.tokenizer import ProjectedLogits
from vtok.models.quantized import QuantizedTokenizer
from vtok.models.reach import Reach

FAMILY = "dalle"

_MULTIPLIERS = (1, 2, 4, 8)  # of the encoder's groups; the decoder's in reverse
_INPUT_KERNEL = 7
_ENCODER_KERNELS = (3, 3, 3, 1)
_DECODER_KERNELS = (1, 3, 3, 3)
_PIXELS = PixelRange(mean=(-0.125,) * 3, std=(1.25,) * 3)  # 0.8 x + 0.1
_MAX_BLOCKS = 32
_CODEBOOK = "quantizer.codebook"
_RENAMES = (
    (r"^blocks\.", "encoder.blocks."),  # FLAVA has the encoder alone
    (r"\.group\.", "."),
    (r"\.(?:res_path\.)?path\.", "."),
    (r"\.res_path\.", "."),
    (r"\.w$", ".weight"),
    (r"\.b$", ".bias"),
    (r"^encoder\.blocks\.output\.conv\.", "quantizer.proj."),
    (r"\.blocks\.output\.conv\.", ".output."),
    (r"\.blocks\.", "."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DalleShape:
    """The shape of the two networks.

    Attributes:
        width: Channels of the encoder's first and the decoder's last group.
        num_blocks: Of each group.
        codebook_size: Number of codes (K).
        code_dim: Length of one code (D); None where there is no decoder.
    """

    width: int
    num_blocks: int
    codebook_size: int
    code_dim: int | None


class DalleBlock(nn.Module):
    """x + gain * four convolutions, each behind a relu.

    Args:
        channels_in: Of the input.
        channels_out: Of the output; a quarter of it inside.
        kernels: Sides of the four.
        gain: Of the convolutions' result.
    """

    def __init__(
        self, channels_in: int, channels_out: int, kernels: tuple[int, ...], gain: float
    ) -> None:
        super().__init__()
        self.gain = gain
        inside = channels_out // 4
        widths = (channels_in, inside, inside, inside, channels_out)
        for number, (pair, kernel) in enumerate(zip(pairwise(widths), kernels, strict=True), 1):
            self.add_module(f"conv_{number}", nn.Conv2d(*pair, kernel, padding=kernel // 2))
        self.id_path: nn.Conv2d | None = None
        if channels_in != channels_out:
            self.id_path = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', h, w) of x (B, C, h, w)."""
        change = x
        for number in range(1, 5):
            change = self.get_submodule(f"conv_{number}")(functional.relu(change))
        kept: Tensor = x if self.id_path is None else self.id_path(x)
        return kept + self.gain * change


class Groups(nn.Module):
    """Four groups of blocks, with something that changes the size between them.

    Args:
        channels_in: Of the input.
        shape: Of the model.
        multipliers: Width of each group.
        kernels: Sides of a block's convolutions.
        between: Halves or doubles height and width.
    """

    def __init__(
        self,
        channels_in: int,
        shape: DalleShape,
        multipliers: tuple[int, ...],
        kernels: tuple[int, ...],
        between: nn.Module,
    ) -> None:
        super().__init__()
        self.between = between
        gain = 1 / (len(multipliers) * shape.num_blocks) ** 2
        for group, multiplier in enumerate(multipliers, 1):
            channels = multiplier * shape.width
            blocks = nn.Module()
            for number in range(1, shape.num_blocks + 1):
                block = DalleBlock(channels_in, channels, kernels, gain)
                blocks.add_module(f"block_{number}", block)
                channels_in = channels
            self.add_module(f"group_{group}", blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', h', w') of x (B, C, h, w)."""
        for group in range(1, len(_MULTIPLIERS) + 1):
            if group > 1:
                x = self.between(x)
            for block in self.get_submodule(f"group_{group}").children():
                x = block(x)
        return x


class DalleEncoder(Groups):
    """Pixels to what the logits are made of."""

    def __init__(self, shape: DalleShape) -> None:
        super().__init__(shape.width, shape, _MULTIPLIERS, _ENCODER_KERNELS, nn.MaxPool2d(2))
        self.input = nn.Conv2d(3, shape.width, _INPUT_KERNEL, padding=_INPUT_KERNEL // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 8C, h, w) of pixels (B, 3, H, W)."""
        return super().forward(self.input(x))


class DalleDecoder(Groups):
    """Codes to the parameters of a distribution of pixels.

    Args:
        shape: Of the model.
        code_dim: Length of one code (D).
    """

    def __init__(self, shape: DalleShape, code_dim: int) -> None:
        double = nn.Upsample(scale_factor=2.0, mode="nearest")
        super().__init__(code_dim, shape, _MULTIPLIERS[::-1], _DECODER_KERNELS, double)
        self.output = nn.Conv2d(shape.width, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 6, H, W), locations then scales, of codes (B, D, h, w)."""
        parameters: Tensor = self.output(functional.relu(super().forward(x)))
        return parameters


class DalleTokenizer(QuantizedTokenizer):
    """Images to 8,192 codes and back.

    Args:
        shape: Of the networks.
        name: The name it was asked for by.
    """

    def __init__(self, shape: DalleShape, *, name: str) -> None:
        super().__init__()
        self.encoder = DalleEncoder(shape)
        latent_dim = _MULTIPLIERS[-1] * shape.width
        self.quantizer = ProjectedLogits(shape.codebook_size, latent_dim, shape.code_dim)
        self.decoder: DalleDecoder | None = None
        if shape.code_dim is not None:
            self.decoder = DalleDecoder(shape, shape.code_dim)
        downsample = 1 << (len(_MULTIPLIERS) - 1)
        self.spec = TokenizerSpec(
            name=name,
            family=FAMILY,
            downsample=downsample,
            codebook_size=shape.codebook_size,
            code_dim=self.quantizer.code_dim,
            pixels=_PIXELS,
            alignment_px=downsample,
            can_decode=self.decoder is not None,
        )
        self.reach = _reach(shape.num_blocks, downsample)

    def encode(self, pixels: Tensor) -> Tensor:
        """Return latents (B, C, h, w) of pixels (B, 3, H, W) in [0.1, 0.9]."""
        latents: Tensor = self.encoder(pixels)
        return latents

    def quantize(self, latents: Tensor) -> Tensor:
        """Return indices (B, h, w) of latents (B, C, h, w): the largest logit.

        Raises:
            NonFiniteError: a logit is NaN or infinite.
        """
        return super().quantize(functional.relu(latents))

    def decode(self, codes: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W) in (0, 1), meant to be in [0.1, 0.9], of codes (B, D, h, w).

        Raises:
            WeightsError: there is no decoder.
        """
        if self.decoder is None:
            raise WeightsError(f"{self.spec.name} cannot decode: FLAVA has DALL-E's encoder alone")
        parameters: Tensor = self.decoder(codes)
        return parameters[:, :3].sigmoid()


def _reach(num_blocks: int, downsample: int) -> Reach:
    """Return how far the networks see: each group works at half the scale of the one before."""

    def cells(kernels: tuple[int, ...], at_full_scale: int) -> int:
        block = sum(side // 2 for side in kernels)
        pixels = at_full_scale + sum(num_blocks * block << g for g in range(len(_MULTIPLIERS)))
        return -(-pixels // downsample)

    return Reach(
        encoder_cells=cells(_ENCODER_KERNELS, _INPUT_KERNEL // 2),
        decoder_cells=cells(_DECODER_KERNELS, 0),
    )


def dalle_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the two files, or of FLAVA's, under this package's names."""
    ours: dict[str, Tensor] = {}
    for name, tensor in state.items():
        for pattern, replacement in _RENAMES:
            name = re.sub(pattern, replacement, name)
        ours[name] = tensor
    weight, bias = ours.pop("decoder.input.weight", None), ours.pop("decoder.input.bias", None)
    if weight is not None and bias is not None:  # (D, K, 1, 1) of a one-hot map, and (D,)
        ours[_CODEBOOK] = weight.float().flatten(1).T + bias.float()
    return ours


def dalle_shape(state: Mapping[str, Tensor]) -> DalleShape:
    """Return the shape that tensors under this package's names have.

    Raises:
        WeightsError: one that the shape depends on is missing.
    """
    first, logits = state.get("encoder.input.weight"), state.get("quantizer.proj.weight")
    if first is None or logits is None:
        raise WeightsError("missing: the encoder's first or last layer")
    numbers = {
        int(found[1])
        for name in state
        if (found := re.match(r"encoder\.group_1\.block_(\d+)\.", name))
    }
    if not numbers or max(numbers) > _MAX_BLOCKS:
        raise WeightsError("missing: the blocks of the encoder's first group")
    codes = state.get(_CODEBOOK)
    return DalleShape(
        width=first.shape[0],
        num_blocks=max(numbers),
        codebook_size=logits.shape[0],
        code_dim=None if codes is None else codes.shape[1],
    )
