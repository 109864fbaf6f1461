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
from vtok.io.sources import Source, SourceItem, open_source
from vtok.pipelines.inputs.record import InputRecord
from vtok.shards.keys import sample_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """A list of images that no longer changes.

    Attributes:
        items: In order.
        sha256: Digest of every item's name, size and time.
        record: What is kept of the list beside a plan.
    """

    items: Sequence[SourceItem]
    sha256: str
    record: bytes

    def key(self, position: int) -> str:
        """Return the key of the sample at this position; keys of WebDataset inputs are kept."""
        return self.items[position].key or sample_key(position)

    def tasks(self, positions: Iterable[int]) -> Iterator[ImageTask]:
        """Yield what is to be prepared at these positions."""
        for index in positions:
            item = self.items[index]
            yield ImageTask(index=index, key=item.key or sample_key(index), item=item)


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
    return list_source(source_of(text, also), limit)


def source_of(text: str, also: frozenset[str]) -> Source:
    """Return the source that a text names; errors as `list_inputs`."""
    return open_source(text, stdin=sys.stdin.buffer if text == "-" else None, also=also)


def list_source(source: Source, limit: int | None) -> Inputs:
    """Return the list of a source's images, the first so many; errors as `list_inputs`."""
    record = InputRecord()
    items = []
    for item in itertools.islice(source.list(), limit):
        items.append(item)
        record.add(item)
    if not items:
        raise InputError(f"no images in {source.name}")
    sha256, packed = record.close()
    return Inputs(items=tuple(items), sha256=sha256, record=packed)
