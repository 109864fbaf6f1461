"""Files with tensors or fields that are missing, misshapen or absurd end in a WeightsError."""

import json
import re
from pathlib import Path
from random import Random

import pytest
import torch
from parity import GOLDEN
from seeded import seeded_state

from vtok.errors import WeightsError
from vtok.models.building import tokenizer_parts
from vtok.models.files.weights import ModelFolder, load_model

NUM_CASES = 25
ODD_VALUES = (None, -1, 0, "x", [], {}, 1 << 40, [0], 3.5, True)


UNREAD = re.compile(r"text_encoder|fc_norm|projection|logit_scale|.*vocab_usage")  # UniTok's


def load(family: str, config: dict[str, object], state: dict[str, torch.Tensor]) -> None:
    parts = tokenizer_parts(config, state, name="damaged", family=family)
    load_model(parts.make, parts.state, ModelFolder(Path("damaged"), config, ""))


def damaged(tensor: torch.Tensor, random: Random) -> torch.Tensor | None:
    """Another tensor in its place, or none."""
    if tensor.ndim == 0 or random.random() < 0.3:
        return None
    return random.choice(
        [
            torch.zeros(()),
            tensor.flatten()[:1],
            torch.zeros(0, *tensor.shape[1:]),
            torch.cat((tensor, tensor)),
        ]
    )


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize(
    "family",
    ["paella", "movq", "muse-vqgan", "unitok", pytest.param("emu3", marks=pytest.mark.slow)],
)
def test_every_damage_is_one_error(family: str) -> None:
    stored = json.loads((GOLDEN / family / "model.json").read_text())
    sound = seeded_state(stored["tensors"], stored["seed"], stored.get("gains"))
    names = sorted(name for name in sound if not UNREAD.match(name))
    random = Random(family)
    for _ in range(NUM_CASES):
        state, config = dict(sound), dict(stored["config"])
        name = random.choice(names)
        tensor = damaged(state.pop(name), random)
        if tensor is not None:
            state[name] = tensor
        if random.random() < 0.5:
            config[random.choice(sorted(config))] = random.choice(ODD_VALUES)
        with pytest.raises(WeightsError):
            load(family, config, state)
