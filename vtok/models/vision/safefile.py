"""Some tensors of a safetensors checkpoint: their bytes and the headers are read, nothing else.

In: files that can be opened and sought, local or remote. Out: tensors by name, and a digest of
exactly those. A file is 8 bytes (the header's length, little-endian), a JSON header that says where
each tensor lies, and the tensors. Every number of a header is checked before it is believed. Knows
no architecture.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, BinaryIO, NamedTuple

import torch
from huggingface_hub.errors import HfHubHTTPError
from torch import Tensor

from vtok.errors import WeightsError

Opener = Callable[[str], BinaryIO]

_MAX_HEADER_BYTES = 100 << 20
_PREFIX_BYTES = 8
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class Entry(NamedTuple):
    """Where a tensor lies.

    Attributes:
        file: The file's name.
        start: Its first byte in the file.
        num_bytes: Its length.
        dtype: Of its numbers.
        shape: Of the tensor.
    """

    file: str
    start: int
    num_bytes: int
    dtype: torch.dtype
    shape: tuple[int, ...]


class SafeFiles:
    """The tensors of a checkpoint of one or many files.

    Args:
        files: The files' names.
        open_file: Name → the file, opened to read bytes at any position.
        where: For messages.

    Raises:
        WeightsError: a header is damaged or contradicts its file.
    """

    def __init__(self, files: Iterable[str], open_file: Opener, where: str) -> None:
        self._open = open_file
        self._where = where
        self._digests: dict[str, bytes] = {}
        self.num_bytes_read = 0
        self.entries: dict[str, Entry] = {}
        for file in files:
            self.entries |= self._read_header(file)

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield these tensors in the order that they lie in, each in memory of its own.

        Raises:
            WeightsError: a file ends before its tensors do.
        """
        wanted = sorted(((self.entries[name], name) for name in set(names)), key=_place)
        for file, members in groupby(wanted, key=lambda each: each[0].file):
            with self._open(file) as stream:
                for entry, name in members:
                    yield name, self._read_tensor(stream, entry, name)

    def read_rows(self, name: str, rows: Iterable[int]) -> Tensor:
        """Return some rows (R, ...) of a tensor (K, ...), in the order asked for; not digested.

        Raises:
            WeightsError: there is no such row.
        """
        entry = self.entries[name]
        asked = list(rows)
        if not entry.shape or any(not 0 <= row < entry.shape[0] for row in asked):
            raise WeightsError(f"{self._where}: {name} of shape {entry.shape} has no row {asked}")
        row_bytes = entry.num_bytes // entry.shape[0]
        found = torch.empty((len(asked), *entry.shape[1:]), dtype=entry.dtype)
        flat = _bytes_of(found)
        with self._open(entry.file) as stream:
            for position, row in enumerate(asked):
                part = flat[position * row_bytes : (position + 1) * row_bytes]
                self._fill(stream, entry.start + row * row_bytes, part, name)
        return found

    @property
    def sha256(self) -> str:
        """Digest of all tensors read so far, whatever files they lie in; 64 hexadecimal digits."""
        whole = hashlib.sha256()
        for name in sorted(self._digests):
            whole.update(json.dumps(name).encode() + self._digests[name])
        return whole.hexdigest()

    def _read_tensor(self, stream: BinaryIO, entry: Entry, name: str) -> Tensor:
        tensor = torch.empty(entry.shape, dtype=entry.dtype)
        flat = _bytes_of(tensor)
        self._fill(stream, entry.start, flat, name)
        self._digests[name] = _digest(entry, flat)
        return tensor

    def _fill(self, stream: BinaryIO, start: int, buffer: memoryview, name: str) -> None:
        num_filled = 0
        try:
            stream.seek(start)
            while num_filled < len(buffer):
                # Remote files offer `read` alone; in pieces, so that no tensor is there twice.
                piece = stream.read(min(len(buffer) - num_filled, 1 << 20))
                if not piece:
                    raise WeightsError(
                        f"{self._where}: damaged: the file ends inside {name}: get it again"
                    )
                buffer[num_filled : num_filled + len(piece)] = piece
                num_filled += len(piece)
        except (OSError, HfHubHTTPError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise WeightsError(f"{self._where}: {name} cannot be read ({reason})") from error
        self.num_bytes_read += num_filled

    def _read_header(self, file: str) -> dict[str, Entry]:
        with self._open(file) as stream:
            size = stream.seek(0, 2)
            prefix = bytearray(_PREFIX_BYTES)
            self._fill(stream, 0, memoryview(prefix), f"the header of {file}")
            length = int.from_bytes(prefix, "little")
            if length > min(_MAX_HEADER_BYTES, size - _PREFIX_BYTES):
                raise self._damaged(file, "its header is longer than the file")
            text = bytearray(length)
            self._fill(stream, _PREFIX_BYTES, memoryview(text), f"the header of {file}")
        try:
            header = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._damaged(file, "its header is not JSON") from error
        if not isinstance(header, dict):
            raise self._damaged(file, "its header is no mapping")
        begin = _PREFIX_BYTES + length
        return {
            name: self._entry(file, name, facts, begin, size)
            for name, facts in header.items()
            if name != "__metadata__"
        }

    def _entry(self, file: str, name: str, facts: Any, begin: int, size: int) -> Entry:
        try:
            dtype = _DTYPES.get(facts["dtype"])
            shape = tuple(int(length) for length in facts["shape"])
            first, last = map(int, facts["data_offsets"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(file, f"what it says of {name} is incomplete") from error
        if dtype is None:  # quantized formats and the like: not one that a tower is kept in
            return Entry(file, begin + first, last - first, torch.uint8, (max(0, last - first),))
        if (
            any(length < 0 for length in shape)
            or not 0 <= first <= last <= size - begin
            or last - first != math.prod(shape) * dtype.itemsize
        ):
            raise self._damaged(file, f"{name} is not where it says")
        return Entry(file, begin + first, last - first, dtype, shape)

    def _damaged(self, file: str, why: str) -> WeightsError:
        return WeightsError(f"{self._where}: {file} is damaged ({why}): get the file again")


def files_of_index(index: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Return the names of the files of a `model.safetensors.index.json`.

    Raises:
        WeightsError: it has no map of weights, or names a file outside the folder.
    """
    files = index.get("weight_map")
    if not isinstance(files, Mapping) or not files:
        raise WeightsError(f"{where}: the index has no weight_map")
    names = sorted(set(files.values()))
    for name in names:
        if not isinstance(name, str) or "/" in name or "\\" in name or not name.endswith("tensors"):
            raise WeightsError(f"{where}: the index names {name!r}, which is no safetensors file")
    return tuple(names)


def _place(each: tuple[Entry, str]) -> tuple[str, int, str]:
    entry, name = each
    return entry.file, entry.start, name


def _bytes_of(tensor: Tensor) -> memoryview:
    """Return the memory of a contiguous tensor, to write in."""
    if not tensor.numel():
        return memoryview(bytearray())
    array: Any = tensor.flatten().view(torch.uint8).numpy()
    return memoryview(array)


def _digest(entry: Entry, data: memoryview) -> bytes:
    digest = hashlib.sha256(f"{entry.dtype}{list(entry.shape)}".encode())
    digest.update(data)
    return digest.digest()
