"""What families call their tensors, and what this package calls them.

In: a state dict under a family's names. Out: the same tensors under the names of `ConvTokenizer`.
Only names are looked at.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from vtok.errors import WeightsError

_LEVEL = re.compile(r"decoder\.up\.(\d+)\.")
_ATTENTION = re.compile(r"\.(?:q|k|v|proj_out)\.weight$")
_MIDDLE = re.compile(r"((?:encoder|decoder)\.mid\.)(\d+)(\..*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyMap:
    """One family's names.

    Attributes:
        renames: Patterns and what they become, applied to every name in turn.
        drops: Tensors that say nothing about the model.
        decoder_from_lowest: Whether the decoder's levels are counted from the lowest resolution.
        packed_attention: Whether queries, keys and values are made by one convolution.
        linear_attention: Whether they may be made by matrices, instead of 1x1 convolutions.
    """

    renames: tuple[tuple[str, str], ...]
    drops: str | None = None
    decoder_from_lowest: bool = False
    packed_attention: bool = False
    linear_attention: bool = False

    def renamed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors under this package's names.

        Raises:
            WeightsError: two tensors would have the same one.
        """
        found: dict[str, Tensor] = {}
        for name, tensor in state.items():
            if self.drops is not None and re.fullmatch(self.drops, name):
                continue
            ours = name
            for pattern, replacement in self.renames:
                ours = re.sub(pattern, replacement, ours)
            if ours in found:
                raise WeightsError(f"{name} and another tensor are both {ours}")
            found[ours] = tensor
        if self.packed_attention:
            found = _unpacked(found)
        if self.linear_attention:
            found = {n: t[:, :, None, None] if _is_linear(n, t) else t for n, t in found.items()}
        found = _without_gaps(found)
        return _reversed_levels(found) if self.decoder_from_lowest else found


_CODEBOOK = (r"^quantize\.embedding\.weight$", "quantizer.codebook")
_TAMING_RENAMES = (
    (r"\.mid\.block_1\.", ".mid.0."),
    (r"\.mid\.attn_1\.", ".mid.1."),
    (r"\.mid\.block_2\.", ".mid.2."),
    (r"\.downsample\.conv\.", ".downsample."),
    (r"\.upsample\.conv\.", ".upsample."),
)
# Powers of two and all patterns of bits, which some versions of the code stored.
_BIT_TABLES = r"quantize\.(embedding|power_vals|mask|zero|codebook)"

TAMING = KeyMap(renames=(*_TAMING_RENAMES, _CODEBOOK))
GUMBEL = KeyMap(
    renames=(
        *_TAMING_RENAMES,
        (r"^quantize\.embed\.weight$", "quantizer.codebook"),
        (r"^quantize\.proj\.", "quantizer.proj."),
    )
)
MOVQ = KeyMap(
    renames=(
        *_TAMING_RENAMES,
        _CODEBOOK,
        (r"\.norm_layer\.", ".norm."),
        (r"\.conv_y\.", ".scale."),
        (r"\.conv_b\.", ".shift."),
    ),
    linear_attention=True,
)
JANUS = KeyMap(renames=(*_TAMING_RENAMES, _CODEBOOK), decoder_from_lowest=True)
LLAMAGEN = KeyMap(
    renames=(
        (r"^encoder\.conv_blocks\.", "encoder.down."),
        (r"^decoder\.conv_blocks\.", "decoder.up."),
        (r"\.(\d+)\.res\.", r".\1.block."),
        *_TAMING_RENAMES,
        _CODEBOOK,
    ),
    drops=r"quantize\.codebook_used",  # the last codes seen in training
    decoder_from_lowest=True,
)
MASKGIT = KeyMap(renames=((r"\.upsample_conv\.", ".upsample."), _CODEBOOK))
MAGVIT2 = KeyMap(
    renames=((r"\.mid_block\.", ".mid."), (r"\.upsample\.conv1\.", ".upsample.")),
    drops=_BIT_TABLES,
)
SHOWO = KeyMap(
    renames=(
        (r"^encoder\.quant_conv\.", "quant_conv."),
        (r"^decoder\.post_quant_conv\.", "post_quant_conv."),
        *_TAMING_RENAMES,
    ),
    drops=_BIT_TABLES,
)


VAR = KeyMap(
    renames=(
        *_TAMING_RENAMES,
        _CODEBOOK,
        (r"^quantize\.quant_resi\.(?:qresi_ls\.)?(\d+)\.", r"quantizer.refine.\1."),
        (r"^quantize\.quant_resi\.qresi\.", "quantizer.refine.0."),
    ),
    drops=r"quantize\.ema_vocab_hit_SV",  # how often codes were hit in training
    packed_attention=True,
)


def _unpacked(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Part each `qkv` tensor (3C, ...) into those of queries, keys and values."""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if ".qkv." not in name:
            found[name] = tensor
            continue
        if tensor.shape[0] % 3:
            raise WeightsError(f"{name} of shape {list(tensor.shape)} is not three of a kind")
        for part, piece in zip("qkv", tensor.chunk(3), strict=True):
            found[name.replace(".qkv.", f".{part}.")] = piece
    return found


def _is_linear(name: str, tensor: Tensor) -> bool:
    return tensor.ndim == 2 and _ATTENTION.search(name) is not None


def _without_gaps(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Number the middle layers from 0 on, where the attention between two blocks was left out."""
    places: dict[str, set[int]] = {}
    for name in state:
        if found := _MIDDLE.fullmatch(name):
            places.setdefault(found[1], set()).add(int(found[2]))
    ranks = {
        side: {place: rank for rank, place in enumerate(sorted(each))}
        for side, each in places.items()
    }

    def closed(name: str) -> str:
        found = _MIDDLE.fullmatch(name)
        return f"{found[1]}{ranks[found[1]][int(found[2])]}{found[3]}" if found else name

    return {closed(name): tensor for name, tensor in state.items()}


def _reversed_levels(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Count the decoder's levels from the full resolution down, as the encoder's are."""
    last = max((int(found[1]) for name in state if (found := _LEVEL.match(name))), default=0)
    return {
        _LEVEL.sub(lambda found: f"decoder.up.{last - int(found[1])}.", name): tensor
        for name, tensor in state.items()
    }
