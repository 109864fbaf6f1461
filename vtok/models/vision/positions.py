"""Learned positions of a transformers tower at sizes that it was not trained at.

In: a network whose modules can interpolate their position tables. Out: the same network, which does
so as it was asked to. transformers itself knows bicubic alone; bilinear goes by `vtok.nn`.

Dimension letters: S tokens before the patches, N patches, D channels.
"""

import math
from functools import partial
from typing import Any

from torch import Tensor, nn

from vtok.models.base import Interpolation
from vtok.nn.tables import interpolate_positions
from vtok.records import Grid

_METHOD = "interpolate_pos_encoding"


def set_interpolation(network: nn.Module, mode: Interpolation) -> None:
    """Have every position table of a network interpolated this way."""
    for module in network.modules():
        if hasattr(type(module), _METHOD):
            if mode == "bicubic":  # the module's own method
                module.__dict__.pop(_METHOD, None)
            else:
                module.__dict__[_METHOD] = partial(_positions, module, mode)


def _positions(
    module: Any, mode: Interpolation, embeddings: Tensor, height: int, width: int
) -> Tensor:
    """Return the positions (1, S + N, D) of a picture's tokens; the embeddings are not needed."""
    del embeddings
    held = getattr(module, "position_embeddings", None)
    table = module.position_embedding.weight if held is None else held[0]  # (S + N, D)
    side = math.isqrt(len(table))
    num_prefix = len(table) - side * side  # a class token, or nothing
    patch = module.patch_size if isinstance(module.patch_size, int) else module.patch_size[0]
    target = Grid(rows=height // patch, cols=width // patch)
    source = Grid(rows=side, cols=side)
    return interpolate_positions(table, source, target, num_prefix=num_prefix, mode=mode).unsqueeze(
        0
    )
