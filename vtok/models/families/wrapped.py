"""Tokenizers whose networks are a library's: diffusers' VQModel, transformers' Emu3.

In: a configuration as the library writes it. Out: a tokenizer around the library's networks with
this package's exact search. The libraries are imported when such a model is loaded, not before.
Reads no files.

Dimension letters: B batch, H W pixels, h w cells, D channels of a code, T frames.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from huggingface_hub import errors as hub_errors
from torch import Tensor, nn

from vtok.errors import WeightsError
from vtok.models.base import PixelRange, TokenizerSpec
from vtok.models.quantized import QuantizedTokenizer
from vtok.nn.quantizer import VectorQuantizer

_MAX_LIST = 16
_MAX_DEPTH = 64
_MAX_NUMBER = 1 << 24
# What transformers says of a field of another type; older hubs do not have it, nor its users.
_ODD_FIELD = getattr(hub_errors, "StrictDataclassError", ValueError)
_COMPLAINTS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    _ODD_FIELD,
)
_DEPTHS = frozenset(("layers_per_block", "num_res_blocks", "temporal_downsample_factor"))


class _Wrapped(QuantizedTokenizer):
    """A tokenizer around the networks of a library's model, with a search of this package's."""

    def _adopt(self, network: Any) -> Tensor:
        """Take the model's networks, and a quantizer of its codebook's shape; return the codebook.

        Nothing else of the model is kept.
        """
        self.encoder: nn.Module = network.encoder
        self.quant_conv: nn.Module = network.quant_conv
        self.post_quant_conv: nn.Module = network.post_quant_conv
        self.decoder: nn.Module = network.decoder
        codebook: Tensor = network.quantize.embedding.weight
        self.quantizer = VectorQuantizer(*codebook.shape)
        return codebook


class DiffusersTokenizer(_Wrapped):
    """A diffusers VQModel: aMUSEd's, latent diffusion's or MoVQ's.

    Args:
        config: The content of its config.json.
        name: The name it was asked for by.
        family: The family's name.
        pixels: The input range, which the configuration does not say.

    Raises:
        WeightsError: diffusers is not installed, or the configuration is none of a VQModel.
    """

    def __init__(
        self, config: Mapping[str, Any], *, name: str, family: str, pixels: PixelRange
    ) -> None:
        super().__init__()
        try:
            from diffusers import VQModel
        except ImportError as error:
            raise _not_installed("diffusers", name) from error
        network = _made(VQModel, config)
        codebook = self._adopt(network)
        self.spatial = network.config.norm_type == "spatial"
        self.spec = _spec(name, family, codebook, len(network.config.block_out_channels), pixels)

    def encode(self, pixels: Tensor) -> Tensor:
        """Return latents (B, D, h, w) of pixels (B, 3, H, W)."""
        latents: Tensor = self.quant_conv(self.encoder(pixels))
        return latents

    def decode(self, codes: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W), unclamped, of codes (B, D, h, w)."""
        style = codes if self.spatial else None
        pixels: Tensor = self.decoder(self.post_quant_conv(codes), style)
        return pixels


class Emu3Tokenizer(_Wrapped):
    """Emu3's video tokenizer for single images: repeated to one step of its T frames.

    Args:
        config: The content of its config.json.
        name: The name it was asked for by.
        family: The family's name.
        pixels: The input range.

    Raises:
        WeightsError: transformers is not installed, or the configuration is not Emu3's.
    """

    def __init__(
        self, config: Mapping[str, Any], *, name: str, family: str, pixels: PixelRange
    ) -> None:
        super().__init__()
        try:
            from transformers import Emu3VQVAE, Emu3VQVAEConfig
        except ImportError as error:
            raise _not_installed("transformers", name) from error
        fields = _made(Emu3VQVAEConfig, config)
        network = _understood(lambda: Emu3VQVAE(fields))
        codebook = self._adopt(network)
        self.num_frames: int = network.config.temporal_downsample_factor
        self.spec = _spec(name, family, codebook, len(network.config.channel_multiplier), pixels)

    def encode(self, pixels: Tensor) -> Tensor:
        """Return latents (B, D, h, w) of pixels (B, 3, H, W)."""
        frames = pixels.unsqueeze(1).repeat(1, self.num_frames, 1, 1, 1)  # (B, T, 3, H, W)
        encoded: Tensor = self.encoder(frames)  # (B, 1, D, h, w)
        latents: Tensor = self.quant_conv(encoded.transpose(1, 2))  # (B, D, 1, h, w)
        return latents.squeeze(2)

    def decode(self, codes: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W), unclamped, of codes (B, D, h, w): the first frame."""
        frame = codes.unsqueeze(2).contiguous()  # (B, D, 1, h, w)
        latents: Tensor = self.post_quant_conv(frame)
        video: Tensor = self.decoder(latents.transpose(1, 2), frame.transpose(1, 2))
        size = (codes.shape[2] * self.spec.downsample, codes.shape[3] * self.spec.downsample)
        return video.reshape(len(codes), self.num_frames, 3, *size)[:, 0]


def _spec(
    name: str, family: str, codebook: Tensor, num_levels: int, pixels: PixelRange
) -> TokenizerSpec:
    downsample = 1 << (num_levels - 1)
    return TokenizerSpec(
        name=name,
        family=family,
        downsample=downsample,
        codebook_size=codebook.shape[0],
        code_dim=codebook.shape[1],
        pixels=pixels,
        alignment_px=downsample,
    )


def _made(make: Callable[..., Any], config: Mapping[str, Any]) -> Any:
    """Return what the library makes of those fields that it knows, none of absurd size.

    Raises:
        WeightsError: a field cannot be what it is.
    """
    known = inspect.signature(make).parameters
    given = {name: value for name, value in config.items() if name in known}
    for name, value in given.items():
        numbers = value if isinstance(value, list) else [value]
        limit = _MAX_DEPTH if name in _DEPTHS else _MAX_NUMBER
        if len(numbers) > _MAX_LIST or any(isinstance(n, int) and n > limit for n in numbers):
            raise WeightsError(f"the configuration's {name} cannot be {value!r}")
    return _understood(lambda: make(**given))


def _understood(make: Callable[[], Any]) -> Any:
    """Return what a library makes; its own complaint in one line where it cannot.

    Raises:
        WeightsError: it cannot.
    """
    try:
        return make()
    except _COMPLAINTS as error:
        reason = str(error).splitlines()[0].rstrip(":") if str(error) else type(error).__name__
        raise WeightsError(f"the configuration is not understood: {reason}") from error


def _not_installed(library: str, name: str) -> WeightsError:
    return WeightsError(f"{name} needs {library}: pip install 'vtok[models]'")
