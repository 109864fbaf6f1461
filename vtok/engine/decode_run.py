"""One run of a decode pool: tasks handed out, replies collected, the dead replaced, in a thread.

In: tasks and workers. Out: outcomes in the tasks' order. A worker that takes too long over an image
is killed, one that dies is replaced; what it had is tried once more, alone. Where the number of
workers is not given, more are started when images are taken faster than they are prepared. This
file knows nothing of what a preparation does.
"""

import math
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Protocol

from vtok.engine.demand import queue_depth, workers_needed
from vtok.engine.preparation import ImageTask, Outcome, Prepared
from vtok.engine.process import Assignment, WorkerProcess, encode_task
from vtok.engine.times import Span, StageTimes
from vtok.engine.worker import Boot
from vtok.errors import DecoderCrashError, DecodeTimeoutError

GATHERED_S = 0.005  # what came meanwhile is heard together: waking up costs as much as an image
MAX_ATTEMPTS = 2
MAX_FALSE_STARTS = 3  # in one run; a worker that dies while it loads has no image to blame
START_TIMEOUT_S = 120.0  # for a worker to load; a second is usual
JUDGED_EVERY_S = 1.0
LOOKS_EVERY_S = 1.0  # at the clock, while an image is in work
STOPPED_S = 1.0  # so late only comes who was stopped, or has no core: the workers had none either


class Pool(Protocol):
    """What a run needs of its pool: the limits on it, and more workers."""

    max_ahead: int
    max_ahead_bytes: int
    most: int
    timeout_s: float
    times: StageTimes

    def grow(self, num_workers: int) -> list[WorkerProcess]:
        """Start workers until there are so many; return those that are new."""
        ...


class DecodeRun:
    """One pass over some tasks: the state that the supervising thread and the caller share."""

    def __init__(
        self,
        pool: Pool,
        workers: list[WorkerProcess],
        boot: Boot,
        tasks: Iterable[ImageTask],
    ) -> None:
        self._pool = pool
        self._workers = workers
        self._boot = boot
        self._tasks = iter(tasks)
        self._is_exhausted = False
        self._encoded: tuple[Assignment, bytes] | None = None  # next to be handed out
        self._again: deque[Assignment] = deque()  # were in the hands of workers that are gone
        self._num_taken = 0
        self._num_false_starts = 0
        # Shared with the caller, under the lock.
        self._changed = threading.Condition()
        self._done: dict[int, Outcome] = {}
        self._done_bytes = 0
        self._num_yielded = 0
        self._num_tasks: int | None = None
        self._error: BaseException | None = None
        self._is_stopped = False
        self._is_full = False  # the thread waits for the caller to take something
        self._consumer_s = 0.0  # the caller's own work between one outcome and the next
        self._taken_at: float | None = None
        self._judged_at = monotonic()
        self._judged = (0, 0.0, 0, 0.0)  # counts and seconds at that time
        self._num_prepared = 0
        self._decode_s = 0.0
        self._selector = selectors.DefaultSelector()
        self._wake_end, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._selector.register(self._wake_end, selectors.EVENT_READ, None)
        for worker in workers:
            self._selector.register(worker, selectors.EVENT_READ, worker)
        self._thread = threading.Thread(target=self._supervise, name="vtok-decode", daemon=True)
        self._thread.start()

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcomes in the order of the tasks."""
        while (outcome := self._next()) is not None:
            yield outcome

    def _next(self) -> Outcome | None:
        if self._taken_at is not None:
            self._consumer_s += monotonic() - self._taken_at
        try:
            return self._await()
        finally:
            self._taken_at = monotonic()

    def _await(self) -> Outcome | None:
        with self._changed:
            if not self._is_there():
                with self._pool.times.waiting("decode"):
                    self._changed.wait_for(self._is_there)
            if self._error is not None:
                raise self._error
            outcome = self._done.pop(self._num_yielded, None)
            if outcome is None:
                return None
            self._num_yielded += 1
            self._done_bytes -= _num_bytes(outcome)
            is_awaited, self._is_full = self._is_full, False
        if is_awaited:
            self._wake_up()
        return outcome

    def _is_there(self) -> bool:
        """Tell whether there is something to say to the caller."""
        return (
            self._num_yielded in self._done
            or self._error is not None
            or self._num_yielded == self._num_tasks
        )

    def stop(self) -> None:
        """End the run, wherever it is; workers that are at work for it are ended too."""
        with self._changed:
            if self._is_stopped:
                return
            self._is_stopped = True
        self._wake_up()
        self._thread.join()
        self._selector.close()
        os.close(self._wake_end)
        os.close(self._wake)
        self._done.clear()  # an exception's frames refer to this run, and it to pixels
        self._error = None
        for worker in [each for each in self._workers if each.assignments]:
            self._workers.remove(worker)
            worker.kill()

    def _wake_up(self) -> None:
        with suppress(BlockingIOError):  # a full pipe wakes it as well
            os.write(self._wake, b"\0")

    # From here on: in the supervising thread.

    def _supervise(self) -> None:
        try:
            while True:
                self._hand_out()
                if self._is_over():  # asked when nothing is left to hand out, or none would wake us
                    return
                self._wait()
                self._end_the_late()
                self._announce()
                self._judge()
        except BaseException as error:  # noqa: BLE001 - raised again by `_next`, in the caller
            with self._changed:
                self._error = error
                self._changed.notify()

    def _is_over(self) -> bool:
        with self._changed:
            if self._is_exhausted and self._num_tasks is None:
                self._num_tasks = self._num_taken
                self._changed.notify()
            return self._is_stopped or (
                self._num_tasks is not None
                and self._num_yielded + len(self._done) == self._num_tasks
            )

    def _hand_out(self) -> None:
        """Give every worker something to do, the earliest tasks first."""
        mean_s = self._decode_s / self._num_prepared if self._num_prepared else 0.0
        for depth in range(1, queue_depth(mean_s) + 1):
            for worker in self._workers:
                self._top_up(worker, depth)
        for worker in self._workers:
            with suppress(
                OSError
            ):  # it is gone: its end is noticed, and its tasks kept, by `_wait`
                worker.send()

    def _top_up(self, worker: WorkerProcess, depth: int) -> None:
        while worker.is_ready and len(worker.assignments) < depth:
            chosen = self._choose(worker)
            if chosen is None:
                return
            assignment, encoded = chosen
            if not worker.can_take(len(encoded), depth=depth):
                return
            if self._again:
                self._again.popleft()
            else:
                self._encoded = None
            worker.assign(assignment, encoded)

    def _choose(self, worker: WorkerProcess) -> tuple[Assignment, bytes] | None:
        """Return what this worker should do next, without taking it from its queue."""
        if any(each.num_crashes for each in worker.assignments):
            return None  # a suspect is alone with its worker, so that no other is suspected
        if self._again:
            suspect = self._again[0]
            if suspect.num_crashes and worker.assignments:
                return None
            return suspect, encode_task(suspect.task)
        if self._encoded is None and self._has_room():
            try:
                task = next(self._tasks)
            except StopIteration:
                self._is_exhausted = True
                return None
            self._encoded = Assignment(self._num_taken, task), encode_task(task)
            self._num_taken += 1
        return self._encoded

    def _has_room(self) -> bool:
        if self._is_exhausted:
            return False
        with self._changed:
            self._is_full = (
                self._num_taken - self._num_yielded >= self._pool.max_ahead
                or self._done_bytes >= self._pool.max_ahead_bytes
            )
            return not self._is_full

    def _wait(self) -> None:
        """Sleep until a worker replies or dies, the caller takes an outcome, or time is up."""
        due = [self._due(worker) for worker in self._workers]
        began = monotonic()
        remaining = max(0.0, min(due) - began)
        asked = min(remaining, LOOKS_EVERY_S)
        events = self._selector.select(None if remaining == math.inf else asked)
        self._forgive(monotonic() - began - asked)
        if events and self._num_prepared and not self._is_stopped:
            time.sleep(GATHERED_S)
        for key, _ in events:
            worker = key.data
            if worker is None:
                os.read(self._wake_end, 1 << 16)
                continue
            while self._listen(worker) and worker.assignments and worker.has_reply():
                pass

    def _forgive(self, late_s: float) -> None:
        """Take the time off in which everything stood still: a job that was suspended goes on."""
        if late_s > STOPPED_S:
            for worker in self._workers:
                worker.working_since += late_s

    def _due(self, worker: WorkerProcess) -> float:
        """Return when a worker must have said something, as `time.monotonic` counts."""
        if not worker.is_ready:
            return worker.working_since + START_TIMEOUT_S
        if worker.assignments:
            return worker.working_since + self._pool.timeout_s
        return math.inf

    def _judge(self) -> None:
        """Start more workers if those that there are prepare less than the caller takes."""
        now = monotonic()
        if len(self._workers) >= self._pool.most or now < self._judged_at + JUDGED_EVERY_S:
            return
        counts = (self._num_prepared, self._decode_s, self._num_yielded, self._consumer_s)
        num_prepared, decode_s, num_taken, consumer_s = (
            new - old for new, old in zip(counts, self._judged, strict=True)
        )
        if not num_prepared or not num_taken:
            return
        self._judged_at, self._judged = now, counts
        needed = workers_needed(decode_s / num_prepared, consumer_s / num_taken, self._pool.most)
        # At most twice as many at once: the next judgement has better figures.
        for worker in self._pool.grow(min(needed, 2 * len(self._workers))):
            self._selector.register(worker, selectors.EVENT_READ, worker)

    def _listen(self, worker: WorkerProcess) -> bool:
        """Take note of a worker's reply; return whether the worker lives on."""
        began = worker.working_since
        try:
            finished = worker.receive()
        except EOFError:
            self._replace_dead(worker)
            return False
        if finished is not None:
            lane = self._workers.index(worker)
            self._pool.times.worked(Span("decode", lane, began, worker.working_since))
            self._num_prepared += 1
            self._decode_s += worker.working_since - began
            self._deliver(*finished)
        return True

    def _deliver(self, assignment: Assignment, outcome: Outcome) -> None:
        with self._changed:
            self._done[assignment.ticket] = outcome
            self._done_bytes += _num_bytes(outcome)

    def _announce(self) -> None:
        """Wake the caller up once for all that was delivered."""
        with self._changed:
            if self._is_there():
                self._changed.notify()

    def _replace_dead(self, worker: WorkerProcess) -> None:
        """Put a new worker in the place of one that died, and find out about its image."""
        complaint = "" if worker.is_ready else worker.complaint()
        self._selector.unregister(worker)
        how = worker.bury()
        if not worker.is_ready:
            self._count_false_start(worker, how, complaint)
        self._replace(worker)
        if not worker.assignments:
            return
        first, *others = worker.assignments
        self._again.extendleft(reversed(others))
        if first.num_crashes + 1 < MAX_ATTEMPTS:
            self._again.appendleft(first._replace(num_crashes=first.num_crashes + 1))
        else:
            message = f"the decoder's process died of it twice ({how})"
            self._deliver(first, first.task.failure("decode", DecoderCrashError.reason, message))

    def _count_false_start(self, worker: WorkerProcess, how: str, complaint: str) -> None:
        self._num_false_starts += 1
        if self._num_false_starts == MAX_FALSE_STARTS:
            self._workers.remove(worker)
            raise RuntimeError(f"decode workers cannot start ({how}): {complaint}")

    def _end_the_late(self) -> None:
        now = monotonic()
        for worker in list(self._workers):
            if now < self._due(worker):
                continue
            if worker.has_reply():
                continue  # just in time
            if not worker.is_ready:
                complaint = worker.complaint()
                self._selector.unregister(worker)
                worker.kill()
                how = f"not ready after {START_TIMEOUT_S:g} s"
                self._count_false_start(worker, how, complaint)
                self._replace(worker)
                continue
            first, *others = worker.assignments
            self._selector.unregister(worker)
            worker.kill()
            self._replace(worker)
            self._again.extendleft(reversed(others))
            message = f"not ready after {self._pool.timeout_s:g} s"
            self._deliver(first, first.task.failure("decode", DecodeTimeoutError.reason, message))

    def _replace(self, worker: WorkerProcess) -> None:
        successor = WorkerProcess(self._boot)
        self._workers[self._workers.index(worker)] = successor
        self._selector.register(successor, selectors.EVENT_READ, successor)


def _num_bytes(outcome: Outcome) -> int:
    if isinstance(outcome, Prepared):
        return sum(view.nbytes for view in outcome.views)
    return 0
