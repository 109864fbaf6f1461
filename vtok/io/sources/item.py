"""The two promises of a source: an item that can be read later, elsewhere; a stable list of them.

This file knows nothing of where bytes lie: each kind of source has its own file beside this one.
"""

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from vtok.errors import UnreadableImageError

IMAGE_EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif",
     ".tiff", ".avif", ".avifs"}
)  # fmt: skip
SIDECAR_EXTENSIONS = ("txt", "caption", "json")
MAX_SIDECAR_BYTES = 16 << 20
UNKNOWN = -1


class SourceItem(ABC):
    """One image that can be read: small, picklable, without its pixels.

    Attributes:
        size_bytes: Length of the encoded image; -1 where it is not known before reading.
        mtime_ns: When the file was last changed, in nanoseconds; 0 where that is not known.
    """

    __slots__ = ()

    size_bytes: int
    mtime_ns: int

    @property
    @abstractmethod
    def source(self) -> str:
        """Where it came from, as one line of text: relative to the input folder, or a URL."""

    @property
    @abstractmethod
    def location(self) -> str:
        """Where it is, as one line for messages: an absolute path or a URL, and what is inside."""

    @property
    def key(self) -> str | None:
        """The key that the input gave it (a WebDataset's), or None."""
        return None

    @property
    def metadata(self) -> dict[str, Any]:
        """JSON values that came with it: the other columns of a list or table."""
        return {}

    @abstractmethod
    def read(self, *, max_bytes: int | None = None) -> bytes:
        """Return the encoded image.

        Args:
            max_bytes: Stop after one byte more than this, so that a caller can refuse it unread.

        Raises:
            UnreadableImageError: the bytes cannot be had any more.
        """

    def read_sidecars(self) -> dict[str, bytes]:
        """Return what lies beside the image under the same name, by extension without its dot.

        Raises:
            UnreadableImageError: one of them cannot be read or is too long.
        """
        return {}

    @abstractmethod
    def digest_line(self) -> bytes:
        """Return what identifies this input in a plan's digest, without a newline in it."""


class Source(ABC):
    """A list of images in an order that does not change while the input does not.

    Attributes:
        name: What the user typed.
        ignored: Files passed over, counted by extension; complete once `list` has ended.
        also: Extensions that are taken for images beside `IMAGE_EXTENSIONS`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.ignored: Counter[str] = Counter()
        self.also: frozenset[str] = frozenset()

    @abstractmethod
    def list(self) -> Iterator[SourceItem]:
        """Yield every item, in order; nothing is decoded, and only archives' headers are read.

        Raises:
            InputError: the input cannot be listed, or holds no images.
            ShardError: an archive is damaged.
        """

    def is_long(self) -> bool:
        """Tell, by a look at it, whether listing it takes longer than starting a process does.

        False also for what only this process can list, or would wait for all the same.
        """
        return False


def has_image_extension(name: str, also: frozenset[str] = frozenset()) -> bool:
    """Tell whether a file's name ends as images' names do, or as these do, in any case."""
    ending = extension(name)
    return ending in IMAGE_EXTENSIONS or ending in also


def extension(name: str) -> str:
    """Return the last extension of a name in lower case, with its dot; empty if it has none."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > name.rfind("/") else ""


def has_bytes(names: Iterable[str | bytes], num_bytes: int) -> bool:
    """Tell whether local files have more bytes together; those that are not there have none."""
    total = 0
    for name in names:
        with suppress(OSError, ValueError):
            total += os.stat(name).st_size
        if total > num_bytes:
            return True
    return False


def refuse_long(num_bytes: int, name: str) -> None:
    """Raise if a sidecar is longer than any caption or record."""
    if num_bytes > MAX_SIDECAR_BYTES:
        raise UnreadableImageError(
            f"{name} has {num_bytes} bytes, too many to go with an image ({MAX_SIDECAR_BYTES})"
        )


def changed_since_listed(name: str) -> str:
    """Return what is said of a file that is not the one any more that the plan speaks of."""
    return f"{name} has changed since it was listed"


def describe_ignored(ignored: Counter[str]) -> str:
    """Return what was passed over, most frequent first: `3 .txt, 1 .mp4`."""
    ranked = sorted(ignored.items(), key=lambda pair: (-pair[1], pair[0]))
    parts = [f"{count} {kind}" for kind, count in ranked[:6]]
    if len(ignored) > len(parts):
        parts.append("...")
    return ", ".join(parts) or "nothing at all"


def accepted_extensions() -> str:
    """Return the extensions that are taken for images, for messages."""
    return " ".join(sorted(IMAGE_EXTENSIONS))
