"""What a command was pointed at: images in folders, lists, archives and tables, listed cheaply.

`open_source` turns the INPUT of the command line into a `Source`; its items know where their bytes
are, read them when asked, and travel to other processes. Nothing here decodes an image.
"""

from typing import TYPE_CHECKING, Any

from vtok.io.sources.item import IMAGE_EXTENSIONS, Source, SourceItem

if TYPE_CHECKING:
    from vtok.io.sources.opening import open_source

__all__ = ["IMAGE_EXTENSIONS", "Source", "SourceItem", "open_source"]


def __getattr__(name: str) -> Any:
    """Load `open_source` on first use: who is sent an item needs no other kind than the item's."""
    if name != "open_source":
        raise AttributeError(f"module 'vtok.io.sources' has no attribute {name!r}")
    from vtok.io.sources.opening import open_source

    globals()[name] = open_source
    return open_source
