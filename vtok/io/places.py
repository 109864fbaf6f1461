"""A place: a local path, or the URL of an object or a prefix, read the same way.

In: what a user names, or a place and a name under it. Out: seekable files, lengths, digests, names.
All that is refused is an `OSError`, whichever storage it is, so that readers have one thing to
catch. Only reading: what is written has its own files (`vtok.io.files`, `vtok.io.publishing`).
"""

import errno
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from vtok.io.files import open_regular
from vtok.io.remote import is_url, resolve
from vtok.io.retries import with_retries

_BLOCK_BYTES = 4 << 20
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class RemotePath:
    """A URL with the few manners of a `Path` that readers need.

    Attributes:
        url: Without a slash at its end.
    """

    url: str

    def __truediv__(self, name: str) -> "RemotePath":
        """Return the place of this name under this one."""
        return RemotePath(f"{self.url}/{name}")

    def __str__(self) -> str:
        """Return the URL."""
        return self.url

    @property
    def name(self) -> str:
        """What stands behind the last slash."""
        return self.url.rpartition("/")[2]

    @property
    def parent(self) -> "RemotePath":
        """The prefix that it is under."""
        head, slash, _ = self.url.rpartition("/")
        return self if not slash or head.endswith("/") else RemotePath(head)


Place = Path | RemotePath


def place_of(text: str | os.PathLike[str]) -> Place:
    """Return the place that a text names: a URL, or else a local path."""
    name = os.fspath(text)
    return RemotePath(name.rstrip("/")) if is_url(name) else Path(name)


def open_place(place: Place) -> BinaryIO:
    """Open a file or an object for reading, at any position.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    if isinstance(place, Path):
        return open_regular(place)
    return io.BufferedReader(_RemoteFile(place.url, num_bytes_of(place)), _BLOCK_BYTES)


def num_bytes_of(place: Place) -> int:
    """Return the length of a file or an object.

    Raises:
        OSError: there is none, it cannot be reached, or the store does not tell.
    """
    if isinstance(place, Path):
        return place.stat().st_size
    url = place.url

    def ask() -> Any:
        file_system, path = resolve(url)
        file_system.invalidate_cache()
        return file_system.info(path)

    with _as_os_errors(url):
        info = with_retries(ask)
    if info.get("type") == "directory":
        raise IsADirectoryError(errno.EISDIR, "it is a folder", url)
    if info.get("size") is None:
        raise OSError(errno.EIO, "the store does not tell its length", url)
    return int(info["size"])


def exists(place: Place) -> bool:
    """Tell whether there is a file, a folder or an object.

    Raises:
        OSError: the store cannot be reached.
    """
    if isinstance(place, Path):
        return place.exists()
    url = place.url

    def ask() -> bool:
        file_system, path = resolve(url)
        file_system.invalidate_cache()
        return bool(file_system.exists(path))

    with _as_os_errors(url):
        return with_retries(ask)


def is_folder(place: Place) -> bool:
    """Tell whether a place is a folder; a URL is taken for one unless it ends in `.tar`."""
    return place.is_dir() if isinstance(place, Path) else not place.name.endswith(".tar")


def names_in(folder: Place) -> list[str]:
    """Return the names directly in a folder, sorted; none where there is no such prefix.

    Raises:
        OSError: it cannot be listed.
    """
    if isinstance(folder, Path):
        return sorted(os.listdir(folder))
    url = folder.url

    def ask() -> list[str]:
        file_system, path = resolve(url)
        file_system.invalidate_cache()
        try:
            return [str(name) for name in file_system.ls(path, detail=False)]
        except FileNotFoundError:
            return []

    with _as_os_errors(url):
        return sorted(name.rstrip("/").rpartition("/")[2] for name in with_retries(ask))


def sha256_of(place: Place) -> str:
    """Return the SHA-256 of a file or an object, in hexadecimal, reading it in pieces.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open_place(place) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def local_copy(place: Place) -> Iterator[Path]:
    """Give a local path with the bytes of a place, for as long as the block lasts.

    For what is read more than once: a local file is itself, an object is fetched once.

    Raises:
        OSError: it cannot be read, or there is no space for it.
    """
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="vtok-") as folder:
        path = Path(folder) / (place.name or "object")
        with open_place(place) as source, path.open("xb") as target:
            shutil.copyfileobj(source, target, _CHUNK_BYTES)
        yield path


class _RemoteFile(io.RawIOBase):
    """An object of known length as a file: ranges, asked for again where one comes short."""

    def __init__(self, url: str, num_bytes: int) -> None:
        super().__init__()
        self._url = url
        self._num_bytes = num_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._num_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(0, self._num_bytes - self._position))
        if wanted == 0:
            return 0
        start = self._position

        def fetch() -> bytes:
            file_system, path = resolve(self._url)
            data: bytes = file_system.cat_file(path, start=start, end=start + wanted)
            if len(data) != wanted:
                raise OSError(errno.EIO, f"{len(data)} of {wanted} bytes came", self._url)
            return data

        with _as_os_errors(self._url):
            buffer[:wanted] = with_retries(fetch)
        self._position += wanted
        return wanted


@contextmanager
def _as_os_errors(url: str) -> Iterator[None]:
    """Turn what a storage backend raises into an OSError that names the object."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "it does not exist", url) from error
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or _one_line(error), url) from error
    except ImportError as error:
        raise OSError(errno.EIO, f"{error} (a package for it is missing)", url) from error
    except Exception as error:
        raise OSError(errno.EIO, _one_line(error), url) from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
