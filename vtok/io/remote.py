"""Remote storage through fsspec: whole objects in and out, verified by their length.

In: URLs such as `s3://bucket/key`, `gs://`, `hf://`, `https://`, `memory://`. Out: bytes, seekable
files, listings; our errors instead of each backend's own. Local paths never come here. This file
does not know what the objects hold.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from vtok.errors import InputError, OutputError, UnreadableImageError, VtokError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class RemoteObject(NamedTuple):
    """One object of a listing.

    Attributes:
        url: Its full address.
        num_bytes: Its length; -1 where the store does not tell.
    """

    url: str
    num_bytes: int


def is_url(text: str) -> bool:
    """Tell whether a text names remote storage: a scheme of two letters or more, and `://`."""
    return bool(_URL.match(text))


@contextmanager
def _errors(action: str, url: str, kind: type[VtokError]) -> Iterator[None]:
    """Turn whatever a storage backend raises into one line of the given kind."""
    try:
        yield
    except VtokError:
        raise
    except ImportError as error:
        raise kind(f"cannot {action} {url}: {error} (a package for it is missing)") from error
    except Exception as error:
        text = " ".join(str(error).split())[:300] or type(error).__name__
        if isinstance(error, FileNotFoundError):
            text = "it does not exist"
        raise kind(f"cannot {action} {url}: {text}") from error


def resolve(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it."""
    from fsspec.core import url_to_fs

    file_system, path = url_to_fs(url)
    return file_system, path


def read_url(url: str, *, max_bytes: int | None = None) -> bytes:
    """Return the content of an object; with `max_bytes`, at most one byte more than that.

    Raises:
        UnreadableImageError: it cannot be fetched.
    """
    with _errors("read", url, UnreadableImageError):
        file_system, path = resolve(url)
        with file_system.open(path, "rb") as file:
            data: bytes = file.read(-1 if max_bytes is None else max_bytes + 1)
            return data


def read_range(url: str, offset: int, num_bytes: int) -> bytes:
    """Return a range of an object's bytes.

    Raises:
        UnreadableImageError: it cannot be fetched, or is shorter.
    """
    with _errors("read", url, UnreadableImageError):
        file_system, path = resolve(url)
        data: bytes = file_system.cat_file(path, start=offset, end=offset + num_bytes)
    if len(data) != num_bytes:
        raise UnreadableImageError(f"cannot read {url}: {len(data)} of {num_bytes} bytes came")
    return data


@contextmanager
def open_url(url: str) -> Iterator[tuple[BinaryIO, int]]:
    """Open an object for random access; yield the file and its length in bytes.

    Raises:
        InputError: it cannot be opened, or the store does not tell its length.
    """
    with _errors("open", url, InputError):
        file_system, path = resolve(url)
        num_bytes = file_system.info(path).get("size")
        if num_bytes is None:
            raise InputError(f"cannot open {url}: the server does not tell its length")
        file = file_system.open(path, "rb")
    with file:
        yield file, int(num_bytes)


def is_folder(url: str) -> bool:
    """Tell whether a URL is a folder (a prefix under which there are objects).

    Raises:
        InputError: there is nothing, or it cannot be reached.
    """
    with _errors("open", url, InputError):
        file_system, path = resolve(url)
        if file_system.isdir(path):
            return True
        if file_system.exists(path):
            return False
    raise InputError(f"cannot open {url}: it does not exist")


def list_folder(url: str) -> list[RemoteObject]:
    """Return every object under a URL, sorted by the bytes of its address.

    Raises:
        InputError: it cannot be listed.
    """
    with _errors("list", url, InputError):
        file_system, path = resolve(url)
        found = file_system.find(path, detail=True)
        objects = [
            RemoteObject(file_system.unstrip_protocol(name), int(info.get("size") or -1))
            for name, info in found.items()
            if info.get("type") == "file"
        ]
    return sorted(objects, key=lambda each: os.fsencode(each.url))


def upload(path: str | os.PathLike[str], url: str) -> None:
    """Copy a local file to a URL and check the length that arrived.

    Raises:
        OutputError: it could not be written whole.
    """
    with _errors("write", url, OutputError):
        file_system, target = resolve(url)
        file_system.put_file(os.fspath(path), target)
        file_system.invalidate_cache()
        arrived = file_system.info(target).get("size")
        expected = Path(path).stat().st_size
        if arrived is not None and arrived != expected:
            raise OutputError(f"cannot write {url}: {arrived} of {expected} bytes arrived")
