"""Images in tar archives, as WebDataset keeps them: members that share a key are one sample.

The first member of a sample with an image's extension is the image; the others go with it. Only
headers are read to list; an image is read by its offset. `name-{000000..000099}.tar` names many.
"""

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from vtok.errors import InputError, ShardError, UnreadableImageError
from vtok.io.files import open_regular
from vtok.io.paths import path_text
from vtok.io.remote import is_url, read_range
from vtok.io.sources.container import open_container
from vtok.io.sources.item import (
    Source,
    SourceItem,
    changed_since_listed,
    describe_ignored,
    extension,
    has_bytes,
    has_image_extension,
    refuse_long,
)
from vtok.io.tar import Member, iter_members, read_member

MAX_EXPANDED = 1_000_000
_LONG_BYTES = 64 << 20
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


class Archive(NamedTuple):
    """One tar that is shared by its items.

    Attributes:
        name: Path or URL.
        num_bytes: Its length when it was listed.
        mtime_ns: When it was last changed; 0 behind a URL.
    """

    name: str
    num_bytes: int
    mtime_ns: int


class ArchiveItem(SourceItem):
    """An image inside a tar."""

    __slots__ = ("_archive", "_key", "_member", "_others", "mtime_ns", "size_bytes")

    def __init__(
        self, archive: Archive, key: str, member: Member, others: tuple[Member, ...]
    ) -> None:
        self._archive = archive
        self._key = key
        self._member = member
        self._others = others
        self.size_bytes = member.num_bytes
        self.mtime_ns = archive.mtime_ns

    @property
    def source(self) -> str:
        """The archive's last name and the member's: `a.tar/0001.jpg`."""
        base = os.path.basename(self._archive.name)
        return f"{path_text(os.fsencode(base))}/{path_text(os.fsencode(self._member.name))}"

    @property
    def location(self) -> str:
        """The archive's whole name and the member's."""
        member = path_text(os.fsencode(self._member.name))
        return f"{path_text(os.fsencode(self._archive.name))}/{member}"

    @property
    def key(self) -> str:
        """The sample's key, as WebDataset has it."""
        return self._key

    def read(self, *, max_bytes: int | None = None) -> bytes:
        """Return the encoded image."""
        return self._read(self._member, max_bytes)

    def read_sidecars(self) -> dict[str, bytes]:
        """Return the sample's other members by field."""
        found = {}
        for member in self._others:
            refuse_long(member.num_bytes, path_text(os.fsencode(member.name)))
            found[member.name[len(self._key) + 1 :]] = self._read(member, None)
        return found

    def _read(self, member: Member, max_bytes: int | None) -> bytes:
        if max_bytes is not None and member.num_bytes > max_bytes:
            member = Member(member.name, member.offset, max_bytes + 1)
        if is_url(self._archive.name):
            return read_range(self._archive.name, member.offset, member.num_bytes)
        try:
            with open_regular(self._archive.name) as file:
                data = read_member(file, member, source=self._archive.name)
                now = os.fstat(file.fileno())
        except OSError as error:
            raise UnreadableImageError(f"cannot read {self.location}: {error.strerror}") from error
        except ShardError as error:
            raise UnreadableImageError(str(error)) from error
        if (now.st_size, now.st_mtime_ns) != (self._archive.num_bytes, self._archive.mtime_ns):
            name = path_text(os.fsencode(self._archive.name))
            raise UnreadableImageError(changed_since_listed(name))
        return data

    def digest_line(self) -> bytes:
        """Return the archive's last name and facts, and where in it the sample's members lie."""
        parts = [os.fsencode(os.path.basename(self._archive.name))]
        parts += [b"%d" % self._archive.num_bytes, b"%d" % self.mtime_ns]
        for each in (self._member, *self._others):
            parts += [os.fsencode(each.name), b"%d" % each.offset, b"%d" % each.num_bytes]
        return b"\x00".join(parts).replace(b"\n", b"\x00\x00")


class ArchiveSource(Source):
    """The samples of one or many tars, in the order of the tars and of their members."""

    def list(self) -> Iterator[SourceItem]:
        """Yield an item for every sample that has an image."""
        self.ignored.clear()
        num_items = 0
        for name in expand_braces(self.name):
            for item in self._items(name):
                num_items += 1
                yield item
        if num_items == 0:
            raise InputError(f"no images in {self.name}: {describe_ignored(self.ignored)}")

    def is_long(self) -> bool:
        """Tell whether the tars on this machine are large."""
        names = expand_braces(self.name)
        return not is_url(self.name) and has_bytes(names, _LONG_BYTES)

    def _items(self, name: str) -> Iterator[SourceItem]:
        with open_container(name) as (file, num_bytes, mtime_ns):
            archive = Archive(_full(name), num_bytes, mtime_ns)
            seen: set[str] = set()
            key = ""
            group: dict[str, Member] = {}
            for member in iter_members(
                file, num_bytes=archive.num_bytes, source=name, skip_directories=True
            ):
                found, _ = split_member(member.name)
                if found != key:
                    yield from self._sample(archive, key, group)
                    if found in seen:
                        raise ShardError(
                            f"{name}: the key {found!r} comes again at byte {member.offset}"
                        )
                    seen.add(found)
                    key, group = found, {}
                group[member.name] = member
            yield from self._sample(archive, key, group)

    def _sample(self, archive: Archive, key: str, group: dict[str, Member]) -> Iterator[SourceItem]:
        for name, member in group.items():
            if key and has_image_extension(name, self.also):
                others = tuple(each for each in group.values() if each is not member)
                yield ArchiveItem(archive, key, member, others)
                return
        self.ignored.update(extension(name) or "without extension" for name in group)


def split_member(name: str) -> tuple[str, str]:
    """Return a member's key and field: WebDataset splits the last part at its first dot."""
    folder, slash, base = name.rpartition("/")
    stem, _, field = base.partition(".")
    return (folder + slash + stem, field) if stem else ("", field)


def expand_braces(text: str) -> Iterator[str]:
    """Yield the names that `{000..099}` stands for, in order; the text itself if it has none.

    Raises:
        InputError: a range runs backwards, or there are more than a million names.
    """
    match = _BRACES.search(text)
    if match is None:
        yield text
        return
    first, last = int(match[1]), int(match[2])
    if last < first or last - first >= MAX_EXPANDED:
        raise InputError(f"{text}: {match[0]} is no range of at most {MAX_EXPANDED} names")
    width = len(match[1]) if match[1].startswith("0") or len(match[1]) == len(match[2]) else 0
    for number in range(first, last + 1):
        yield from expand_braces(f"{text[: match.start()]}{number:0{width}d}{text[match.end() :]}")


def _full(name: str) -> str:
    """Return a URL as it is, a path from the root on: workers may be elsewhere."""
    return name if is_url(name) else os.path.abspath(name)
