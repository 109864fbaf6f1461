"""A tokenizer as one safe folder that says by itself what it is.

In: any model that `--model` takes. Out: `model.safetensors` with the authors' own tensors, averages
in place of last ones, and a `config.json` with the family, the authors' configuration, the facts
that planning needs, and the digest of what it was made from. Knows no architecture.

The same conversion again finds what is written already, whole or cut short, and writes the rest.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from vtok.errors import OutputError
from vtok.io.files import (
    LOCK_NAME,
    folder_lock,
    make_folder,
    remove_partials,
    sha256_bytes,
    sha256_file,
    write_bytes,
)
from vtok.models.base import Tokenizer
from vtok.models.files.folder import CONFIG_NAME, WEIGHTS_NAME
from vtok.models.files.weights import CONVERTED, ModelFolder, open_folder

VERSION = 1

_FILES = rf"({re.escape(WEIGHTS_NAME)}|{re.escape(CONFIG_NAME)})"
_OURS = re.compile(rf"{re.escape(LOCK_NAME)}|{_FILES}|\.{_FILES}\.[0-9a-f]{{16}}\.partial")


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
        path: A folder that is empty, not there, or as the same conversion left it.
        tokenizer: The model, to say what it is.
        config: Its authors' configuration; may be empty.
        state: Its tensors under its authors' names, in their own dtype.
        licence: Of the weights, where it is known.

    Raises:
        OutputError: the folder holds something, or cannot be written.
    """
    check_converted_output(path)
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
    files = {path / WEIGHTS_NAME: save(tensors), path / CONFIG_NAME: text.encode()}
    with folder_lock(path):
        remove_partials(path)
        missing = [file for file, data in files.items() if not _is_written(file, data)]
        for file in missing:
            write_bytes(file, files[file])
        _remove(path / LOCK_NAME)  # the folder is done, and may be handed on
    return open_folder(path)


def check_converted_output(path: Path) -> None:
    """Refuse a folder that holds files of other names than a conversion writes.

    Raises:
        OutputError: it does, or is no folder.
    """
    if not path.exists():
        return
    if not path.is_dir() or not all(_OURS.fullmatch(each.name) for each in path.iterdir()):
        raise OutputError(f"{path} is there already: name a folder that is empty or not there")


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be removed: {error.strerror}") from error


def _is_written(path: Path, data: bytes) -> bool:
    """Return whether a file is there with these bytes.

    Raises:
        OutputError: it is there with others, or cannot be read.
    """
    try:
        if not path.exists():
            return False
        if sha256_file(path) == sha256_bytes(data):
            return True
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {error.strerror}") from error
    raise OutputError(
        f"{path} is there already, of another model: name a folder that is empty or not there"
    )
