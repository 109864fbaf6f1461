"""The decode pool: images prepared ahead of the model, in order, by processes that may die.

In: `ImageTask`s and a preparation. Out: one `Prepared` or `Failure` for each, in the same order,
whatever the number of workers and whatever becomes of them. A worker that takes too long over an
image is killed, one that dies is replaced; the image is tried once more, alone, and recorded if
that kills its worker too. Nothing here imports torch, here or in the workers.

A thread of the parent hands out tasks and collects replies, so that preparation runs ahead while
the model works; how far ahead is bounded in images and in bytes.
"""

import os
import selectors
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Self

from vtok.engine.preparation import ImageTask, Outcome, Prepared, Prepares
from vtok.engine.process import Assignment, WorkerProcess, encode_task
from vtok.engine.times import Span, StageTimes
from vtok.engine.worker import Boot
from vtok.errors import DecoderCrashError, DecodeTimeoutError

QUEUE_DEPTH = 2  # one in work, one waiting: the worker never waits for the parent's thread
MAX_ATTEMPTS = 2
MAX_FALSE_STARTS = 3  # in one run; a worker that dies while it loads has no image to blame


def default_num_workers() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class DecodePool:
    """Worker processes that prepare images; a context manager, used for one run after another.

    The workers start when the pool is made and load while the caller loads its model.

    Args:
        preparation: What to do with every task; picklable.
        num_workers: Processes; 0 prepares in this process, unsupervised; None for one a core.
        max_ahead: Images that may be in work or waiting for the caller; None for 16 a worker and
            at least 64.
        max_ahead_bytes: Pixels that may wait for the caller; no new task is begun above it.
        timeout_s: Time for one image, reading included.
        memory_limit_bytes: Address space of a worker, of which Python and NumPy take some 0.4 GB;
            None for no limit.
        times: Filled in on the way.
    """

    def __init__(
        self,
        preparation: Prepares,
        *,
        num_workers: int | None = None,
        max_ahead: int | None = None,
        max_ahead_bytes: int = 512 << 20,
        timeout_s: float = 20.0,
        memory_limit_bytes: int | None = 2 << 30,
        times: StageTimes | None = None,
    ) -> None:
        self.num_workers = default_num_workers() if num_workers is None else num_workers
        if self.num_workers < 0:
            raise ValueError(f"num_workers must be at least 0, not {num_workers}")
        self.max_ahead = max_ahead or max(64, 16 * self.num_workers)
        self.max_ahead_bytes = max_ahead_bytes
        self.timeout_s = timeout_s
        self.times = times or StageTimes()
        self._preparation = preparation
        self._boot = Boot(preparation, memory_limit_bytes)
        self._run: _Run | None = None
        self._workers: list[WorkerProcess] = []
        self._fill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """The processes' numbers, for those who watch them."""
        return tuple(worker.pid for worker in self._workers)

    def map(self, tasks: Iterable[ImageTask]) -> Iterator[Outcome]:
        """Yield one outcome for every task, in the tasks' order.

        One call at a time. `itertools.islice` may cut one run into shards: preparation goes on
        across the cuts.

        Args:
            tasks: Read ahead, from another thread.

        Raises:
            RuntimeError: a worker cannot start, or another run of this pool has not ended.
            Exception: whatever the tasks' iterator or a preparation raises, failures of images
                excepted.
        """
        if self.num_workers == 0:
            for task in tasks:
                with self.times.waiting("decode"), self.times.working("decode"):
                    outcome = self._preparation.prepare(task)
                yield outcome
            return
        if self._run is not None:
            raise RuntimeError("this pool is already at work: end the first run before the next")
        self._fill()
        self._run = _Run(self, self._workers, self._boot, tasks)
        try:
            yield from self._run.outcomes()
        finally:
            self._run.stop()
            self._run = None

    def close(self) -> None:
        """End the workers at once."""
        if self._run is not None:
            self._run.stop()
        for worker in self._workers:
            worker.kill()
        self._workers.clear()

    def _fill(self) -> None:
        while len(self._workers) < self.num_workers:
            self._workers.append(WorkerProcess(self._boot))


class _Run:
    """One pass over some tasks: the state that the supervising thread and the caller share."""

    def __init__(
        self,
        pool: DecodePool,
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
        with self._pool.times.waiting("decode"), self._changed:
            self._changed.wait_for(
                lambda: (
                    self._num_yielded in self._done
                    or self._error is not None
                    or self._num_yielded == self._num_tasks
                )
            )
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
        for depth in range(1, QUEUE_DEPTH + 1):
            for worker in self._workers:
                self._top_up(worker, depth)

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
            with suppress(OSError):  # it is gone: its end is noticed, and the task kept, by `_wait`
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
        at_work = [worker.working_since for worker in self._workers if worker.assignments]
        remaining = None
        if at_work:
            remaining = max(0.0, min(at_work) + self._pool.timeout_s - monotonic())
        for key, _ in self._selector.select(remaining):
            worker = key.data
            if worker is None:
                os.read(self._wake_end, 1 << 16)
            else:
                self._listen(worker)

    def _listen(self, worker: WorkerProcess) -> None:
        began = worker.working_since
        try:
            finished = worker.receive()
        except EOFError:
            self._replace_dead(worker)
            return
        if finished is not None:
            lane = self._workers.index(worker)
            self._pool.times.worked(Span("decode", lane, began, worker.working_since))
            self._deliver(*finished)

    def _deliver(self, assignment: Assignment, outcome: Outcome) -> None:
        with self._changed:
            self._done[assignment.ticket] = outcome
            self._done_bytes += _num_bytes(outcome)
            if assignment.ticket == self._num_yielded:
                self._changed.notify()

    def _replace_dead(self, worker: WorkerProcess) -> None:
        """Put a new worker in the place of one that died, and find out about its image."""
        complaint = "" if worker.is_ready else worker.complaint()
        self._selector.unregister(worker)
        how = worker.bury()
        if not worker.is_ready:
            self._num_false_starts += 1
            if self._num_false_starts == MAX_FALSE_STARTS:
                self._workers.remove(worker)
                raise RuntimeError(f"decode workers cannot start ({how}): {complaint}")
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

    def _end_the_late(self) -> None:
        now = monotonic()
        for worker in list(self._workers):
            if not worker.assignments or now < worker.working_since + self._pool.timeout_s:
                continue
            if worker.has_reply():
                continue  # just in time
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
