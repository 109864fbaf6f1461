"""A checkpoint's model: which of the tensors in a file are the ones to run.

In: what a weights file holds. Out: one flat state dict under the authors' names, averaged weights
in place of the last ones where there are any, losses and other models' tensors left out; and the
arguments of its training, where they are kept with it. Knows nothing of architectures.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vtok.errors import WeightsError
from vtok.models.files.standins import Inert, Scripted, module_state, scripted_state

# The first that is there. LlamaGen's trainer writes `ema` beside `model`, and its own evaluation
# takes `ema`; UniTok's keeps the model in a `trainer`, beside a discriminator and optimizers.
_CONTAINERS = ("ema", "model", "state_dict", "trainer", "unitok")
_ARGUMENTS = "args"
# Where a tokenizer lies inside a larger model.
_PARTS = ("first_stage_model.", "gen_vision_model.", "model.gen_vision_model.", "model.vqmodel.")
_WRAPPERS = ("module.", "_orig_mod.")
_EMA = "model_ema."
_EMA_COUNTERS = frozenset(("decay", "num_updates"))
_LOSS = ("loss.", "model_ema.loss")


def model_state(held: object) -> dict[str, Tensor]:
    """Return the tensors of the model in a checkpoint.

    Raises:
        WeightsError: there are none, or the averaged ones do not belong to the others.
    """
    if isinstance(held, Scripted):
        return _averaged(_unwrapped(scripted_state(held)))
    if isinstance(held, Inert):
        return module_state(held)
    if not isinstance(held, Mapping):
        raise WeightsError(f"a {type(held).__name__} is not a checkpoint")
    for name in _CONTAINERS:
        inner = held.get(name)
        if isinstance(inner, Mapping) and inner:
            return model_state(inner)
    state = {n: t for n, t in held.items() if isinstance(n, str) and isinstance(t, Tensor)}
    if not state:
        raise WeightsError("it holds no tensors")
    return _averaged(_unwrapped(state))


def trainer_arguments(held: object) -> dict[str, Any]:
    """Return the plain ones of a trainer's arguments, where it kept them beside the weights."""
    given = held.get(_ARGUMENTS) if isinstance(held, Mapping) else None
    if not isinstance(given, Mapping):
        return {}
    plain = (str, int, float, bool)
    return {n: v for n, v in given.items() if isinstance(n, str) and isinstance(v, plain)}


def _unwrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tokenizer's tensors, without the prefix of what it was part of."""
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in state):
            state = {name.removeprefix(wrapper): tensor for name, tensor in state.items()}
    for part in _PARTS:
        inside = {n.removeprefix(part): t for n, t in state.items() if n.startswith(part)}
        if inside:
            return inside
    return state


def _averaged(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the averaged weights, which are stored under names without dots.

    Raises:
        WeightsError: an averaged tensor is none of the model's, or could be of two.
    """
    plain = {n: t for n, t in state.items() if not n.startswith((_EMA, *_LOSS))}
    averages = {
        name.removeprefix(_EMA): tensor
        for name, tensor in state.items()
        if name.startswith(_EMA) and not name.startswith(_LOSS)
    }
    by_flat_name: dict[str, str] = {}
    for name in plain:
        flat = name.replace(".", "")
        if by_flat_name.setdefault(flat, name) != name and flat in averages:
            raise WeightsError(f"{_EMA}{flat} is the average of {by_flat_name[flat]} or of {name}")
    strangers = averages.keys() - by_flat_name.keys() - _EMA_COUNTERS
    if strangers:
        raise WeightsError(f"{_EMA}{min(strangers)} is the average of no tensor in the file")
    for flat in averages.keys() & by_flat_name.keys():
        plain[by_flat_name[flat]] = averages[flat]
    return plain
