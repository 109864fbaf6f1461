"""A strict tar reader: where each regular file of an untrusted archive begins, and its bytes.

In: a seekable binary file and its length. Out: `Member(name, offset, num_bytes)` from the headers
alone, and the bytes of one member by its offset. Whatever is not a plain archive of regular files
is an error that names the byte: links, devices, sparse files, negative sizes, members that reach
past the end, chains of extended headers, duplicate names, a missing or doubtful end.

Names are only names here: nothing is ever extracted, so a path that climbs is as harmless as any
other. This file does not know of samples, keys, fields or compression.

Formats: POSIX.1-1988 ustar, POSIX.1-2001 pax (`x`, `g`) and GNU (`L`), as the `pax` chapter of
POSIX and GNU tar's manual ("Basic Tar Format") describe them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from vtok.errors import ShardError
from vtok.quantities import counted

BLOCK_BYTES = 512
MAX_NAME_BYTES = 4096
MAX_PAX_BYTES = 65536
MAX_GLOBAL_HEADERS = 8
MAX_TRAILING_BYTES = 1 << 20

_ZERO_BLOCK = bytes(BLOCK_BYTES)
_OCTAL = re.compile(rb"[0-7]+")
_DECIMAL = re.compile(rb"[0-9]{1,19}")
_UNSUPPORTED = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a directory",
    b"6": "a FIFO",
    b"7": "a contiguous file",
    b"D": "a GNU directory dump",
    b"K": "a long link name",
    b"M": "a continued file",
    b"S": "a sparse file",
    b"V": "a volume label",
}


@dataclass(frozen=True, slots=True)
class Member:
    """One regular file inside an archive.

    Attributes:
        name: Its name; bytes that are not UTF-8 as surrogate escapes (`os.fsencode` undoes them).
        offset: Where its content begins, in bytes from the start of the archive.
        num_bytes: The length of its content.
    """

    name: str
    offset: int
    num_bytes: int


@dataclass(slots=True)
class _Extended:
    """What extended headers have said about the next member."""

    name: bytes | None = None
    num_bytes: int | None = None
    has_pax: bool = False
    has_gnu: bool = False

    @property
    def is_pending(self) -> bool:
        return self.has_pax or self.has_gnu


@dataclass(slots=True)
class _Cursor:
    """The archive, its length, and the header that is being read; makes the errors."""

    file: BinaryIO
    num_bytes: int
    source: str
    position: int = 0

    def error(self, problem: str) -> ShardError:
        return ShardError(f"{self.source}: {problem} (header at byte {self.position})")

    def read(self, offset: int, num_bytes: int) -> bytes:
        """Return exactly these bytes, or raise."""
        if offset + num_bytes > self.num_bytes:
            raise self.error(
                f"truncated: {counted(offset + num_bytes - self.num_bytes, 'byte')} missing"
            )
        self.file.seek(offset)
        data = self.file.read(num_bytes)
        if len(data) != num_bytes:
            raise self.error(f"truncated: expected {counted(num_bytes, 'byte')}, got {len(data)}")
        return data


def iter_members(
    file: BinaryIO, *, num_bytes: int, source: str = "tar archive", skip_directories: bool = False
) -> Iterator[Member]:
    """Yield every member in order, reading headers only.

    The whole archive is vouched for only once the iterator has ended: the end-of-archive mark is
    checked last. The file's position may be moved between two members.

    Args:
        file: The archive, seekable.
        num_bytes: Its length.
        source: What to call the archive in errors.
        skip_directories: Pass over directory entries, which `tar cf x.tar folder/` writes, instead
            of refusing them.

    Raises:
        ShardError: the archive is damaged, cut, or holds anything but regular files under
            distinct names; the message gives the byte offset.
    """
    cursor = _Cursor(file, num_bytes, source)
    extended = _Extended()
    num_globals = 0
    seen: set[str] = set()
    while True:
        header = cursor.read(cursor.position, BLOCK_BYTES)
        if header == _ZERO_BLOCK:
            _check_end(cursor, extended)
            return
        _check_header(cursor, header)
        kind = header[156:157]
        body = cursor.position + BLOCK_BYTES
        size = _number(cursor, header[124:136])
        if kind in {b"x", b"g", b"L"}:
            num_globals += kind == b"g"
            if num_globals > MAX_GLOBAL_HEADERS:
                raise cursor.error(f"more than {MAX_GLOBAL_HEADERS} global headers")
            _read_extended(cursor, kind, size, extended)
            cursor.position = body + _padded(size)
            continue
        size = size if extended.num_bytes is None else extended.num_bytes
        name = _name(header) if extended.name is None else extended.name
        _check_body(cursor, name, body, size)
        if not _is_directory(cursor, kind, name, size, skip_directories):
            text = name.decode("utf-8", "surrogateescape")
            if text in seen:
                raise cursor.error(f"the name {text!r} appears twice")
            seen.add(text)
            yield Member(text, body, size)
        cursor.position = body + _padded(size)
        extended = _Extended()


def read_member(file: BinaryIO, member: Member, *, source: str = "tar archive") -> bytes:
    """Return the content of one member.

    Raises:
        ShardError: the archive has become shorter since its headers were read.
    """
    file.seek(member.offset)
    data = file.read(member.num_bytes)
    if len(data) != member.num_bytes:
        raise ShardError(
            f"{source}: member {member.name!r} at byte {member.offset} is cut: "
            f"{len(data)} of {counted(member.num_bytes, 'byte')}"
        )
    return data


def _padded(num_bytes: int) -> int:
    return -(-num_bytes // BLOCK_BYTES) * BLOCK_BYTES


def _check_header(cursor: _Cursor, header: bytes) -> None:
    """Require the checksum and the magic of a format that we read."""
    stored = _number(cursor, header[148:156])
    actual = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    if stored != actual:
        raise cursor.error("the header's checksum does not match: damaged, or not a tar archive")
    if header[257:265] not in {b"ustar\x0000", b"ustar  \x00"}:
        raise cursor.error("not a ustar, pax or GNU header")


def _number(cursor: _Cursor, field: bytes) -> int:
    """Return a header number: octal text, or GNU's base 256 for what octal cannot hold."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.split(b"\x00", 1)[0].strip(b" ")
    if not _OCTAL.fullmatch(text):
        raise cursor.error(f"a header number is negative or not octal: {field!r}")
    return int(text, 8)


def _name(header: bytes) -> bytes:
    name = header[:100].split(b"\x00", 1)[0]
    if header[257:263] == b"ustar\x00":  # GNU headers keep times where ustar has the prefix
        prefix = header[345:500].split(b"\x00", 1)[0]
        if prefix:
            return prefix + b"/" + name
    return name


def _check_body(cursor: _Cursor, name: bytes, offset: int, num_bytes: int) -> None:
    if not name or b"\x00" in name or len(name) > MAX_NAME_BYTES:
        raise cursor.error(f"a name is empty, has a NUL or is longer than {MAX_NAME_BYTES} bytes")
    if offset + _padded(num_bytes) > cursor.num_bytes:
        raise cursor.error(
            f"a member of {num_bytes} bytes, padded to whole blocks, does not fit in the "
            f"{cursor.num_bytes - offset} left"
        )


def _is_directory(cursor: _Cursor, kind: bytes, name: bytes, num_bytes: int, skip: bool) -> bool:
    """Tell whether to pass over this member; raise if it is nothing that we take."""
    if kind in {b"0", b"\x00"} and not name.endswith(b"/"):
        return False
    if skip and num_bytes == 0 and (kind == b"5" or name.endswith(b"/")) and kind in b"05\x00":
        return True
    what = _UNSUPPORTED.get(kind)
    if what is None:
        what = "a directory" if kind in {b"0", b"\x00"} else f"of unknown type {kind!r}"
    shown = name.decode("utf-8", "backslashreplace")
    raise cursor.error(f"member {shown!r} is {what}: only regular files are read")


def _read_extended(cursor: _Cursor, kind: bytes, num_bytes: int, extended: _Extended) -> None:
    """Read a pax or GNU header into what is known of the next member."""
    limit = MAX_NAME_BYTES + 1 if kind == b"L" else MAX_PAX_BYTES
    if num_bytes > limit:
        raise cursor.error(f"an extended header of {num_bytes} bytes (at most {limit})")
    body = cursor.read(cursor.position + BLOCK_BYTES, _padded(num_bytes))[:num_bytes]
    if kind == b"L":
        if extended.has_gnu or extended.name is not None:
            raise cursor.error("a second name for one member")
        extended.has_gnu = True
        extended.name = body.removesuffix(b"\x00")
        return
    if kind == b"x":
        if extended.has_pax:
            raise cursor.error("a second pax header for one member")
        extended.has_pax = True
    for key, value in _pax_records(cursor, body):
        if kind == b"g" and key in {b"path", b"size"}:
            raise cursor.error(f"a global header sets {key.decode()!r} for every member")
        _apply_pax(cursor, key, value, extended)


def _apply_pax(cursor: _Cursor, key: bytes, value: bytes, extended: _Extended) -> None:
    """Take from a pax record what changes where a member is or how it is called."""
    if key.startswith(b"GNU.sparse."):
        raise cursor.error("a sparse file: only regular files are read")
    if key == b"path":
        if extended.has_gnu:
            raise cursor.error("a second name for one member")
        extended.name = value
    elif key == b"size":
        if not _DECIMAL.fullmatch(value):
            raise cursor.error(f"a pax size is not a number: {value[:32]!r}")
        extended.num_bytes = int(value)


def _pax_records(cursor: _Cursor, body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the `length key=value` records of a pax header."""
    start = 0
    while start < len(body):
        text, space, _ = body[start : start + 8].partition(b" ")
        length = int(text) if space and _DECIMAL.fullmatch(text) else 0
        record = body[start : start + length]
        key, equals, value = record[len(text) + 1 :].partition(b"=")
        if len(record) != length or not record.endswith(b"\n") or not (key and equals):
            raise cursor.error("a pax record is malformed")
        yield key, value[:-1]
        start += length


def _check_end(cursor: _Cursor, extended: _Extended) -> None:
    """Require two zero blocks and nothing but zeros after them, not too many."""
    if extended.is_pending:
        raise cursor.error("the archive ends after an extended header")
    num_left = cursor.num_bytes - cursor.position
    if num_left < 2 * BLOCK_BYTES:
        raise cursor.error("the end-of-archive mark is cut: the archive was not finished")
    if num_left > MAX_TRAILING_BYTES:
        raise cursor.error(
            f"{counted(num_left, 'byte')} after the last member (at most {MAX_TRAILING_BYTES})"
        )
    if cursor.read(cursor.position, num_left).strip(b"\x00"):
        raise cursor.error("data follows the end-of-archive mark: two archives in one file?")
