"""What a run is to read: the list, its digest, and a key for every item.

In: the INPUT of the command line. Out: items in an order that only the input decides. Knows
nothing of what is done with them.
"""

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from vtok.engine.preparation import ImageTask
from vtok.errors import InputError
from vtok.io.sources import SourceItem, open_source
from vtok.pipelines.input_record import inputs_digest
from vtok.shards.keys import sample_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """A list of images that no longer changes.

    Attributes:
        items: In order.
        sha256: Digest of every item's name, size and time.
    """

    items: Sequence[SourceItem]
    sha256: str

    def key(self, position: int) -> str:
        """Return the key of the sample at this position; keys of WebDataset inputs are kept."""
        return self.items[position].key or sample_key(position)

    def tasks(self, positions: Iterable[int]) -> Iterator[ImageTask]:
        """Yield what is to be prepared at these positions."""
        for index in positions:
            yield ImageTask(index=index, key=self.key(index), item=self.items[index])


def list_inputs(
    text: str, limit: int | None = None, *, also: frozenset[str] = frozenset()
) -> Inputs:
    """Return the list of the images that a text names.

    Args:
        text: A path, a URL, or `-` for a list on standard input.
        limit: Only the first so many; None for all.
        also: Extensions that are taken for images beside those that always are.

    Raises:
        InputError: there is no such thing, or it holds no images.
        ShardError: it is a damaged archive.
    """
    source = open_source(text, stdin=sys.stdin.buffer if text == "-" else None, also=also)
    items = tuple(itertools.islice(source.list(), limit))
    if not items:
        raise InputError(f"no images in {text}")
    return Inputs(items=items, sha256=inputs_digest(items))
