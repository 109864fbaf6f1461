"""From the INPUT of the command line to a source: by what it is, then by how its name ends."""

import os
import stat
from typing import BinaryIO

from vtok.errors import InputError
from vtok.io.remote import is_folder, is_url
from vtok.io.sources.archives import ArchiveSource, expand_braces
from vtok.io.sources.folders import FileSource, FolderSource
from vtok.io.sources.item import IMAGE_EXTENSIONS, Source, accepted_extensions, extension
from vtok.io.sources.lists import LIST_EXTENSIONS, ListSource
from vtok.io.sources.tables import TableSource
from vtok.io.sources.urls import UrlFolderSource, UrlSource

_KINDS = (
    f"an image ({accepted_extensions()}), a folder, a .tar, a .parquet, "
    "or a list (.txt .csv .jsonl)"
)


def open_source(
    text: str, *, stdin: BinaryIO | None = None, also: frozenset[str] = frozenset()
) -> Source:
    """Return the source that a text names; nothing is listed yet.

    Args:
        text: An image, a folder, a tar or `name-{000..099}.tar`, a parquet file, a `.txt`, `.csv`
            or `.jsonl` list, a URL of any of these, or `-` for a list on standard input.
        stdin: Standard input, needed for `-` alone.
        also: Extensions that are taken for images beside those that always are.

    Raises:
        InputError: there is no such thing, or it is of no kind that is taken.
    """
    source = _open(text, stdin, also)
    source.also = also
    return source


def _open(text: str, stdin: BinaryIO | None, also: frozenset[str]) -> Source:
    if text == "-":
        if stdin is None:
            raise InputError("a list on standard input was asked for, and there is none")
        return ListSource("-", stdin)
    if not text:
        raise InputError("the input is empty: name a folder, a file or a URL")
    kind = extension(text.partition("?")[0]) if is_url(text) else extension(text)
    if is_url(text):
        by_kind = _by_extension(text, kind)
        if by_kind is not None:
            return by_kind
        if kind in IMAGE_EXTENSIONS | also:
            return UrlSource(text)
        if is_folder(text):
            return UrlFolderSource(text)
        raise InputError(f"{text} is of no kind that is read: name {_KINDS}")
    return _open_local(text, kind, also)


def _open_local(text: str, kind: str, also: frozenset[str]) -> Source:
    try:
        mode = os.stat(text).st_mode
    except (OSError, ValueError) as error:
        names = expand_braces(text)
        if kind == ".tar" and (first := next(names)) != text:
            if os.path.exists(first):
                return ArchiveSource(text)
            raise InputError(f"cannot read {first} (of {text}): it does not exist") from error
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read {text}: {why}") from error
    if stat.S_ISDIR(mode):
        return FolderSource(text)
    if not stat.S_ISREG(mode):
        raise InputError(f"{text} is neither a file nor a folder: name {_KINDS}")
    by_kind = _by_extension(text, kind)
    if by_kind is not None:
        return by_kind
    if kind not in IMAGE_EXTENSIONS | also:
        raise InputError(f"{text} is of no kind that is read: name {_KINDS}")
    return FileSource(text)


def _by_extension(text: str, kind: str) -> Source | None:
    """Return the source for a container or a list; None for anything else."""
    if kind == ".tar":
        return ArchiveSource(text)
    if kind == ".parquet":
        return TableSource(text)
    if kind in LIST_EXTENSIONS:
        return ListSource(text)
    return None
