"""NVIDIA's discrete image tokenizers (Cosmos DI): what their files hold, and what they leave out.

In: the tensors of `encoder.jit` and `decoder.jit`, of `autoencoder.jit`, or of a plain state dict,
and a configuration, which is seldom there. Out: the shape of a `ConvTokenizer` (taming's networks
between a wavelet's cells and finite scalar quantization) and the tensors under its names. What the
programs keep beside the weights (levels, wavelets) is believed over the published defaults. Its
authors compute in bfloat16 unless told otherwise; here it is fp32, as for every tokenizer. Reads no
files. Source: arXiv 2501.03575, github.com/NVIDIA/Cosmos-Tokenizer.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from operator import mul
from typing import Any

from torch import Tensor

from vtok.errors import WeightsError
from vtok.models.families.convnet.reading import shape_from_tensors
from vtok.models.families.convnet.shape import ConvShape, Stack
from vtok.models.families.keymaps import TAMING, KeyMap
from vtok.nn.patching import Patching, PatchMethod

FAMILY = "cosmos"
MARKS = ("quantizer._levels", "encoder.patcher.", ".conv3d.")  # names that it alone has

_KEYS = KeyMap(
    renames=(  # the two programs' names begin with their file's
        (r"^encoder\.(?=(?:encoder|quant_conv|quantizer)\.)", ""),
        (r"^decoder\.(?=(?:decoder|post_quant_conv|inv_quant)\.)", ""),
        *TAMING.renames,
    )
)
_ALIGNMENT_PX = 16  # what its authors pad sides to, for the models of 8 pixels a cell too
_PUBLISHED_LEVELS = (8, 8, 8, 5, 5, 5)
_MAX_CODES = 1 << 24
_LEVELS = ("quantizer._levels", "inv_quant.quantizer._levels")
_WEIGHTS_OF_DIGITS = ("quantizer._basis", "inv_quant.quantizer._basis")
_WAVELETS = ("encoder.patcher.wavelets", "decoder.unpatcher.wavelets")
_METHODS: dict[float, PatchMethod] = {0.71: "haar", 1.0: "rearrange"}  # by a wavelet's first tap
_OTHER_TABLES = re.compile(r".*(?:quantizer\.implicit_codebook|patcher\._arange)")


def cosmos_model(
    config: Mapping[str, Any], state: Mapping[str, Tensor]
) -> tuple[ConvShape, dict[str, Tensor]]:
    """Return the shape of a model, and its weights under this package's names.

    Args:
        config: May have `quantizer`, `levels` and `patch_method`, for a file that does not.
        state: The tensors under their authors' names.

    Raises:
        WeightsError: it is a video or a continuous tokenizer, or its parts do not fit together.
    """
    if any(".conv3d." in name for name in state):
        raise WeightsError(
            "one of Cosmos's video tokenizers (CV, DV), and vtok reads images: take a DI one, "
            "like cosmos-di16x16"
        )
    if config.get("quantizer", "FSQ") != "FSQ":
        raise WeightsError(
            f"the configuration's quantizer {config['quantizer']!r} is none that was published: "
            "Cosmos's discrete tokenizers have FSQ"
        )
    ours = _KEYS.renamed(state)
    levels = _levels(config, ours)
    patching = Patching(_side(ours), _method(config, ours))
    tables = {*_LEVELS, *_WEIGHTS_OF_DIGITS, *_WAVELETS}
    weights = {
        name: tensor
        for name, tensor in ours.items()
        if name not in tables and not _OTHER_TABLES.fullmatch(name)
    }
    shape = shape_from_tensors(weights, digits=levels)
    encoder = _resampled(shape.encoder, weights, "encoder.down", "downsample", patching)
    decoder = None
    if shape.decoder is not None:
        decoder = _resampled(shape.decoder, weights, "decoder.up", "upsample", patching)
        if len(decoder.doubled) != len(encoder.halved):
            raise WeightsError(
                f"an encoder that halves {len(encoder.halved)} times and a decoder that doubles "
                f"{len(decoder.doubled)} times are not of one model"
            )
    shape = replace(shape, encoder=encoder, decoder=decoder, patching=patching)
    shape = replace(
        shape,
        alignment_px=max(_ALIGNMENT_PX, shape.downsample),
        post_quant_conv="post_quant_conv.weight" in weights,
    )
    return shape, weights


def _levels(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Return the levels of each channel: the tables', the configuration's, or the published."""
    stored = {_whole_numbers(name, state[name]) for name in _LEVELS if name in state}
    if len(stored) > 1:
        raise WeightsError("the encoder's quantizer and the decoder's have different levels")
    given = stored.pop() if stored else config.get("levels", _PUBLISHED_LEVELS)
    sound = isinstance(given, Sequence) and all(type(n) is int and n >= 2 for n in given)
    if not sound or not given or math.prod(given) > _MAX_CODES:
        raise WeightsError(f"a quantizer's levels cannot be {given!r}")
    levels = tuple(given)
    last = state.get("quant_conv.weight")
    if last is not None and last.shape[0] != len(levels):
        if not any(name in state for name in _LEVELS) and "levels" not in config:
            raise WeightsError(
                f"latents of {last.shape[0]} channels and no quantizer: one of Cosmos's continuous "
                "tokenizers (CI), which have no indices. Take a DI one, like cosmos-di16x16"
            )
        raise WeightsError(f"latents of {last.shape[0]} channels do not fit levels {levels}")
    for name in _WEIGHTS_OF_DIGITS:
        if name in state and _whole_numbers(name, state[name]) != _places(levels):
            raise WeightsError(f"{name}: not the order of digits that this package knows")
    return levels


def _places(levels: tuple[int, ...]) -> tuple[int, ...]:
    """Return what a step of each channel adds to an index, the first channel's being 1."""
    return tuple(accumulate(levels[:-1], mul, initial=1))


def _side(state: Mapping[str, Tensor]) -> int:
    """Return the side of the patches that the encoder's first convolution reads."""
    first = state.get("encoder.conv_in.weight")
    if first is None or first.ndim != 4:
        raise WeightsError("missing: the encoder's first convolution (a decoder cannot do alone)")
    side = math.isqrt(first.shape[1] // 3)
    if first.shape[1] != 3 * side**2 or side & (side - 1) or not side:
        raise WeightsError(f"{first.shape[1]} channels are no patches of red, green and blue")
    return side


def _method(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> PatchMethod:
    found = {
        _METHODS.get(round(float(state[name].flatten()[0]), 2))
        for name in _WAVELETS
        if name in state and state[name].numel()
    }
    method = found.pop() if found else config.get("patch_method", "haar")
    if found or method not in _METHODS.values():
        raise WeightsError("its patches are neither Haar's nor plain ones")
    return "haar" if method == "haar" else "rearrange"


def _resampled(
    stack: Stack, state: Mapping[str, Tensor], levels: str, layer: str, patching: Patching
) -> Stack:
    """Return the networks' shape with the levels in it that change the size, as the tensors say."""
    places = {
        place for place in range(len(stack.levels)) if f"{levels}.{place}.{layer}.weight" in state
    }
    return replace(
        stack, resampled=frozenset(places), pixel_channels=3 * patching.side * patching.side
    )


def _whole_numbers(name: str, table: Tensor) -> tuple[int, ...]:
    """Return the content of a small table.

    Raises:
        WeightsError: it is not one.
    """
    if table.ndim != 1 or not 1 <= table.numel() <= 64 or table.is_floating_point():
        raise WeightsError(f"{name}: not a short list of whole numbers")
    return tuple(int(each) for each in table)
