"""The workers of one run under supervision: given tasks, listened to, replaced when they die.

In: tasks and workers. Out: outcomes, in any order, to a `Handover`. A worker that takes too long
over an image is killed, one that dies is replaced; what it had is tried once more, alone. More are
started when images are taken faster than they are prepared. One thread does it all, and takes no
lock; this file knows nothing of who waits for the outcomes, nor of what a preparation does.
"""

import math
import selectors
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from time import monotonic
from typing import Protocol

from vtok.engine.demand import Demand
from vtok.engine.handover import Handover
from vtok.engine.preparation import ImageTask, Prepared
from vtok.engine.process import Assignment, WorkerProcess, encode_task
from vtok.engine.times import Span, StageTimes
from vtok.engine.worker import Boot
from vtok.errors import DecoderCrashError, DecodeTimeoutError

GATHERED_S = 0.005  # what came meanwhile is heard together: waking up costs as much as an image
MAX_ATTEMPTS = 2
MAX_FALSE_STARTS = 3  # in one run; a worker that dies while it loads has no image to blame
START_TIMEOUT_S = 120.0  # for a worker to load; a second is usual
LOOKS_EVERY_S = 1.0  # at the clock, while an image is in work
STOPPED_S = 1.0  # so late only comes who was stopped, or has no core: the workers had none either


class Employer(Protocol):
    """What a crew needs of its pool: the limits on it, and more workers."""

    most: int
    timeout_s: float
    times: StageTimes

    def grow(self, num_workers: int) -> list[WorkerProcess]:
        """Start workers until there are so many; return those that are new."""
        ...


class Crew:
    """The workers of a run, and the tasks that are theirs to do.

    Args:
        employer: The pool that they belong to.
        workers: Those that there are; the pool's own list, in which the dead are replaced.
        boot: What a replacement is told.
        tasks: Read when somebody is free to do them and there is room for the outcome.
        handover: Given the outcomes.
    """

    def __init__(
        self,
        employer: Employer,
        workers: list[WorkerProcess],
        boot: Boot,
        tasks: Iterable[ImageTask],
        handover: Handover,
    ) -> None:
        self._employer = employer
        self._workers = workers
        self._boot = boot
        self._tasks = iter(tasks)
        self._handover = handover
        self._demand = Demand()
        self._is_exhausted = False
        self._encoded: tuple[Assignment, bytes] | None = None  # next to be handed out
        self._again: deque[Assignment] = deque()  # were in the hands of workers that are gone
        self._num_begun = 0
        self._num_false_starts = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(handover, selectors.EVENT_READ, None)
        for worker in workers:
            self._selector.register(worker, selectors.EVENT_READ, worker)

    def hand_out(self) -> None:
        """Give every worker something to do, the earliest tasks first."""
        for depth in range(1, self._demand.queue_depth + 1):
            for worker in self._workers:
                self._top_up(worker, depth)
        for worker in self._workers:
            with suppress(OSError):  # it is gone: `listen` notices, and keeps its tasks
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
        if self._encoded is None and self._may_begin():
            try:
                task = next(self._tasks)
            except StopIteration:
                self._is_exhausted = True
                self._handover.end_after(self._num_begun)
                return None
            self._encoded = Assignment(self._num_begun, task), encode_task(task)
            self._num_begun += 1
        return self._encoded

    def _may_begin(self) -> bool:
        return not self._is_exhausted and self._handover.has_room(self._num_begun)

    def listen(self) -> None:
        """Sleep until a worker replies or dies, the caller wants something, or time is up."""
        due = [self._due(worker) for worker in self._workers]
        began = monotonic()
        remaining = max(0.0, min(due) - began)
        asked = min(remaining, LOOKS_EVERY_S)
        events = self._selector.select(None if remaining == math.inf else asked)
        self._forgive(monotonic() - began - asked)
        if events and self._demand.num_prepared and not self._handover.is_stopped:
            time.sleep(GATHERED_S)
        for key, _ in events:
            worker = key.data
            if worker is None:
                self._handover.heed()
                continue
            while self._hear(worker) and worker.assignments and worker.has_reply():
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
            return worker.working_since + self._employer.timeout_s
        return math.inf

    def _hear(self, worker: WorkerProcess) -> bool:
        """Take note of a worker's reply; return whether the worker lives on."""
        began = worker.working_since
        try:
            finished = worker.receive()
        except EOFError:
            self._replace_dead(worker)
            return False
        if finished is not None:
            lane = self._workers.index(worker)
            self._employer.times.worked(Span("decode", lane, began, worker.working_since))
            assignment, outcome = finished
            if isinstance(outcome, Prepared):  # what could not be read says nothing of the others
                self._demand.add_prepared(worker.working_since - began)
            self._handover.put(assignment.ticket, outcome)
        return True

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
            failure = first.task.failure("decode", DecoderCrashError.reason, message)
            self._handover.put(first.ticket, failure)

    def end_the_late(self) -> None:
        """Kill the workers that should have said something by now, and replace them."""
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
            message = f"not ready after {self._employer.timeout_s:g} s"
            failure = first.task.failure("decode", DecodeTimeoutError.reason, message)
            self._handover.put(first.ticket, failure)

    def _count_false_start(self, worker: WorkerProcess, how: str, complaint: str) -> None:
        self._num_false_starts += 1
        if self._num_false_starts == MAX_FALSE_STARTS:
            self._workers.remove(worker)
            raise RuntimeError(f"decode workers cannot start ({how}): {complaint}")

    def _replace(self, worker: WorkerProcess) -> None:
        successor = WorkerProcess(self._boot)
        self._workers[self._workers.index(worker)] = successor
        self._selector.register(successor, selectors.EVENT_READ, successor)

    def grow(self) -> None:
        """Start more workers if those that there are prepare less than the caller takes."""
        if len(self._workers) >= self._employer.most:
            return
        needed = self._demand.judge(
            self._handover.num_taken, self._handover.consumer_s, self._employer.most
        )
        if needed is None:
            return
        # At most twice as many at once: the next judgement has better figures.
        for worker in self._employer.grow(min(needed, 2 * len(self._workers))):
            self._selector.register(worker, selectors.EVENT_READ, worker)

    def close(self) -> None:
        """Supervise no more; workers that are at work are ended."""
        self._selector.close()
        for worker in [each for each in self._workers if each.assignments]:
            self._workers.remove(worker)
            worker.kill()
