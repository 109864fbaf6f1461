"""A tokenizer that is run as the TorchScript program that its authors published.

In: `encoder.jit`, and `decoder.jit` where there is one. Out: a tokenizer whose indices are what the
first program gives, and whose pixels are what the second does. Loading such a file runs code that
is in it, so that nothing here is called without the user's word. What the programs are is found out
by running them on a blank image. They give no latents: an index itself stands for its latent and
for its code, exact in fp32. They compute in the dtype that they were saved in, whatever is asked.

Dimension letters: B batch, H W pixels, h w cells, K codebook size.
"""

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vtok.errors import WeightsError
from vtok.models.base import PixelRange, Tokenizer, TokenizerSpec
from vtok.models.files.weights import ModelFolder
from vtok.models.presets import PRESETS
from vtok.nn.quantizer.protocol import checked_indices
from vtok.quantities import counted

FAMILY = "torchscript"
ALLOW = "--allow-torchscript runs that, if you trust it like a program that you install"

_AS_WRITTEN = ExitStack()

_PROBE_PX = 64
_MAX_CODES = 1 << 24  # the largest number up to which fp32 has all whole ones


class ScriptedTokenizer(Tokenizer):
    """Two programs.

    Args:
        encoder: Pixels (B, 3, H, W) to indices (B, h, w), alone or first in a tuple.
        decoder: Indices (B, h, w) to pixels (B, 3, H, W); None where there is none.
        name: The name it was asked for by.
        codebook_size: Number of codes (K).
        downsample: Pixels per latent cell along one side.
        alignment_px: What sides must be multiples of.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module | None,
        *,
        name: str,
        codebook_size: int,
        downsample: int,
        alignment_px: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.spec = TokenizerSpec(
            name=name,
            family=FAMILY,
            downsample=downsample,
            codebook_size=codebook_size,
            code_dim=1,
            pixels=PixelRange(),
            alignment_px=alignment_px,
            can_decode=decoder is not None,
        )

    def encode(self, pixels: Tensor) -> Tensor:
        """Return indices as (B, 1, h, w) fp32 of pixels (B, 3, H, W).

        Raises:
            WeightsError: the program fails, or gives no indices.
        """
        return _indices_of(self.encoder, pixels).unsqueeze(1).float()

    def quantize(self, latents: Tensor) -> Tensor:
        """Return indices (B, h, w) int64 of what `encode` gives.

        Raises:
            WeightsError: the program gave one that is outside of the codebook.
        """
        indices = latents.squeeze(1).long()
        if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < self._num_codes:
            raise WeightsError(
                f"{self.spec.name}: its program gives indices from {int(indices.min())} to "
                f"{int(indices.max())}, and it has {counted(self._num_codes, 'code')}"
            )
        return indices

    def lookup(self, indices: Tensor) -> Tensor:
        """Return what stands for codes, (B, 1, h, w), at indices (B, h, w).

        Raises:
            ShardError: an index is outside the codebook.
        """
        return checked_indices(indices, self._num_codes).unsqueeze(1).float()

    def decode(self, codes: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W), unclamped, of what stands for codes (B, 1, h, w).

        Raises:
            WeightsError: there is no decoder, or it fails.
        """
        if self.decoder is None:
            raise WeightsError(f"{self.spec.name} cannot decode: there is no decoder.jit beside it")
        return _pixels_of(self.decoder, codes.squeeze(1).int())

    @property
    def _num_codes(self) -> int:
        return self.spec.codebook_size


def load_programs(
    folder: ModelFolder, state: Mapping[str, Tensor], *, name: str
) -> ScriptedTokenizer:
    """Load the programs of a tokenizer and run them on a blank image.

    Args:
        folder: Whose weights files are the encoder, and the decoder where there is one.
        state: Their tensors, as far as they could be read.
        name: The name it was asked for by.

    Raises:
        WeightsError: they are not a tokenizer's, or fail, or the codebook's size is not known.
    """
    preset = PRESETS.get(name)
    codebook_size = preset.codebook_size if preset else _codebook_size(folder.config, state)
    if codebook_size is None or not 1 <= codebook_size <= _MAX_CODES:
        raise WeightsError(
            f"{folder.path}: a program does not say how many codes it has: put "
            '{"codebook_size": ...} into a config.json beside it'
        )
    blank = torch.zeros(1, 3, _PROBE_PX, _PROBE_PX)
    programs = [_loaded(path) for path in folder.weights]
    with torch.inference_mode(), _blamed_on(folder.weights[0]):
        indices = _indices_of(programs[0], blank)
        factor = _PROBE_PX // max(indices.shape[-1], 1)
        if indices.shape[1:] != (_PROBE_PX // factor,) * 2 or _PROBE_PX % factor:
            shape = "x".join(str(side) for side in indices.shape[1:])
            raise WeightsError(f"{shape} indices of a {_PROBE_PX}x{_PROBE_PX} image")
    for path, program in zip(folder.weights[1:], programs[1:], strict=True):
        with torch.inference_mode(), _blamed_on(path):
            pixels = _pixels_of(program, indices)
            if pixels.shape != blank.shape:
                raise WeightsError(f"makes {tuple(pixels.shape)} of the indices of a blank image")
    alignment_px = preset.alignment_px if preset is not None else None
    tokenizer = ScriptedTokenizer(
        programs[0],
        programs[1] if len(programs) > 1 else None,
        name=name,
        codebook_size=codebook_size,
        downsample=factor,
        alignment_px=max(alignment_px or factor, factor),
    )
    tokenizer.weights_sha256 = folder.weights_sha256
    return tokenizer.eval()


def _codebook_size(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> int | None:
    """Return what a configuration says, or the levels of a finite scalar quantizer; else None."""
    given = config.get("codebook_size")
    if type(given) is int:
        return given
    for name, tensor in state.items():
        if name.endswith("quantizer._levels") and 1 <= tensor.numel() <= 64:
            return math.prod(int(each) for each in tensor.flatten())
    return None


def _loaded(path: Path) -> nn.Module:
    with _blamed_on(path), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit")  # of what else to publish
        # Torch optimises a program after its first runs, and might round otherwise from then on.
        _AS_WRITTEN.enter_context(torch.jit.optimized_execution(False))  # type: ignore[attr-defined]
        program: nn.Module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        return program.eval() if program.training else program  # a frozen one cannot be told


@contextmanager
def _blamed_on(path: Path) -> Iterator[None]:
    """Report what goes wrong in a program as its file's fault."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise WeightsError(f"{path}: its program cannot be run here: {reason}") from error


def _indices_of(program: nn.Module, pixels: Tensor) -> Tensor:
    """Return the indices (B, h, w) that a program gives of pixels (B, 3, H, W)."""
    given = _run(program, pixels.to(_dtype_of(program)))
    first = given[0] if isinstance(given, tuple | list) and given else given
    if not isinstance(first, Tensor) or first.ndim != 3 or first.is_floating_point():
        raise WeightsError("its program gives no (B, h, w) indices of an image")
    return first


def _pixels_of(program: nn.Module, indices: Tensor) -> Tensor:
    """Return the pixels (B, 3, H, W) that a program gives of indices (B, h, w)."""
    given = _run(program, indices)
    first = given[0] if isinstance(given, tuple | list) and given else given
    if not isinstance(first, Tensor) or first.ndim != 4 or not first.is_floating_point():
        raise WeightsError("its program gives no (B, 3, H, W) pixels of indices")
    return first.float()


def _run(program: nn.Module, inputs: Tensor) -> object:
    with torch.autocast(inputs.device.type, enabled=False):
        return program(inputs)


def _dtype_of(program: nn.Module) -> torch.dtype:
    kinds = (parameter.dtype for parameter in program.parameters())
    return next((kind for kind in kinds if kind.is_floating_point), torch.float32)
