"""The shape of a ViT-VQGAN: from its tensors, and what only its configuration says.

In: a state dict as its authors call the tensors, and the configuration beside it, which may be
empty: heads are of 64 channels then, images square, codes compared by angle, one a cell. Out: a
`VitVqShape`, and the tensors under this package's names. Knows nothing of files.
Source: the configurations of github.com/thuanz123/enhancing-transformers.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vtok.errors import WeightsError
from vtok.models.families.convnet.reading import tensor_size
from vtok.records import Grid

_HEAD_CHANNELS = 64
_MAX_LAYERS = 128
_MAX_DEPTH = 64
_RENAMES = (
    (r"^encoder\.to_patch_embedding\.0\.", "encoder.cells."),
    (r"^decoder\.to_pixel\.1\.", "decoder.pixels."),
    (r"\.(?:en|de)_pos_embedding$", ".positions"),
    (r"\.transformer\.norm\.", ".norm."),
    (r"\.transformer\.layers\.(\d+)\.0\.norm\.", r".blocks.\1.norm1."),
    (r"\.transformer\.layers\.(\d+)\.0\.fn\.", r".blocks.\1."),
    (r"\.transformer\.layers\.(\d+)\.1\.norm\.", r".blocks.\1.norm2."),
    (r"\.transformer\.layers\.(\d+)\.1\.fn\.net\.", r".blocks.\1.mlp."),
)
_CODEBOOK = "quantizer.embedding.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerShape:
    """An encoder's or a decoder's transformer.

    Attributes:
        dim: Channels of a token (C).
        num_layers: Attention and perceptron, one after the other.
        num_heads: Of the attention.
        inner_dim: Channels of all heads together.
        hidden_dim: Channels inside the perceptron.
        projects: Whether the heads' channels are mixed behind the attention.
    """

    dim: int
    num_layers: int
    num_heads: int
    inner_dim: int
    hidden_dim: int
    projects: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VitVqShape:
    """A whole tokenizer.

    Attributes:
        encoder: Of pixels.
        decoder: Of codes.
        patch_px: Pixels of a cell along one side.
        grid: The cells of the one size that it takes.
        codebook_size: Number of codes (K).
        code_dim: Length of one code (D).
        by_angle: Whether latents and codes are compared by their angle.
        depth: Indices of a cell, each of what the ones before left over; None for one, by itself.
    """

    encoder: TransformerShape
    decoder: TransformerShape
    patch_px: int
    grid: Grid
    codebook_size: int
    code_dim: int
    by_angle: bool = True
    depth: int | None = None


def vitvq_shape(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> VitVqShape:
    """Return the shape of a model.

    Args:
        config: Its `model.params`, in one mapping; may be empty.
        state: Its tensors, under its authors' names.

    Raises:
        WeightsError: a tensor that shapes the rest is missing, or the configuration contradicts it.
    """
    patch_px = tensor_size(state, "encoder.to_patch_embedding.0.weight", 3)
    num_cells = tensor_size(state, "encoder.en_pos_embedding", 1)
    quantizer = _part(config, "quantizer")
    return VitVqShape(
        encoder=_transformer(config, state, "encoder"),
        decoder=_transformer(config, state, "decoder"),
        patch_px=patch_px,
        grid=_grid(config.get("image_size"), num_cells, max(patch_px, 1)),
        codebook_size=tensor_size(state, _CODEBOOK, 0),
        code_dim=tensor_size(state, _CODEBOOK, 1),
        by_angle=quantizer.get("use_norm", True) is not False,
        depth=_depth(quantizer),
    )


def vitvq_state(state: Mapping[str, Tensor], depth: int | None) -> dict[str, Tensor]:
    """Return the tensors under this package's names.

    Args:
        state: Under its authors' names.
        depth: As in the shape.
    """
    ours: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name == _CODEBOOK:
            continue
        for pattern, replacement in _RENAMES:
            name = re.sub(pattern, replacement, name)
        ours[name] = tensor
    book = state[_CODEBOOK]
    if depth is None:
        return ours | {"quantizer.codebook": book}
    return ours | {f"quantizer.steps.{step}.codebook": book for step in range(depth)}


def _transformer(
    config: Mapping[str, Any], state: Mapping[str, Tensor], side: str
) -> TransformerShape:
    layers = f"{side}.transformer.layers."
    numbers = {int(n.removeprefix(layers).partition(".")[0]) for n in state if _is_layer(n, layers)}
    if not numbers or max(numbers) >= _MAX_LAYERS:
        raise WeightsError(f"missing: the layers of the {side}'s transformer")
    inner_dim = tensor_size(state, f"{layers}0.0.fn.to_qkv.weight", 0) // 3
    given = _part(config, side).get("heads")
    if given is None and inner_dim % _HEAD_CHANNELS:
        raise WeightsError(
            f"no configuration says the {side}'s heads, and its {inner_dim} channels are not "
            f"heads of {_HEAD_CHANNELS}"
        )
    num_heads = given if type(given) is int else inner_dim // _HEAD_CHANNELS
    if num_heads < 1 or inner_dim % num_heads:
        raise WeightsError(f"{num_heads} heads do not divide the {side}'s {inner_dim} channels")
    return TransformerShape(
        dim=tensor_size(state, f"{layers}0.0.norm.weight", 0),
        num_layers=max(numbers) + 1,
        num_heads=num_heads,
        inner_dim=inner_dim,
        hidden_dim=tensor_size(state, f"{layers}0.1.fn.net.0.weight", 0),
        projects=f"{layers}0.0.fn.to_out.weight" in state,
    )


def _is_layer(name: str, layers: str) -> bool:
    return name.startswith(layers) and name.removeprefix(layers).partition(".")[0].isdecimal()


def _grid(image_size: object, num_cells: int, patch_px: int) -> Grid:
    """Return the cells of an image: of the configuration's, or of a square one.

    Raises:
        WeightsError: there are not as many positions.
    """
    if isinstance(image_size, Sequence) and not isinstance(image_size, str):
        sides = [side if type(side) is int else 0 for side in image_size]
    else:
        side = image_size if type(image_size) is int else math.isqrt(num_cells) * patch_px
        sides = [side, side]
    if len(sides) == 2 and sides[0] // patch_px * (sides[1] // patch_px) == num_cells > 0:
        return Grid(rows=sides[0] // patch_px, cols=sides[1] // patch_px)
    raise WeightsError(
        f"{num_cells} positions of {patch_px} px are no image of {image_size or 'equal sides'}"
    )


def _depth(quantizer: Mapping[str, Any]) -> int | None:
    if quantizer.get("use_residual", False) is False:
        return None
    depth = quantizer.get("num_quantizers")
    if type(depth) is not int or not 1 <= depth <= _MAX_DEPTH:
        raise WeightsError(f"the configuration's num_quantizers cannot be {depth!r}")
    return depth


def _part(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = config.get(name)
    return part if isinstance(part, Mapping) else {}
