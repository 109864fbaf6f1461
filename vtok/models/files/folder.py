"""Which files of a folder are the model: its configuration and its weights.

In: a folder as a hub, a trainer or this package leaves it, or one weights file. Out: the content of
the configuration and the weights' paths. Reads JSON and YAML; opens no weights.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vtok.errors import WeightsError

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
SAFETENSORS = ".safetensors"

_PREFERRED = (WEIGHTS_NAME, "diffusion_pytorch_model.safetensors")
_PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
_YAMLS = (".yaml", ".yml")
PROGRAM = ".jit"  # TorchScript, of which the tensors are read
WEIGHTS_SUFFIXES = (SAFETENSORS, *_PICKLES, PROGRAM)
_PAIR = ("encoder", "decoder")  # DALL-E's two files, Cosmos's two
_WHOLE = "autoencoder"  # Cosmos's third file, of the same tensors
_MAX_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of a model.

    Attributes:
        config: The content of its configuration; empty if it has none.
        weights: The weights file; two for a model that is published as two.
    """

    config: Mapping[str, Any]
    weights: tuple[Path, ...]


def find_files(path: Path) -> ModelFiles:
    """Return the configuration and the weights of a model folder or weights file.

    Raises:
        WeightsError: there are no weights, more than one choice of them, or no readable
            configuration where there is one.
    """
    try:
        if path.is_file():
            return ModelFiles(_config_beside(path), (path,))
        files = sorted(each for each in path.iterdir() if each.is_file())
    except OSError as error:
        raise WeightsError(f"{error.filename}: {error.strerror}") from error
    weights = _weights_among(files, path)
    if any(each.name == CONFIG_NAME for each in files):
        return ModelFiles(_read_json(path / CONFIG_NAME), weights)
    yamls = [each for each in files if each.suffix in _YAMLS]
    if len(yamls) > 1:
        names = ", ".join(each.name for each in yamls)
        raise WeightsError(f"{path}: which is the configuration: {names}? Leave one")
    return ModelFiles(_read_yaml(yamls[0]) if yamls else {}, weights)


def _weights_among(files: list[Path], path: Path) -> tuple[Path, ...]:
    names = {each.name: each for each in files}
    for preferred in _PREFERRED:
        if preferred in names:
            return (names[preferred],)
    for suffixes in ((SAFETENSORS,), (PROGRAM,), _PICKLES):
        found = [each for each in files if each.suffix in suffixes]
        if len(found) == 1:
            return (found[0],)
        pair = [each for stem in _PAIR for each in found if each.stem == stem]
        others = [each for each in found if each not in pair and each.stem != _WHOLE]
        if len(pair) == len(_PAIR) and not others:
            return tuple(pair)
        if found:
            raise WeightsError(
                f"{path}: which weights: {', '.join(each.name for each in found)}? Name the file"
            )
    raise WeightsError(f"{path}: there are no weights: no {WEIGHTS_NAME}, no checkpoint")


def _config_beside(weights: Path) -> Mapping[str, Any]:
    """Return the configuration that belongs to a weights file, by where it lies."""
    if weights.suffix not in WEIGHTS_SUFFIXES:
        raise WeightsError(f"{weights}: not a weights file ({', '.join(WEIGHTS_SUFFIXES)})")
    folder = weights.parent
    own = [folder / f"{weights.stem}{suffix}" for suffix in _YAMLS]
    for each in (*own, folder / "config.yaml", folder / "model.yaml"):
        if each.is_file():
            return _read_yaml(each)
    beside = folder / CONFIG_NAME
    return _read_json(beside) if beside.is_file() else {}


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(_read_text(path)), path)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not JSON ({error})") from error


def _read_yaml(path: Path) -> Mapping[str, Any]:
    try:
        return _mapping(yaml.safe_load(_read_text(path)), path)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path}: not plain YAML ({reason})") from error


def _read_text(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}") from error
    if len(text) > _MAX_CONFIG_BYTES:
        raise WeightsError(f"{path}: more than {_MAX_CONFIG_BYTES} bytes are no configuration")
    return text


def _mapping(value: object, path: Path) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise WeightsError(f"{path}: not a mapping of names")
    return value
