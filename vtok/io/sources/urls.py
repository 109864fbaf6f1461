"""Images behind URLs: single ones, and every image under a prefix."""

from collections.abc import Iterator, Mapping
from typing import Any

from vtok.errors import InputError
from vtok.io.remote import list_folder, read_url
from vtok.io.sources.item import (
    UNKNOWN,
    Source,
    SourceItem,
    accepted_extensions,
    describe_ignored,
    extension,
    has_image_extension,
)


class UrlItem(SourceItem):
    """An image behind a URL."""

    __slots__ = ("_metadata", "_url", "mtime_ns", "size_bytes")

    def __init__(
        self, url: str, size_bytes: int = UNKNOWN, metadata: Mapping[str, Any] | None = None
    ) -> None:
        self._url = url
        self._metadata = dict(metadata) if metadata else None
        self.size_bytes = size_bytes
        self.mtime_ns = 0

    @property
    def source(self) -> str:
        """The URL."""
        return self._url

    @property
    def location(self) -> str:
        """The URL."""
        return self._url

    @property
    def metadata(self) -> dict[str, Any]:
        """The other columns of the list it stood in."""
        return self._metadata or {}

    def read(self, *, max_bytes: int | None = None) -> bytes:
        """Fetch the encoded image."""
        return read_url(self._url, max_bytes=max_bytes)

    def digest_line(self) -> bytes:
        """Return the URL and the length that the store gave."""
        return b"%s\x00%d" % (self._url.encode("utf-8", "surrogateescape"), self.size_bytes)


class UrlSource(Source):
    """One image behind a URL."""

    def list(self) -> Iterator[SourceItem]:
        """Yield it."""
        yield UrlItem(self.name)


class UrlFolderSource(Source):
    """Every image under a URL."""

    def list(self) -> Iterator[SourceItem]:
        """Yield them, sorted by the bytes of their addresses."""
        self.ignored.clear()
        num_items = 0
        for each in list_folder(self.name):
            if has_image_extension(each.url, self.also):
                num_items += 1
                yield UrlItem(each.url, each.num_bytes)
            else:
                self.ignored[extension(each.url) or "without extension"] += 1
        if num_items == 0:
            raise InputError(
                f"no images in {self.name}: it holds {describe_ignored(self.ignored)}; "
                f"images end in {accepted_extensions()}"
            )
