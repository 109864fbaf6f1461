"""Weights from files, safely: safetensors only, every key accounted for, the digest kept.

In: a model folder (`config.json`, `model.safetensors`). Out: its configuration, its digest, and a
module that holds its tensors; or the folder itself, written. Nothing in a file is ever executed.
Knows no architecture and no names.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from vtok.errors import WeightsError
from vtok.io.files import make_folder, write_bytes

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"

_MAX_CONFIG_BYTES = 1 << 20
_MAX_NAMES_SHOWN = 5
_PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model on disk.

    Attributes:
        path: The folder.
        config: The content of its config.json.
        weights_sha256: Digest of its model.safetensors, 64 hexadecimal digits.
    """

    path: Path
    config: Mapping[str, Any]
    weights_sha256: str


def open_folder(path: Path) -> ModelFolder:
    """Read a model folder's configuration and digest, not yet its tensors.

    Raises:
        WeightsError: a file is missing, unreadable, or not what its name says.
    """
    weights = path / WEIGHTS_NAME
    if not weights.is_file():
        others = sorted(each.name for each in path.iterdir() if each.suffix in _PICKLES)
        found = f"; {others[0]} is a pickle, which is not opened" if others else ""
        raise WeightsError(f"{path}: there is no {WEIGHTS_NAME}{found}")
    try:
        text = (path / CONFIG_NAME).read_bytes()
        if len(text) > _MAX_CONFIG_BYTES:
            raise WeightsError(f"{path / CONFIG_NAME}: {len(text)} bytes are no configuration")
        config = json.loads(text)
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise WeightsError(f"{path / CONFIG_NAME}: not JSON ({error})") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{path / CONFIG_NAME}: not a JSON object")
    return ModelFolder(path, config, digest)


def load_tensors(module: nn.Module, folder: ModelFolder, *, prefixes: tuple[str, ...] = ()) -> None:
    """Fill a module with a folder's tensors, as fp32.

    Args:
        module: Of the architecture that the configuration describes.
        folder: Where the tensors are.
        prefixes: Names that belong to other parts of the same model and are passed over.

    Raises:
        WeightsError: the file is damaged, or tensors are missing, superfluous, misshapen or not
            finite; the message names them.
    """
    path = folder.path / WEIGHTS_NAME
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: damaged ({error}): get the file again") from error
    wanted = module.state_dict()
    found = {
        name: tensor for name, tensor in tensors.items() if not name.startswith(prefixes or ())
    }
    problems = [
        *_named("missing", wanted.keys() - found.keys()),
        *_named("not of this architecture", found.keys() - wanted.keys()),
        *_named("of another shape", _misshapen(wanted, found)),
        *_named("not finite", {n for n, t in found.items() if not torch.isfinite(t).all()}),
    ]
    if problems:
        raise WeightsError(f"{path}: {'; '.join(problems)}")
    module.load_state_dict({name: tensor.float() for name, tensor in found.items()})


def save_folder(path: Path, module: nn.Module, config: Mapping[str, Any]) -> ModelFolder:
    """Write a model folder, tensors as fp16, each file atomically; return it.

    Raises:
        WeightsError: a tensor does not fit fp16.
        OutputError: the folder cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in module.state_dict().items():
        half = tensor.detach().to("cpu", torch.float16)
        if not torch.isfinite(half).all():
            raise WeightsError(f"{name} holds values that fp16 cannot: the training diverged")
        tensors[name] = half.contiguous()
    make_folder(path)
    text = json.dumps(dict(config), indent=2, sort_keys=True) + "\n"
    write_bytes(path / CONFIG_NAME, text.encode())
    write_bytes(path / WEIGHTS_NAME, save(tensors))
    return open_folder(path)


def _misshapen(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> set[str]:
    common = wanted.keys() & found.keys()
    return {name for name in common if wanted[name].shape != found[name].shape}


def _named(what: str, names: set[str]) -> list[str]:
    """Return a clause that names the first few tensors, or nothing."""
    if not names:
        return []
    shown = ", ".join(sorted(names)[:_MAX_NAMES_SHOWN])
    more = f" and {len(names) - _MAX_NAMES_SHOWN} more" if len(names) > _MAX_NAMES_SHOWN else ""
    return [f"{what}: {shown}{more}"]
