"""Lists of images: paths or URLs, one a line, as text, CSV or JSON lines, or on standard input.

A path that is not absolute counts from the list's folder (from the working folder on standard
input). Columns beside the path are the item's metadata. A file that is missing is an item all the
same: reading it fails, and the failure is recorded.
"""

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from vtok.errors import InputError, UnreadableImageError
from vtok.io.files import one_line, open_regular
from vtok.io.json_files import canonical_json, refuse_deep
from vtok.io.remote import is_url, read_url
from vtok.io.sources.folders import FileItem
from vtok.io.sources.item import Source, SourceItem, has_bytes
from vtok.io.sources.urls import UrlItem

LIST_EXTENSIONS = (".txt", ".csv", ".jsonl")
PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "image_path", "url", "image_url")

_MAX_LINE_BYTES = 16 << 20
_LONG_BYTES = 256 << 10


class ListedFile(FileItem):
    """A local image that stood in a list."""

    __slots__ = ("_metadata",)

    def __init__(self, root: bytes, path: bytes, metadata: Mapping[str, Any] | None) -> None:
        try:
            facts = os.stat(os.path.join(root, path))
        except (OSError, ValueError):
            facts = None
        super().__init__(root, path, facts)
        self._metadata = dict(metadata) if metadata else None

    @property
    def metadata(self) -> dict[str, Any]:
        """The other columns of the list."""
        return self._metadata or {}

    def digest_line(self) -> bytes:
        """Return path, size and time, then the other columns."""
        return _with_metadata(super().digest_line(), self._metadata)


class ListedUrl(UrlItem):
    """An image behind a URL that stood in a list."""

    __slots__ = ()

    def digest_line(self) -> bytes:
        """Return the URL, then the other columns."""
        return _with_metadata(super().digest_line(), self._metadata)


def _with_metadata(line: bytes, metadata: Mapping[str, Any] | None) -> bytes:
    if not metadata:
        return line
    return line + b"\x00" + canonical_json(dict(metadata)).replace(b"\n", b"")


class ListSource(Source):
    """A list of paths and URLs in a file, behind a URL, or on standard input (`-`)."""

    def __init__(self, name: str, stdin: BinaryIO | None = None) -> None:
        super().__init__(name)
        self._data = stdin.read() if stdin is not None else None
        is_local = stdin is None and not is_url(name)
        self._root = os.path.abspath(os.path.dirname(os.fsencode(name)) if is_local else b".")
        self._kind = ".txt" if stdin is not None else Path(name).suffix.lower()

    def list(self) -> Iterator[SourceItem]:
        """Yield an item for every line, in the list's order."""
        parse = {".txt": _text_lines, ".csv": _csv_rows, ".jsonl": _json_lines}[self._kind]
        num_items = 0
        with self._open() as file:
            try:
                for path, metadata in parse(file, self.name):
                    num_items += 1
                    yield self._item(path, metadata)
            except (OSError, UnicodeDecodeError, csv.Error) as error:
                raise InputError(
                    f"cannot read {self.name}: {' '.join(str(error).split())}"
                ) from error
        if num_items == 0:
            raise InputError(f"no images in {self.name}: the list is empty")

    def is_long(self) -> bool:
        """Tell whether the list is a large file on this machine."""
        is_local = self._data is None and not is_url(self.name)
        return is_local and has_bytes([self.name], _LONG_BYTES)

    def _open(self) -> BinaryIO:
        if self._data is not None:
            return io.BytesIO(self._data)
        try:
            if is_url(self.name):
                return io.BytesIO(read_url(self.name))
            return open_regular(self.name)
        except UnreadableImageError as error:
            raise InputError(str(error)) from error
        except OSError as error:
            raise InputError(f"cannot read {self.name}: {error.strerror}") from error

    def _item(self, path: bytes, metadata: Mapping[str, Any] | None) -> SourceItem:
        text = os.fsdecode(path)
        if is_url(text):
            return ListedUrl(text, metadata=metadata)
        return ListedFile(self._root, path, metadata)


Rows = Iterable[tuple[bytes, Mapping[str, Any] | None]]


def _text_lines(file: BinaryIO, name: str) -> Rows:
    for line_number, line in enumerate(_lines(file, name), 1):
        path = line.rstrip(b"\r\n")
        if b"\x00" in path:
            raise InputError(f"{name}, line {line_number}: not a path (is it a list?)")
        if path.strip():
            yield path, None


def _csv_rows(file: BinaryIO, name: str) -> Rows:
    text = (_decode(line, is_first=i == 0) for i, line in enumerate(_lines(file, name)))
    reader = csv.DictReader(text, restkey="", strict=True)
    column = _path_column(reader.fieldnames or (), f"{name}, line 1")
    for row in reader:
        if row.get("") or None in row.values():
            raise InputError(f"{name}, line {reader.line_num}: more or fewer fields than columns")
        path = row.pop(column)
        if not path:
            raise InputError(f"{name}, line {reader.line_num}: {column} is empty")
        yield os.fsencode(path), row


def _json_lines(file: BinaryIO, name: str) -> Rows:
    for line_number, line in enumerate(_lines(file, name), 1):
        if not line.strip():
            continue
        where = f"{name}, line {line_number}"
        try:
            row = json.loads(line, parse_constant=_refuse, parse_float=_finite)
            refuse_deep(line, row)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: not valid JSON ({one_line(error)[:100]})") from error
        if isinstance(row, str):
            row = {"path": row}
        if not isinstance(row, dict):
            raise InputError(f"{where}: an object with a path was expected")
        column = _path_column(row, where)
        path = row.pop(column)
        if not isinstance(path, str) or not path:
            raise InputError(f"{where}: {column} is not a path")
        yield path.encode("utf-8", "surrogateescape"), row


def _decode(line: bytes, *, is_first: bool) -> str:
    return line.decode("utf-8-sig" if is_first else "utf-8")


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    """Return a number; refuse one that no JSON could hold again."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield lines; a file without line ends is no list, and is not read into memory."""
    while line := file.readline(_MAX_LINE_BYTES):
        if len(line) == _MAX_LINE_BYTES:
            raise InputError(f"{name}: a line has more than {_MAX_LINE_BYTES} bytes")
        yield line


def _path_column(columns: Iterable[str], where: str) -> str:
    """Return the column that holds the image's path or URL."""
    by_lower = {column.lower(): column for column in reversed(list(columns))}
    for name in PATH_COLUMNS:
        if name in by_lower:
            return by_lower[name]
    raise InputError(f"{where}: no column named {', '.join(PATH_COLUMNS[:-1])} or image_url")
