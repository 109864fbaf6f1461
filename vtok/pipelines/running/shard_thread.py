"""The thread that writes shards, so that neither hashing nor the disk holds up the model.

In: samples and failures, shard after shard, in order. Out: what became of them, told by the thread
that hands them in. One thread writes a shard from its first byte to its commit record, in the order
that `vtok.shards` prescribes; what may wait for it is bounded. Knows nothing of models or images.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from types import TracebackType
from typing import Generic, Self, TypeVar

from vtok.engine.buffers import Buffers
from vtok.engine.times import Span, StageTimes
from vtok.records import Failure
from vtok.shards.samples import Sample

EventT = TypeVar("EventT")

MAX_WAITING_SAMPLES = 512
_REFILLED = 0.5
"""Once full, to this share it is emptied before more is taken: waking up for each costs as much."""

MakeShard = Callable[[int, Iterable[Sample | Failure], Callable[[EventT], None]], None]


class _StopError(Exception):
    """The run is over before the shard is: what is written of it goes."""


class ShardThread(Generic[EventT]):
    """Makes one shard after another; a context manager that drops the one at hand on an error.

    Args:
        make: Makes a shard from its number and samples, and tells what becomes of them. Called in
            the thread.
        times: Filled in on the way.
        max_waiting_bytes: Of samples; while fewer wait, one more is taken.
    """

    def __init__(
        self,
        make: MakeShard[EventT],
        times: StageTimes,
        max_waiting_bytes: int = Buffers().unwritten,
    ) -> None:
        self._make = make
        self._times = times
        self._max_bytes = max_waiting_bytes
        self._changed = threading.Condition()
        # What was handed in, and its length; a number begins a shard, None ends one.
        self._waiting: deque[tuple[Sample | Failure | int | None, int]] = deque()
        self._num_waiting_bytes = 0
        self._is_full = False
        self._events: deque[EventT] = deque()
        self._error: BaseException | None = None
        self._is_stopped = False
        self._is_finished = False
        self._has_ended = False
        self._working_since = 0.0
        self._thread = threading.Thread(target=self._run, name="vtok-write", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self._join()
        self._waiting.clear()
        self._error = None  # its frames refer to samples

    def begin(self, shard: int) -> None:
        """Begin a shard."""
        self._put(shard)

    def put(self, made: Sample | Failure) -> None:
        """Hand in the next of the shard's samples; waits while too much is waiting.

        Raises:
            Exception: whatever making a shard has raised.
        """
        self._put(made)

    def end(self) -> None:
        """End the shard."""
        self._put(None)

    def heard(self) -> Iterator[EventT]:
        """Yield what has become of what was handed in, as far as it is known."""
        while self._events:
            yield self._events.popleft()

    def finish(self) -> Iterator[EventT]:
        """Wait until all shards are made, and yield what was not heard yet.

        Raises:
            Exception: whatever making a shard has raised.
        """
        with self._changed:
            self._is_finished = True
            self._changed.notify_all()
        with self._times.waiting("write"):
            self._join()
        yield from self.heard()
        if self._error is not None:
            raise self._error

    def _join(self) -> None:
        """Wait for the thread's end; may be interrupted, and called again.

        `Thread.join` may not: interrupted, it takes the thread for ended (CPython up to 3.12), and
        the process would go while the thread writes.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._has_ended)
        self._thread.join()

    def _put(self, item: Sample | Failure | int | None) -> None:
        num_bytes = _num_bytes(item)
        with self._changed:
            if self._is_full and self._error is None:
                with self._times.waiting("write"):
                    self._changed.wait_for(lambda: not self._is_full or self._error is not None)
            if self._error is not None:
                raise self._error
            self._waiting.append((item, num_bytes))
            self._num_waiting_bytes += num_bytes
            self._is_full = not self._is_below(1)
            self._changed.notify_all()

    def _is_below(self, share: float) -> bool:
        """Tell whether less than a share of what may wait does."""
        return (
            self._num_waiting_bytes < share * self._max_bytes
            and len(self._waiting) < share * MAX_WAITING_SAMPLES
        )

    # From here on: in the thread.

    def _run(self) -> None:
        try:
            while (item := self._take(is_between=True)) is not None:
                assert isinstance(item, int)
                self._make(item, self._samples(), self._events.append)
        except _StopError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that hands in
            self._error = error
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def _samples(self) -> Iterator[Sample | Failure]:
        while (item := self._take(is_between=False)) is not None:
            assert not isinstance(item, int)
            yield item

    def _take(self, *, is_between: bool) -> Sample | Failure | int | None:
        """Return the next item; None at the end of a shard, and of all where no shard is open."""
        if self._working_since:
            self._times.worked(Span("write", 0, self._working_since, monotonic()))
        with self._changed:
            self._changed.wait_for(
                lambda: self._waiting or self._is_stopped or (is_between and self._is_finished)
            )
            if self._is_stopped:
                raise _StopError
            if not self._waiting:
                return None
            item, num_bytes = self._waiting.popleft()
            self._num_waiting_bytes -= num_bytes
            if self._is_full and self._is_below(_REFILLED):
                self._is_full = False
                self._changed.notify_all()
        self._working_since = monotonic()
        return item


def _num_bytes(item: Sample | Failure | int | None) -> int:
    if not isinstance(item, Sample):
        return 0
    return (
        sum(array.nbytes for array in item.indices.values())
        + sum(array.nbytes for array in item.features.values())
        + sum(len(image.data) for image in item.images.values())
        + sum(map(len, item.sidecars.values()))
    )
