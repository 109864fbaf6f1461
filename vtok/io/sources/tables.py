"""Images in a parquet file: a column of bytes, or of records with `bytes` and `path`.

Needs pyarrow (`pip install 'vtok[parquet]'`). Listing reads every column but the images; reading an
image reads its row group, and keeps the last ones, as neighbours are asked for one after another.
"""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from vtok.errors import InputError, UnreadableImageError
from vtok.io.json_files import canonical_json
from vtok.io.paths import path_text
from vtok.io.remote import is_url
from vtok.io.sources.container import open_container
from vtok.io.sources.item import (
    UNKNOWN,
    Source,
    SourceItem,
    changed_since_listed,
    has_bytes,
)

IMAGE_COLUMNS = ("image", "jpg", "png", "bytes", "image_bytes", "img")

_LONG_BYTES = 64 << 20


class Table(NamedTuple):
    """One parquet file and the column that its items share.

    Attributes:
        name: Path or URL.
        column: The image column.
        num_bytes: The file's length when it was listed.
        mtime_ns: When it was last changed; 0 behind a URL.
    """

    name: str
    column: str
    num_bytes: int
    mtime_ns: int


class TableItem(SourceItem):
    """An image in a row of a parquet file."""

    __slots__ = ("_group", "_metadata", "_row", "_row_in_group", "_table", "mtime_ns", "size_bytes")

    def __init__(
        self, table: Table, group: int, row_in_group: int, row: int, metadata: dict[str, Any] | None
    ) -> None:
        self._table = table
        self._group = group
        self._row_in_group = row_in_group
        self._row = row
        self._metadata = metadata
        self.size_bytes = UNKNOWN
        self.mtime_ns = table.mtime_ns

    @property
    def source(self) -> str:
        """The file's last name and the row."""
        return f"{path_text(os.fsencode(os.path.basename(self._table.name)))}#{self._row}"

    @property
    def location(self) -> str:
        """The file's whole name and the row."""
        return f"{path_text(os.fsencode(self._table.name))}#{self._row}"

    @property
    def metadata(self) -> dict[str, Any]:
        """The other columns that JSON can hold."""
        return self._metadata or {}

    def read(self, *, max_bytes: int | None = None) -> bytes:
        """Return the encoded image."""
        try:
            value = _image_column(self._table, self._group)[self._row_in_group].as_py()
        except Exception as error:
            why = " ".join(str(error).split())
            raise UnreadableImageError(f"cannot read {self.location}: {why}") from error
        if isinstance(value, dict):
            value = value.get("bytes")
        if not isinstance(value, bytes):
            raise UnreadableImageError(f"{self.location} holds no bytes")
        return value if max_bytes is None else value[: max_bytes + 1]

    def digest_line(self) -> bytes:
        """Return the file's last name and facts, the row, and the other columns."""
        name = os.fsencode(os.path.basename(self._table.name)).replace(b"\n", b"\x00\x00")
        facts = b"%d\x00%d\x00%d" % (self._table.num_bytes, self.mtime_ns, self._row)
        return name + b"\x00" + facts + b"\x00" + canonical_json(self.metadata).replace(b"\n", b"")


class TableSource(Source):
    """The rows of a parquet file."""

    def is_long(self) -> bool:
        """Tell whether it is a large file on this machine."""
        return not is_url(self.name) and has_bytes([self.name], _LONG_BYTES)

    def list(self) -> Iterator[SourceItem]:
        """Yield an item for every row, in order."""
        with _open(self.name) as (parquet, num_bytes, mtime_ns):
            schema = parquet.schema_arrow
            column = _choose_column(schema, self.name)
            table = Table(
                self.name if is_url(self.name) else os.path.abspath(self.name),
                column, num_bytes, mtime_ns,
            )  # fmt: skip
            others = [field.name for field in schema if _is_plain(field.type)]
            row = 0
            for group in range(parquet.num_row_groups):
                num_rows = parquet.metadata.row_group(group).num_rows
                columns = parquet.read_row_group(group, columns=others).to_pydict()
                for i in range(num_rows):
                    metadata = {name: _finite(values[i]) for name, values in columns.items()}
                    yield TableItem(table, group, i, row, metadata or None)
                    row += 1
        if row == 0:
            raise InputError(f"no images in {self.name}: the table has no rows")


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            "reading parquet needs pyarrow: run pip install 'vtok[parquet]'"
        ) from error
    return pyarrow


@contextmanager
def _open(name: str) -> Iterator[tuple[Any, int, int]]:
    """Open a parquet file; yield it, its length and its time."""
    pyarrow = _pyarrow()
    with open_container(name) as (file, num_bytes, mtime_ns):
        yield _parquet(pyarrow, file, name), num_bytes, mtime_ns


def _parquet(pyarrow: Any, file: Any, name: str) -> Any:
    try:
        return pyarrow.parquet.ParquetFile(file)
    except (pyarrow.ArrowException, OSError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{name} is not a readable parquet file: {why}") from error


@functools.lru_cache(maxsize=2)
def _image_column(table: Table, group: int) -> Any:
    """Return the image column of a row group; the cache holds two of them per process."""
    with _open(table.name) as (parquet, num_bytes, mtime_ns):
        if (num_bytes, mtime_ns) != (table.num_bytes, table.mtime_ns):
            raise UnreadableImageError(changed_since_listed(path_text(os.fsencode(table.name))))
        return parquet.read_row_group(group, columns=[table.column]).column(0)


def _choose_column(schema: Any, name: str) -> str:
    """Return the image column: of bytes or records with bytes, by name or because it is alone."""
    columns = [field.name for field in schema if _is_image(field.type)]
    for each in IMAGE_COLUMNS:
        if each in columns:
            return each
    if len(columns) == 1:
        return str(columns[0])
    found = f"several hold bytes ({', '.join(columns)})" if columns else "none holds bytes"
    raise InputError(f"{name} has no column named {' or '.join(IMAGE_COLUMNS[:2])}, and {found}")


def _is_image(kind: Any) -> bool:
    types = _pyarrow().types
    if types.is_struct(kind):
        return any(field.name == "bytes" and _is_image(field.type) for field in kind)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _is_plain(kind: Any) -> bool:
    """Tell whether JSON can hold a column's values."""
    types = _pyarrow().types
    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
    )


def _finite(value: Any) -> Any:
    """Return the value, or None where JSON has no number for it."""
    return None if isinstance(value, float) and not abs(value) < float("inf") else value
