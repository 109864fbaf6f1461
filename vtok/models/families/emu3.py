"""Emu3's own file, as transformers' `Emu3VQVAE` has it.

In: the configuration and the tensors that BAAI publishes, which its own code on the hub reads. Out:
both as transformers writes them. Only names and shapes are looked at; what is already in
transformers' form is left as it is.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

MODEL_TYPE = "Emu3VisionVQ"

_FIELDS = {
    "ch": "base_channels",
    "ch_mult": "channel_multiplier",
    "z_channels": "latent_channels",
    "double_z": "double_latent",
}
_PROJECTIONS = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "proj_out": "out_proj"}
_ATTENTION = re.compile(r"(.*\.attn(?:_1|\.\d+))\.(q|k|v|proj_out)\.(weight|bias)")
_RENAMES = (
    (r"^encoder\.down\.", "encoder.down_block.down."),
    (r"^decoder\.up\.", "decoder.up_block.up."),
    (r"\.mid\.attn_1\.norm\.", ".middle_block.attn_norm."),
    (r"\.mid\.", ".middle_block."),
    (r"\.attn\.(\d+)\.norm\.", r".attn_norms.\1."),
)


def emu3_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration under transformers' names."""
    if config.get("model_type") != MODEL_TYPE:
        return dict(config)
    found = {_FIELDS.get(name, name): value for name, value in config.items()}
    # Attention is at the lowest resolution; transformers has its channels in a field of their own.
    channels, multipliers = found.get("base_channels"), found.get("channel_multiplier")
    if type(channels) is int and isinstance(multipliers, list) and multipliers:
        last = multipliers[-1]
        found["hidden_size"] = channels * last if type(last) is int else None
    return found


def emu3_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under transformers' names, 1x1 convolutions of attention as matrices."""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if part := _ATTENTION.fullmatch(name):
            name = f"{part[1]}.{_PROJECTIONS[part[2]]}.{part[3]}"
            tensor = tensor.flatten(1) if tensor.ndim == 4 else tensor
        for pattern, replacement in _RENAMES:
            name = re.sub(pattern, replacement, name)
        found[name] = tensor
    return found
