"""The shape of a convolutional tokenizer, read from a configuration or from tensors.

In: taming's `ddconfig` in any of its spellings, or a state dict under this package's names. Out: a
`ConvShape`. With a configuration, a missing level is an error that names its tensors; without one,
the tensors say how deep and wide the networks are. Knows nothing of files or families.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from vtok.errors import WeightsError
from vtok.models.families.convnet.shape import ConvShape, Level, MidLayer, Stack

_REFINER = re.compile(r"quantizer\.refine\.\d+\.weight")
_MAX_LEVELS = 8
_MAX_BLOCKS = 32
_MAX_CHANNELS = 1 << 15
_MAX_CODES = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFields:
    """How a family's configuration spells taming's fields.

    Attributes:
        channels: Channels at the full resolution.
        multipliers: Of each level.
        num_blocks: Residual blocks a level.
        latent_channels: Channels of the networks' other end.
        codebook_size: Number of codes.
        code_dim: Length of one code.
        attention: At which resolutions there is attention; None for at none, `lowest` for at the
            lowest.
    """

    channels: str = "ch"
    multipliers: str = "ch_mult"
    num_blocks: str = "num_res_blocks"
    latent_channels: str = "z_channels"
    codebook_size: str = "n_embed"
    code_dim: str = "embed_dim"
    attention: str | None = "attn_resolutions"


def shape_from_config(
    config: Mapping[str, Any],
    fields: ConfigFields,
    *,
    mid: Literal["attention", "blocks"],
    more_decoder_blocks: int,
    quant_conv: bool,
) -> ConvShape:
    """Return the shape that a configuration describes.

    Args:
        config: All fields in one mapping, under the names that `fields` gives.
        fields: The family's spelling.
        mid: `attention` between two blocks, or as many `blocks` as a level has.
        more_decoder_blocks: How many more blocks a decoder's level has than an encoder's.
        quant_conv: Whether there are 1x1 convolutions around the quantizer.

    Raises:
        WeightsError: a field is missing, or cannot be what it is.
    """
    channels = _whole(config, fields.channels, _MAX_CHANNELS)
    num_blocks = _whole(config, fields.num_blocks, _MAX_BLOCKS)
    multipliers = config.get(fields.multipliers)
    if not isinstance(multipliers, Sequence) or not 1 <= len(multipliers) <= _MAX_LEVELS:
        raise WeightsError(f"the configuration's {fields.multipliers} cannot be {multipliers!r}")
    if any(type(each) is not int or not 1 <= each <= _MAX_BLOCKS for each in multipliers):
        raise WeightsError(f"the configuration's {fields.multipliers} cannot be {multipliers!r}")
    if config.get("double_z") or config.get("double_latent"):
        raise WeightsError("a configuration with doubled latents is of a VAE, not of a tokenizer")
    attention = _attention_levels(config, fields.attention, len(multipliers))
    middle: list[MidLayer] = ["block"] * num_blocks
    if mid == "attention":
        is_without = config.get("attn_type") == "none" or config.get("no_attn_mid_block")
        middle = ["block", "block"] if is_without else ["block", "attention", "block"]

    def stack(more_blocks: int) -> Stack:
        levels = tuple(
            Level(channels=channels * each, num_blocks=num_blocks + more_blocks, attention=attends)
            for each, attends in zip(multipliers, attention, strict=True)
        )
        return Stack(levels=levels, mid=tuple(middle), stem=channels)

    return ConvShape(
        encoder=stack(0),
        decoder=stack(more_decoder_blocks),
        latent_channels=_whole(config, fields.latent_channels, _MAX_CHANNELS),
        code_dim=_whole(config, fields.code_dim, _MAX_CHANNELS),
        codebook_size=_whole(config, fields.codebook_size, _MAX_CODES),
        quant_conv=quant_conv,
    )


def shape_from_tensors(
    state: Mapping[str, Tensor], *, bits: bool = False, digits: tuple[int, ...] = ()
) -> ConvShape:
    """Return the shape that tensors under this package's names have.

    Args:
        state: The state dict of a `ConvTokenizer`.
        bits: Whether the codebook is not stored, because an index's bits are the code's signs.
        digits: Levels of each channel, where there is no codebook because codes are their digits.

    Raises:
        WeightsError: a tensor that shapes the rest is missing.
    """
    latents = tensor_size(state, "encoder.conv_out.weight", 0)
    if bits:
        code_dim = latents
        codebook_size = 1 << min(code_dim, 62)
    elif digits:
        code_dim, codebook_size = len(digits), math.prod(digits)
    else:
        codebook_size = tensor_size(state, "quantizer.codebook", 0)
        code_dim = tensor_size(state, "quantizer.codebook", 1)
    has_decoder = any(name.startswith("decoder.") for name in state)
    return ConvShape(
        encoder=stack_from_tensors(
            state, "encoder", "down", tensor_size(state, "encoder.conv_in.weight", 0)
        ),
        decoder=stack_from_tensors(
            state, "decoder", "up", tensor_size(state, "decoder.conv_out.weight", 1)
        )
        if has_decoder
        else None,
        latent_channels=latents,
        code_dim=code_dim,
        codebook_size=codebook_size,
        quant_conv="quant_conv.weight" in state,
        quant_kernel=tensor_size(state, "quant_conv.weight", 3)
        if "quant_conv.weight" in state
        else 1,
        num_refiners=sum(bool(_REFINER.fullmatch(name)) for name in state),
        digits=digits,
    )


def stack_from_tensors(state: Mapping[str, Tensor], side: str, direction: str, stem: int) -> Stack:
    """Return the encoder or decoder whose tensors begin like this.

    Args:
        state: Tensors under this package's names.
        side: `encoder`, `decoder`, or what a decoder is called inside of a larger model.
        direction: `down` or `up`.
        stem: Channels at the full resolution.

    Raises:
        WeightsError: they are none.
    """
    blocks: dict[int, int] = {}  # level → number of blocks
    attends: set[int] = set()
    mid: dict[int, MidLayer] = {}
    for name in state:
        if found := re.match(rf"{side}\.{direction}\.(\d+)\.(block|attn)\.(\d+)\.", name):
            level, place = int(found[1]), int(found[3])
            blocks[level] = max(blocks.get(level, 0), place + 1)
            if found[2] == "attn":
                attends.add(level)
        elif found := re.match(rf"{side}\.mid\.(\d+)\.(q|conv1)\.", name):
            mid[int(found[1])] = "attention" if found[2] == "q" else "block"
    num_levels = max(blocks, default=-1) + 1
    num_blocks = max(blocks.values(), default=0)
    if not 1 <= num_levels <= _MAX_LEVELS or num_blocks > _MAX_BLOCKS or len(mid) > _MAX_BLOCKS:
        raise WeightsError(f"{num_levels} levels of {num_blocks} blocks are no {side}")
    levels = tuple(
        Level(
            channels=tensor_size(state, f"{side}.{direction}.{level}.block.0.conv2.weight", 0),
            num_blocks=blocks.get(level, 1),
            attention=level in attends,
        )
        for level in range(num_levels)
    )
    return Stack(levels=levels, mid=tuple(mid[place] for place in sorted(mid)), stem=stem)


def _attention_levels(
    config: Mapping[str, Any], field: str | None, num_levels: int
) -> tuple[bool, ...]:
    """Return whether each level attends, by the configuration's resolution, not the image's."""
    if field is None:
        return (False,) * num_levels
    if field == "lowest":
        return (*(False,) * (num_levels - 1), True)
    resolutions = config.get(field) or ()
    if not isinstance(resolutions, Sequence):
        raise WeightsError(f"the configuration's {field} cannot be {resolutions!r}")
    if not resolutions:
        return (False,) * num_levels
    full = _whole(config, "resolution", 1 << 16)
    return tuple(full >> level in resolutions for level in range(num_levels))


def _whole(config: Mapping[str, Any], field: str, largest: int) -> int:
    value = config.get(field)
    if type(value) is not int or not 1 <= value <= largest:
        raise WeightsError(f"the configuration's {field} cannot be {value!r}")
    return value


def tensor_size(state: Mapping[str, Tensor], name: str, axis: int) -> int:
    """Return the length of one axis of a tensor.

    Raises:
        WeightsError: there is no such tensor.
    """
    tensor = state.get(name)
    if tensor is None or tensor.ndim <= axis:
        raise WeightsError(f"missing: {name}, without which the shape of the model is unknown")
    return tensor.shape[axis]
