"""A process that lists a run's inputs, while its parent loads what takes long.

In, over its socket: an `Order`. Out: the list's digest and record, then its items, pickled some at
a time, and nothing in the end; or the error that listing ends with. It ends with its parent.
Imports neither numpy nor Pillow, so that it is there soon.
"""

import itertools
import pickle
import signal
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from typing import NamedTuple

from vtok.engine.children import die_with_parent, portable
from vtok.errors import VtokError
from vtok.io.sources import SourceItem, open_source
from vtok.pipelines.inputs.record import InputRecord

ITEMS_AT_ONCE = 256


class Order(NamedTuple):
    """What is to be listed: a text that names a source, as `open_source` takes it.

    Attributes:
        text: Not `-`: standard input is the parent's.
        limit: Only the first so many; None for all.
        also: Extensions that are taken for images beside those that always are.
    """

    text: str
    limit: int | None
    also: frozenset[str]


class Listed(NamedTuple):
    """What is said of a list before its items come.

    Attributes:
        num_items: How many there are.
        sha256: Their digest.
        record: What is kept of them beside a plan.
    """

    num_items: int
    sha256: str
    record: bytes


def serve(socket_descriptor: int, lifeline_descriptor: int) -> None:
    """List what is asked for, once; a mistake in the program is for the parent to meet again.

    Args:
        socket_descriptor: One end of a socket pair; the parent has the other.
        lifeline_descriptor: The reading end of a pipe that ends with the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    die_with_parent(lifeline_descriptor)
    connection = Connection(socket_descriptor)
    order: Order = pickle.loads(connection.recv_bytes())
    try:
        listed, chunks = _list(order)
    except VtokError as error:
        connection.send_bytes(pickle.dumps(portable(error)))
        return
    connection.send_bytes(pickle.dumps(listed))
    for chunk in chunks:
        connection.send_bytes(chunk)


def _list(order: Order) -> tuple[Listed, list[bytes]]:
    source = open_source(order.text, also=order.also)
    record = InputRecord()

    def recorded() -> Iterator[SourceItem]:
        for item in itertools.islice(source.list(), order.limit):
            record.add(item)
            yield item

    chunks, num_items = pack(recorded())
    return Listed(num_items, *record.close()), chunks


def pack(items: Iterable[SourceItem]) -> tuple[list[bytes], int]:
    """Return items as they travel and are kept, `ITEMS_AT_ONCE` in each but the last; and how many.

    A tenth of a kilobyte an image: a list of millions need not lie in memory as objects.
    """
    chunks, num_items = [], 0
    rest = iter(items)
    while chunk := list(itertools.islice(rest, ITEMS_AT_ONCE)):
        chunks.append(pickle.dumps(chunk, pickle.HIGHEST_PROTOCOL))
        num_items += len(chunk)
    return chunks, num_items
