"""The tensors of a checkpoint, of which some are read: what all of its formats promise.

In: names. Out: tensors, and one digest of those that were read, the same whatever files they lay
in. Knows no format and no architecture.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from vtok.errors import WeightsError


class Tensors(Protocol):
    """The tensors of one checkpoint, of one or many files."""

    @property
    def num_bytes_read(self) -> int:
        """Bytes of its files that were read up to now."""

    @property
    def names(self) -> Collection[str]:
        """The names of all of its tensors."""

    @property
    def sha256(self) -> str:
        """Digest of all tensors read so far; 64 hexadecimal digits."""

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield these tensors in the order that they lie in, each in memory of its own.

        Raises:
            WeightsError: a file is missing or damaged.
        """

    def read_rows(self, name: str, rows: Iterable[int]) -> Tensor:
        """Return some rows (R, ...) of a tensor (K, ...), in the order asked for; not digested.

        Raises:
            WeightsError: there is no such row.
        """


class FiledTensors:
    """What the tensors of any format have: the files that hold them, the digest of those read.

    Attributes:
        num_bytes_read: Of its files, up to now.
    """

    def __init__(self) -> None:
        self._files: Mapping[str, str] = {}  # name → the name of its file
        self._digest = Digest()
        self.num_bytes_read = 0

    @property
    def names(self) -> Collection[str]:
        """The names of all of its tensors."""
        return self._files.keys()

    @property
    def sha256(self) -> str:
        """Digest of all tensors read so far, the same in every format; 64 hexadecimal digits."""
        return self._digest.hexdigest()


class Digest:
    """Of tensors by name, in whatever order they come."""

    def __init__(self) -> None:
        self._parts: dict[str, bytes] = {}

    def add(self, name: str, tensor: Tensor) -> None:
        """Take a contiguous tensor in."""
        digest = hashlib.sha256(f"{tensor.dtype}{list(tensor.shape)}".encode())
        digest.update(bytes_of(tensor))
        self._parts[name] = digest.digest()

    def hexdigest(self) -> str:
        """Return the digest of all; 64 hexadecimal digits."""
        whole = hashlib.sha256()
        for name in sorted(self._parts):
            whole.update(json.dumps(name).encode() + self._parts[name])
        return whole.hexdigest()


def bytes_of(tensor: Tensor) -> memoryview:
    """Return the memory of a contiguous tensor."""
    if not tensor.numel():
        return memoryview(bytearray())
    array: Any = tensor.flatten().view(torch.uint8).numpy()
    return memoryview(array)


def rows_of(tensor: Tensor, rows: Iterable[int], name: str, where: str) -> Tensor:
    """Return rows of a tensor that is in memory; as `Tensors.read_rows`."""
    asked = list(rows)
    check_rows(tuple(tensor.shape), asked, name, where)
    return tensor[asked].clone()


def check_rows(shape: tuple[int, ...], rows: list[int], name: str, where: str) -> None:
    """Refuse rows that a tensor of this shape does not have.

    Raises:
        WeightsError: there is one.
    """
    if not shape or any(not 0 <= row < shape[0] for row in rows):
        raise WeightsError(f"{where}: {name} of shape {shape} has no row {rows}")


def places_of(index: Mapping[str, Any], where: str, suffix: str) -> dict[str, str]:
    """Return the file that each tensor lies in, as the index of a checkpoint says.

    Raises:
        WeightsError: it has no map of weights, or names a file outside the folder.
    """
    places = index.get("weight_map")
    if not isinstance(places, Mapping) or not places:
        raise WeightsError(f"{where}: the index has no weight_map")
    for file in places.values():
        if not isinstance(file, str) or "/" in file or "\\" in file or not file.endswith(suffix):
            raise WeightsError(f"{where}: the index names {file!r}, which is no {suffix} file")
    return dict(places)
