"""What a command was pointed at: images in folders, lists, archives and tables, listed cheaply.

`open_source` turns the INPUT of the command line into a `Source`; its items know where their bytes
are, read them when asked, and travel to other processes. Nothing here decodes an image.
"""

from vtok.io.sources.item import IMAGE_EXTENSIONS, Source, SourceItem
from vtok.io.sources.opening import open_source

__all__ = ["IMAGE_EXTENSIONS", "Source", "SourceItem", "open_source"]
