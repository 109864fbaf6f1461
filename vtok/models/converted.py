"""A tokenizer as one safe folder that says by itself what it is.

In: any model that `--model` takes. Out: `model.safetensors` with the authors' own tensors, averages
in place of last ones, and a `config.json` with the family, the authors' configuration, the facts
that planning needs, and the digest of what it was made from. Knows no architecture.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from vtok.errors import OutputError
from vtok.io.files import make_folder, write_bytes
from vtok.models.base import Tokenizer
from vtok.models.modelfiles import CONFIG_NAME, WEIGHTS_NAME
from vtok.models.weights import CONVERTED, ModelFolder, open_folder

VERSION = 1


def write_converted(
    path: Path,
    tokenizer: Tokenizer,
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    *,
    licence: str,
) -> ModelFolder:
    """Write the folder, each file atomically; return it.

    Args:
        path: A folder that is empty or not there.
        tokenizer: The model, to say what it is.
        config: Its authors' configuration; may be empty.
        state: Its tensors under its authors' names, in their own dtype.
        licence: Of the weights, where it is known.

    Raises:
        OutputError: the folder holds something, or cannot be written.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise OutputError(f"{path} is there already: name a folder that is empty or not there")
    make_folder(path)
    spec = tokenizer.spec
    facts = asdict(spec) | {"codes": spec.codes.to_json()}
    described = {
        "format": CONVERTED,
        "version": VERSION,
        "family": spec.family,
        "config": dict(config),
        "spec": {name: value for name, value in facts.items() if name not in ("name", "family")},
        "source": {
            "name": spec.name,
            "weights_sha256": tokenizer.source_sha256 or tokenizer.weights_sha256,
            "licence": licence or None,
        },
    }
    text = json.dumps(described, indent=2, sort_keys=True) + "\n"
    tensors = {name: tensor.clone().contiguous() for name, tensor in state.items()}
    write_bytes(path / WEIGHTS_NAME, save(tensors))
    write_bytes(path / CONFIG_NAME, text.encode())
    return open_folder(path)
