"""A run's inputs, listed while something else is done.

In: what `list_inputs` takes. Out: the same, once it is asked for. What is short is listed here and
at once, so that a mistake in the command is said before anything is loaded. What is long is listed
in a process of its own: a thread would get nowhere beside imports, which let no other thread run.
"""

import pickle
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from types import TracebackType
from typing import Any, Self, overload

from vtok.engine.children import Child, start_child
from vtok.errors import InputError, VtokError
from vtok.io.sources import SourceItem
from vtok.pipelines.inputs.items import Inputs, list_source, source_of
from vtok.pipelines.inputs.lister import ITEMS_AT_ONCE, Listed, Order

_KEPT_CHUNKS = 64


class Listing:
    """The list of a run's inputs; a context manager that leaves no process behind.

    Args:
        text: A path, a URL, or `-` for a list on standard input.
        limit: Only the first so many; None for all.
        also: Extensions that are taken for images beside those that always are.

    Raises:
        InputError: there is no such thing; or it is short, and holds no images.
        ShardError: it is a short archive, and damaged.
    """

    def __init__(
        self, text: str, limit: int | None = None, *, also: frozenset[str] = frozenset()
    ) -> None:
        self._order = Order(text, limit, also)
        self._inputs: Inputs | None = None
        self._child: Child | None = None
        source = source_of(text, also)
        if source.is_long():
            self._child = start_child("vtok.pipelines.inputs.lister", "serve", environment={})
            with suppress(OSError):  # it has died already: `_receive` will tell
                self._child.connection.send_bytes(pickle.dumps(self._order))
        else:
            self._inputs = list_source(source, limit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None

    def most(self, number: int) -> int:
        """Return a number, or the number of images if it is known and less."""
        return number if self._inputs is None else min(number, len(self._inputs.items))

    def check(self) -> None:
        """Raise what listing has ended with, if it has; do not wait for it.

        Raises:
            InputError: the input cannot be listed, or holds no images.
            ShardError: an archive is damaged.
        """
        if self._child is not None and self._child.connection.poll(0):
            self.wait()

    def wait(self) -> Inputs:
        """Return the list once it is there; errors as `check`."""
        if self._inputs is None:
            self._inputs = self._receive()
        return self._inputs

    def _receive(self) -> Inputs:
        assert self._child is not None
        connection = self._child.connection
        try:
            found: Listed | VtokError | None = pickle.loads(connection.recv_bytes())
            if isinstance(found, VtokError):
                raise found
            if found is not None:
                num_chunks = -(-found.num_items // ITEMS_AT_ONCE)
                chunks = [connection.recv_bytes() for _ in range(num_chunks)]
        except (EOFError, OSError):
            found = None
        if found is None:  # whatever was in its way is met here as well, and told
            return list_source(source_of(self._order.text, self._order.also), self._order.limit)
        if not found.num_items:
            raise InputError(f"no images in {self._order.text}")
        items = PackedItems(chunks, found.num_items)
        return Inputs(items=items, sha256=found.sha256, record=found.record)


class PackedItems(Sequence[SourceItem]):
    """Items as they have travelled, unpacked some at a time when they are asked for.

    Args:
        chunks: Of `vtok.pipelines.inputs.lister.pack`.
        num_items: In all of them.
    """

    def __init__(self, chunks: Sequence[bytes], num_items: int) -> None:
        self._chunks = chunks
        self._num_items = num_items
        self._unpacked = lru_cache(_KEPT_CHUNKS)(self._unpack)

    def __len__(self) -> int:
        return self._num_items

    @overload
    def __getitem__(self, index: int) -> SourceItem: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[SourceItem]: ...

    def __getitem__(self, index: int | slice) -> SourceItem | Sequence[SourceItem]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(self._num_items))]
        position = range(self._num_items)[index]
        return self._unpacked(position // ITEMS_AT_ONCE)[position % ITEMS_AT_ONCE]

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedItems, (self._chunks, self._num_items)

    def _unpack(self, number: int) -> list[SourceItem]:
        items: list[SourceItem] = pickle.loads(self._chunks[number])
        return items
