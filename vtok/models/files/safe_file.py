"""Some tensors of a safetensors checkpoint: their bytes and the headers are read, nothing else.

In: files that can be opened and sought, local or remote. Out: tensors by name, and a digest of
exactly those. A file is 8 bytes (the header's length, little-endian), a JSON header that says where
each tensor lies, and the tensors. Every number of a header is checked before it is believed. Of
many files, only those are opened whose tensors are asked for. Knows no architecture.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, BinaryIO, NamedTuple

import torch
from huggingface_hub.errors import HfHubHTTPError
from torch import Tensor

from vtok.errors import WeightsError
from vtok.models.files.tensors import FiledTensors, bytes_of, check_rows

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


class SafeFiles(FiledTensors):
    """The tensors of a checkpoint of one or many files.

    Args:
        files: The file's name; or of many files, tensor's name → the name of its file.
        open_file: Name → the file, opened to read bytes at any position.
        where: For messages.

    Raises:
        WeightsError: the one file is missing, or its header is damaged.
    """

    def __init__(self, files: str | Mapping[str, str], open_file: Opener, where: str) -> None:
        super().__init__()
        self._open = open_file
        self._where = where
        self._entries: dict[str, Entry] = {}
        self._headers: set[str] = set()
        if isinstance(files, str):
            self._read_header(files)
            files = {name: entry.file for name, entry in self._entries.items()}
        self._files = files

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield these tensors in the order that they lie in, each in memory of its own.

        Raises:
            WeightsError: a file is missing, its header is damaged or contradicts it or the index,
                or it ends before its tensors do.
        """
        wanted = sorted(((self._entry_of(name), name) for name in set(names)), key=_place)
        for file, members in groupby(wanted, key=lambda each: each[0].file):
            with self._open(file) as stream:
                for entry, name in members:
                    tensor = torch.empty(entry.shape, dtype=entry.dtype)
                    self._fill(stream, entry.start, bytes_of(tensor), name)
                    self._digest.add(name, tensor)
                    yield name, tensor

    def read_rows(self, name: str, rows: Iterable[int]) -> Tensor:
        """Return some rows (R, ...) of a tensor (K, ...), in the order asked for; not digested.

        Raises:
            WeightsError: there is no such row.
        """
        entry = self._entry_of(name)
        asked = list(rows)
        check_rows(entry.shape, asked, name, self._where)
        row_bytes = entry.num_bytes // entry.shape[0]
        found = torch.empty((len(asked), *entry.shape[1:]), dtype=entry.dtype)
        flat = bytes_of(found)
        with self._open(entry.file) as stream:
            for position, row in enumerate(asked):
                part = flat[position * row_bytes : (position + 1) * row_bytes]
                self._fill(stream, entry.start + row * row_bytes, part, name)
        return found

    def _entry_of(self, name: str) -> Entry:
        file = self._files[name]
        if file not in self._headers:
            self._read_header(file)
        entry = self._entries.get(name)
        if entry is None or entry.file != file:
            raise WeightsError(f"{self._where}: {file} has no {name}, and the index says so")
        return entry

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

    def _read_header(self, file: str) -> None:
        self._headers.add(file)
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
        for name, facts in header.items():
            if name != "__metadata__":
                self._entries[name] = self._entry(file, name, facts, begin, size)

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


def _place(each: tuple[Entry, str]) -> tuple[str, int, str]:
    entry, name = each
    return entry.file, entry.start, name
