"""Images in local folders, and single files: found by `os.scandir`, in the order of raw paths.

The walk holds one folder's names per level, whatever the number of files. Links to folders are not
followed, so nothing loops; FIFOs, devices and sockets are counted and never opened.
"""

import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from vtok.errors import InputError, UnreadableImageError
from vtok.io.files import open_regular
from vtok.io.paths import path_text
from vtok.io.sources.item import (
    SIDECAR_EXTENSIONS,
    UNKNOWN,
    Source,
    SourceItem,
    accepted_extensions,
    changed_since_listed,
    describe_ignored,
    extension,
    has_image_extension,
    refuse_long,
)

NameList = list[bytes]  # inside a Source, `list` is its method

_SPECIAL = "special files and linked folders"
_BARE = "without extension"
_LONG_IMAGES = 4_000
_LONG_OTHERS = 200_000


class Sidecar(NamedTuple):
    """A file that goes with an image."""

    kind: str
    name: bytes
    size_bytes: int
    mtime_ns: int


class FileItem(SourceItem):
    """An image in a local file."""

    __slots__ = ("_path", "_root", "_sidecars", "mtime_ns", "size_bytes")

    def __init__(
        self,
        root: bytes,
        path: bytes,
        facts: os.stat_result | None,
        sidecars: tuple[Sidecar, ...] = (),
    ) -> None:
        self._root = root
        self._path = path
        self._sidecars = sidecars
        self.size_bytes = UNKNOWN if facts is None else facts.st_size
        self.mtime_ns = 0 if facts is None else facts.st_mtime_ns

    @property
    def source(self) -> str:
        """The path under the input folder."""
        return path_text(self._path)

    @property
    def location(self) -> str:
        """The whole path."""
        return path_text(os.path.join(self._root, self._path))

    def read(self, *, max_bytes: int | None = None) -> bytes:
        """Return the encoded image."""
        path = os.path.join(self._root, self._path)
        return read_file(path, self.size_bytes, self.mtime_ns, max_bytes=max_bytes)

    def read_sidecars(self) -> dict[str, bytes]:
        """Return the files of the same stem."""
        folder = os.path.join(self._root, os.path.dirname(self._path))
        found = {}
        for sidecar in self._sidecars:
            refuse_long(sidecar.size_bytes, path_text(sidecar.name))
            path = os.path.join(folder, sidecar.name)
            found[sidecar.kind] = read_file(path, sidecar.size_bytes, sidecar.mtime_ns)
        return found

    def digest_line(self) -> bytes:
        """Return raw path, size and time of the image, then of its sidecars."""
        parts = [self._path, b"%d" % self.size_bytes, b"%d" % self.mtime_ns]
        for each in self._sidecars:
            parts += [each.name, b"%d" % each.size_bytes, b"%d" % each.mtime_ns]
        return b"\x00".join(parts).replace(b"\n", b"\x00\x00")


def read_file(
    path: bytes, size_bytes: int, mtime_ns: int, *, max_bytes: int | None = None
) -> bytes:
    """Return the bytes of a regular file.

    Args:
        path: Of the file.
        size_bytes: Its length when it was listed; `UNKNOWN` if it could not be looked at.
        mtime_ns: When it had been changed last then.
        max_bytes: Stop after one byte more than this.

    Raises:
        UnreadableImageError: it cannot be opened or read, or has changed since.
    """
    try:
        with open_regular(path) as file:
            # Asked for as much as it may have at most, a file object makes room for all of that.
            told = os.fstat(file.fileno()).st_size + 1
            most = sys.maxsize if max_bytes is None else max_bytes + 1
            data = file.read(min(told, most))
            if len(data) == told < most:  # it has grown, or did not tell
                data += file.read(-1 if max_bytes is None else most - told)
            now = os.fstat(file.fileno())
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UnreadableImageError(f"cannot read {path_text(path)}: {why}") from error
    if size_bytes != UNKNOWN and (now.st_size, now.st_mtime_ns) != (size_bytes, mtime_ns):
        raise UnreadableImageError(changed_since_listed(path_text(path)))
    return data


class FileSource(Source):
    """One image, named by the user: taken whatever its extension."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._path = os.path.abspath(os.fsencode(name))

    def list(self) -> Iterator[SourceItem]:
        """Yield the file."""
        root, path = os.path.split(self._path)
        try:
            facts = os.stat(self._path)
        except OSError as error:
            raise InputError(f"cannot read {self.name}: {error.strerror}") from error
        yield FileItem(root, path, facts)


class FolderSource(Source):
    """Every image in a folder and the folders below it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._root = os.path.abspath(os.fsencode(name))

    def list(self) -> Iterator[SourceItem]:
        """Yield every file with an image's extension, in the order of raw paths."""
        self.ignored.clear()
        num_items = 0
        for item in self._walk(b""):
            num_items += 1
            yield item
        if num_items == 0:
            raise InputError(
                f"no images in {self.name}: it holds {describe_ignored(self.ignored)}; "
                f"images end in {accepted_extensions()}"
            )

    def is_long(self) -> bool:
        """Tell whether the folders hold thousands of images, or many more of other files.

        What holds none is not long, so that it is said at once.
        """
        folders, num_images, num_others = [self._root], 0, 0
        while folders:
            try:
                with os.scandir(folders.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                        elif has_image_extension(os.fsdecode(entry.name), self.also):
                            num_images += 1
                        else:
                            num_others += 1
                        if num_images > _LONG_IMAGES or num_others > _LONG_OTHERS:
                            return True
            except OSError:
                continue  # said when it is listed
        return False

    def _walk(self, folder: bytes) -> Iterator[SourceItem]:
        names, sidecars = self._scan(folder)
        whole = os.path.join(self._root, folder)  # ends in a slash
        used: set[bytes] = set()
        found: tuple[Sidecar, ...] = ()
        for name in names:
            path = folder + name
            if name.endswith(b"/"):
                yield from self._walk(path)
                continue
            facts = _facts(whole + name)
            if facts is not None and not stat.S_ISREG(facts.st_mode):
                self.ignored[_SPECIAL] += 1
                continue
            if sidecars:
                stem = os.path.splitext(name)[0]
                used.add(stem)
                found = tuple(_sidecar(whole, each) for each in sidecars.get(stem, ()))
            yield FileItem(self._root, path, facts, found)
        for stem, unused in sidecars.items():
            if stem not in used:
                self.ignored.update(extension(path_text(each)) for each in unused)

    def _scan(self, folder: bytes) -> tuple[Sequence[bytes], Mapping[bytes, tuple[bytes, ...]]]:
        """Return a folder's images and folders, and its captions and records by stem.

        Folders end in a slash: in that order a walk meets whole paths sorted by their bytes.
        """
        names: NameList = []
        sidecars: dict[bytes, tuple[bytes, ...]] = {}
        path = os.path.join(self._root, folder)
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    text = os.fsdecode(entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        names.append(entry.name + b"/")
                    elif _is_special(entry):
                        self.ignored[_SPECIAL] += 1
                    elif has_image_extension(text, self.also):
                        names.append(entry.name)
                    elif extension(text)[1:] in SIDECAR_EXTENSIONS:
                        stem = os.path.splitext(entry.name)[0]
                        sidecars[stem] = (*sidecars.get(stem, ()), entry.name)
                    else:
                        self.ignored[path_text(os.fsencode(extension(text))) or _BARE] += 1
        except OSError as error:
            raise InputError(f"cannot list {path_text(path)}: {error.strerror}") from error
        names.sort()
        return names, {stem: tuple(sorted(found)) for stem, found in sidecars.items()}


def _sidecar(folder: bytes, name: bytes) -> Sidecar:
    facts = _facts(folder + name)
    kind = extension(os.fsdecode(name))[1:]
    if facts is None:
        return Sidecar(kind, name, UNKNOWN, 0)
    return Sidecar(kind, name, facts.st_size, facts.st_mtime_ns)


def _is_special(entry: "os.DirEntry[bytes]") -> bool:
    """Tell whether an entry is a FIFO, a device, a socket or a link to a folder.

    A link that leads nowhere, or round in a circle, is no folder: it stands for a file that cannot
    be read, and fails alone.
    """
    if not entry.is_symlink():
        return not entry.is_file()
    try:
        return entry.is_dir()
    except OSError:
        return False


def _facts(path: bytes) -> os.stat_result | None:
    """Return size and time of what a path leads to; None if it leads nowhere."""
    try:
        return os.stat(path)
    except OSError:
        return None
