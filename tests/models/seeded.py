"""Weights from a number: the same bits on every machine, so that only outputs are stored."""

import math
import re

import numpy as np
import torch

_AROUND_ONE = re.compile(
    r"norm.*weight$|\.ln_\w+\.weight$|running_var$|down_blocks\.\d+\.1\.weight$"
)


def seeded_state(
    shapes: dict[str, list[int]], seed: int, gains: dict[str, float] | None = None
) -> dict[str, torch.Tensor]:
    """Uniform weights for tensors of these names and shapes, of a size that keeps signals alive.

    numpy promises Philox's raw numbers for ever; 24 bits of each make an exact fp32. Gains, powers
    of two, are of the tensors whose names end like this.
    """
    source = np.random.Philox(key=seed)
    state: dict[str, torch.Tensor] = {}
    for name in sorted(shapes):
        shape = shapes[name]
        raw = source.random_raw(math.prod(shape)) >> np.uint64(40)
        values = (raw.astype(np.float32) / np.float32(1 << 23) - np.float32(1)).reshape(shape)
        if len(shape) == 1:  # biases, scales of norms, strengths of steps
            values = values / np.float32(2 if name.endswith("gammas") else 8)
            if _AROUND_ONE.search(name):
                values = values + np.float32(1)
        elif "embed" not in name or "_embed." in name:
            fan_in = math.prod(shape[1:])
            values = values * np.float32(2.0 ** round(math.log2(math.sqrt(3 / fan_in))))
        for ending, gain in (gains or {}).items():
            if name.endswith(ending):
                values = values * np.float32(gain)
        state[name] = torch.from_numpy(np.ascontiguousarray(values)).reshape(shape)
    return state
