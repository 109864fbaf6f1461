"""TiTok's stored references as files of its authors' layout."""

import json
from pathlib import Path
from typing import Any

from parity import GOLDEN
from safetensors.torch import save_file
from seeded import seeded_state
from torch import Tensor

from vtok.models.families.titok import TitokTokenizer
from vtok.models.registry import load_tokenizer

LABELS = ["titok", "titok-vq8k"]  # with proxies and cosine; with pixels and distances
STATES: dict[str, dict[str, Tensor]] = {}


def model(label: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration and the tensors, as their authors call them."""
    stored = json.loads((GOLDEN / label / "model.json").read_text())
    if label not in STATES:
        STATES[label] = seeded_state(stored["tensors"], stored["seed"], stored["gains"])
    return stored["config"], dict(STATES[label])


def hub(folder: Path, label: str, **changes: object) -> Path:
    """The hub's layout: safetensors and the whole training configuration as JSON."""
    config, state = model(label)
    config["model"]["vq_model"].update(changes)
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def titok(folder: Path, label: str) -> TitokTokenizer:
    tokenizer = load_tokenizer(str(hub(folder, label)))
    assert isinstance(tokenizer, TitokTokenizer)
    return tokenizer
