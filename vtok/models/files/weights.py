"""Weights from files, safely: every key accounted for, the digest kept, nothing executed.

In: a model folder, or one weights file. Out: its configuration, its digest, its tensors, and a
module that holds them; or a folder itself, written. safetensors come first; pickles are read as
`pickles` allows. Knows no architecture and no names.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from vtok.errors import WeightsError
from vtok.io.files import make_folder, write_bytes
from vtok.models.files.checkpoint import model_state, trainer_arguments
from vtok.models.files.folder import CONFIG_NAME, SAFETENSORS, WEIGHTS_NAME, ModelFiles, find_files
from vtok.models.files.pickles import read_pickle

CONVERTED = "vtok-model"
_MAX_NAMES_SHOWN = 5
_ModuleT = TypeVar("_ModuleT", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model on disk.

    Attributes:
        path: The folder, or the one file, that was named.
        config: The content of its configuration; empty if it has none.
        weights_sha256: Digest of its weights file, 64 hexadecimal digits; of several, the digest
            of theirs.
        weights: The weights files.
        source: What a converted folder says of the model that it was made from.
    """

    path: Path
    config: Mapping[str, Any]
    weights_sha256: str
    weights: tuple[Path, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)


def open_folder(path: Path) -> ModelFolder:
    """Read the configuration and digest of a model folder or weights file, not yet its tensors.

    Raises:
        WeightsError: a file is missing, unreadable, or not what its name says.
    """
    files: ModelFiles = find_files(path)
    for weights in files.weights:
        _check_length(weights)
    try:
        digests = [_sha256(weights) for weights in files.weights]
    except OSError as error:
        raise WeightsError(f"{error.filename}: {error.strerror}") from error
    digest = digests[0]
    if len(digests) > 1:
        digest = hashlib.sha256("".join(digests).encode()).hexdigest()
    config = files.config
    if config.get("format") == CONVERTED and isinstance(config.get("config"), Mapping):
        source = config.get("source")
        own = {**config["config"], "family": config.get("family")}
        known = source if isinstance(source, Mapping) else {}
        return ModelFolder(path, own, digest, files.weights, known)
    return ModelFolder(path, config, digest, files.weights)


def read_state(folder: ModelFolder) -> dict[str, Tensor]:
    """Return the tensors of a model, under its authors' names.

    Of several files (DALL-E's), each name begins with its file's.

    Raises:
        WeightsError: a file is damaged, unsafe, or holds no model.
    """
    return read_model(folder)[1]


def read_model(folder: ModelFolder) -> tuple[ModelFolder, dict[str, Tensor]]:
    """Return the folder with what its weights files say of the configuration, and the tensors.

    A configuration beside the weights has the last word. Tensors and errors as for `read_state`.
    """
    arguments: dict[str, Any] = {}
    found: dict[str, Tensor] = {}
    for path in folder.weights:
        prefix = f"{path.stem}." if len(folder.weights) > 1 else ""
        held = _read_file(path)
        try:
            found |= {f"{prefix}{name}": tensor for name, tensor in model_state(held).items()}
        except WeightsError as error:
            raise WeightsError(f"{path}: {error}") from error
        arguments |= trainer_arguments(held)
    return replace(folder, config={**arguments, **folder.config}), found


def load_model(
    make: Callable[[], _ModuleT], state: Mapping[str, Tensor], folder: ModelFolder
) -> _ModuleT:
    """Return a module that holds the tensors, as fp32.

    Nothing is allocated for the module before every tensor is known to be there and to fit: a
    configuration can claim any size.

    Args:
        make: Makes the module.
        state: Its tensors, under its own names.
        folder: Where they are from, for messages.

    Raises:
        WeightsError: tensors are missing, superfluous, misshapen or not finite; the message names
            them.
    """
    try:
        with torch.device("meta"):
            module = make()
    except (RuntimeError, OverflowError, TypeError) as error:
        # Sizes whose product no machine counts: torch says so by any of these.
        if isinstance(error, TypeError) and "Overflow" not in str(error):
            raise
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"{folder.path}: its configuration cannot be built: {reason}") from error
    wanted = module.state_dict()
    problems = [
        *_named("missing", wanted.keys() - state.keys()),
        *_named("not of this architecture", state.keys() - wanted.keys()),
        *_named("of another shape", _misshapen(wanted, state)),
        *_named("not finite", {n for n, t in state.items() if not torch.isfinite(t).all()}),
    ]
    if problems:
        raise WeightsError(f"{_where(folder)}: {'; '.join(problems)}")
    tensors = {
        name: tensor.to(wanted[name].dtype, copy=True).contiguous()  # the file may be mapped
        for name, tensor in state.items()
    }
    module.load_state_dict(tensors, assign=True)
    if any(tensor.is_meta for tensor in (*module.buffers(), *module.parameters())):
        module = make()  # it has tables that are not stored
        module.load_state_dict(tensors)
    return module


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


def _read_file(path: Path) -> object:
    try:
        return load_file(path) if path.suffix == SAFETENSORS else read_pickle(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: damaged ({error}): get the file again") from error


def _check_length(path: Path) -> None:
    """Refuse safetensors whose header does not fit the file, before all of the file is hashed.

    Raises:
        WeightsError: it does not.
    """
    if path.suffix == SAFETENSORS:
        with suppress(OSError):  # said where it is hashed
            try:
                with safe_open(path, framework="pt"):
                    return
            except SafetensorError as error:
                raise WeightsError(f"{path}: damaged ({error}): get the file again") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _where(folder: ModelFolder) -> str:
    return ", ".join(str(path) for path in folder.weights) or str(folder.path)


def _misshapen(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> set[str]:
    common = wanted.keys() & found.keys()
    return {
        f"{name} ({_shape(found[name])}, not {_shape(wanted[name])})"
        for name in common
        if wanted[name].shape != found[name].shape
    }


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"


def _named(what: str, names: set[str]) -> list[str]:
    """Return a clause that names the first few tensors, or nothing."""
    if not names:
        return []
    shown = ", ".join(sorted(names)[:_MAX_NAMES_SHOWN])
    more = f" and {len(names) - _MAX_NAMES_SHOWN} more" if len(names) > _MAX_NAMES_SHOWN else ""
    return [f"{what}: {shown}{more}"]
