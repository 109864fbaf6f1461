"""What the two threads of a decode run share: outcomes on their way to the caller, in order.

In, from the supervising thread: outcomes as they come, how many there will be, or what went wrong.
Out, in the caller's thread: the outcomes in the tasks' order. Each side can wait for the other: the
caller here, the supervising thread for a descriptor to become readable. This file knows no worker.
"""

import os
import threading
from contextlib import suppress
from time import monotonic

from vtok.engine.preparation import Outcome, Prepared
from vtok.engine.times import StageTimes

_SLOWLY = 16  # images, after which a smaller size has mostly replaced a larger one


class Handover:
    """Outcomes between the thread that collects them and the one that takes them; it alone locks.

    Args:
        max_ahead: Images that may be in work or waiting for the caller.
        max_ahead_bytes: Pixels that may wait for the caller, those of images in work among them,
            which are taken to be as large as the largest of late.
        times: Told how long the caller waits.

    Attributes:
        num_taken: Outcomes that the caller has taken.
        consumer_s: The caller's own work between one outcome and the next, in all.
        is_stopped: Whether the caller wants no more.
    """

    def __init__(self, max_ahead: int, max_ahead_bytes: int, times: StageTimes) -> None:
        self.num_taken = 0
        self.consumer_s = 0.0
        self.is_stopped = False
        self._max_ahead = max_ahead
        self._max_ahead_bytes = max_ahead_bytes
        self._times = times
        self._changed = threading.Condition()
        self._done: dict[int, Outcome] = {}
        self._done_bytes = 0
        self._bytes_each = 0.0  # what an image in work is expected to come to
        self._num_tasks: int | None = None
        self._error: BaseException | None = None
        self._is_full = False  # the thread waits for the caller to take something
        self._taken_at: float | None = None
        self._wake_end, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    # In the caller's thread.

    def take(self) -> Outcome | None:
        """Wait for the next outcome and return it; None after the last.

        Raises:
            BaseException: what the supervising thread failed of.
        """
        if self._taken_at is not None:
            self.consumer_s += monotonic() - self._taken_at
        try:
            return self._await()
        finally:
            self._taken_at = monotonic()

    def _await(self) -> Outcome | None:
        with self._changed:
            if not self._is_there():
                with self._times.waiting("decode"):
                    self._changed.wait_for(self._is_there)
            if self._error is not None:
                raise self._error
            outcome = self._done.pop(self.num_taken, None)
            if outcome is None:
                return None
            self.num_taken += 1
            self._done_bytes -= _num_bytes(outcome)
            is_awaited, self._is_full = self._is_full, False
        if is_awaited:
            self._wake_up()
        return outcome

    def _is_there(self) -> bool:
        """Tell whether there is something to say to the caller."""
        return (
            self.num_taken in self._done
            or self._error is not None
            or self.num_taken == self._num_tasks
        )

    def stop(self) -> bool:
        """Have the supervising thread end; return False if it was told so before."""
        with self._changed:
            if self.is_stopped:
                return False
            self.is_stopped = True
        self._wake_up()
        return True

    def close(self) -> None:
        """Let go of everything, once the supervising thread has ended."""
        os.close(self._wake_end)
        os.close(self._wake)
        self._done.clear()  # an exception's frames refer to the run, and it to pixels
        self._error = None

    def _wake_up(self) -> None:
        with suppress(BlockingIOError):  # a full pipe wakes it as well
            os.write(self._wake, b"\0")

    # In the supervising thread.

    def fileno(self) -> int:
        """The descriptor that becomes readable when there is room again, or no more is wanted."""
        return self._wake_end

    def heed(self) -> None:
        """Have the descriptor wait for the next time."""
        os.read(self._wake_end, 1 << 16)

    def has_room(self, num_begun: int) -> bool:
        """Tell whether one more may be begun after so many; if not, the descriptor says when."""
        with self._changed:
            num_ahead = num_begun - self.num_taken
            in_work = (num_ahead - len(self._done)) * self._bytes_each
            self._is_full = (
                num_ahead >= self._max_ahead or self._done_bytes + in_work >= self._max_ahead_bytes
            )
            return not self._is_full

    def put(self, ticket: int, outcome: Outcome) -> None:
        """Leave the outcome of the task at this position; `announce` has the caller know of it."""
        num_bytes = _num_bytes(outcome)
        with self._changed:
            self._done[ticket] = outcome
            self._done_bytes += num_bytes
            if num_bytes:  # at once where images become larger, slowly where they become smaller
                change = (num_bytes - self._bytes_each) / _SLOWLY
                self._bytes_each = max(num_bytes, self._bytes_each + change)

    def announce(self) -> None:
        """Wake the caller up once for all that was left here."""
        with self._changed:
            if self._is_there():
                self._changed.notify()

    def end_after(self, num_tasks: int) -> None:
        """Say how many outcomes there will be in all."""
        with self._changed:
            self._num_tasks = num_tasks
            self._changed.notify()

    def fail(self, error: BaseException) -> None:
        """Have this raised in the caller's thread."""
        with self._changed:
            self._error = error
            self._changed.notify()

    def is_over(self) -> bool:
        """Tell whether nothing is left to be done: every outcome is here, or none is wanted."""
        with self._changed:
            return self.is_stopped or self.num_taken + len(self._done) == self._num_tasks


def _num_bytes(outcome: Outcome) -> int:
    if isinstance(outcome, Prepared):
        return sum(view.nbytes for view in outcome.views)
    return 0
