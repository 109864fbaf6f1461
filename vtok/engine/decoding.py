"""The decode pool: images prepared ahead of the model, in order, by processes that may die.

In: `ImageTask`s and a preparation. Out: one `Prepared` or `Failure` for each, in the same order,
whatever the number of workers and whatever becomes of them. Nothing here imports torch, here or in
the workers.

A thread of the parent hands out tasks and collects replies, so that preparation runs ahead while
the model works; how far ahead is bounded in images and in bytes.
"""

import os
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import NamedTuple, Self

from vtok.engine.buffers import Buffers
from vtok.engine.decode_run import DecodeRun
from vtok.engine.preparation import ImageTask, Outcome, Prepares
from vtok.engine.process import WorkerProcess
from vtok.engine.times import StageTimes
from vtok.engine.worker import Boot

FIRST_WORKERS = 4  # where nobody says how many


def default_num_workers() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def first_workers(most: int) -> int:
    """Return how many workers a pool begins with that may have so many."""
    return min(FIRST_WORKERS, most)


class UpTo(NamedTuple):
    """As many workers as are needed, and at most so many."""

    most: int


class DecodePool:
    """Worker processes that prepare images; a context manager, used for one run after another.

    The workers start when the pool is made and load while the caller loads its model.

    Args:
        preparation: What to do with every task; picklable.
        num_workers: Processes; 0 prepares in this process, unsupervised. `UpTo` so many: a few, and
            more when the rates at which images are prepared and taken ask for them; None for up to
            one a core.
        max_ahead_bytes: Pixels that may wait for the caller, or are expected of images in work; no
            new task is begun above it.
        timeout_s: Time for one image, reading included.
        memory_limit_bytes: Address space of a worker, of which Python and NumPy take some 0.4 GB;
            None for no limit.
        times: Filled in on the way.
        spares: Workers that have been started and not told anything; those that are needed are
            taken out, and ended with the pool.

    Attributes:
        max_ahead: Images that may be in work or waiting for the caller.
    """

    def __init__(
        self,
        preparation: Prepares,
        *,
        num_workers: int | UpTo | None = None,
        max_ahead_bytes: int = Buffers().prepared,
        timeout_s: float = 18.0,
        memory_limit_bytes: int | None = 2 << 30,
        times: StageTimes | None = None,
        spares: list[WorkerProcess] | None = None,
    ) -> None:
        if num_workers is None:
            num_workers = UpTo(default_num_workers())
        if isinstance(num_workers, UpTo):
            self.most = num_workers.most
            self.num_workers = first_workers(self.most)
        else:
            self.most = self.num_workers = num_workers
        if self.num_workers < 0:
            raise ValueError(f"num_workers must be at least 0, not {num_workers}")
        self.max_ahead = max(64, 32 * self.most)
        self.max_ahead_bytes = max_ahead_bytes
        self.timeout_s = timeout_s
        self.times = times or StageTimes()
        self._preparation = preparation
        self._boot = Boot(preparation, memory_limit_bytes)
        self._run: DecodeRun | None = None
        self._spares = [] if spares is None else spares
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
        self._run = DecodeRun(self, self._workers, self._boot, tasks)
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

    def grow(self, num_workers: int) -> list[WorkerProcess]:
        """Start workers until there are so many, at most `most`; return those that are new."""
        num_before = len(self._workers)
        self.num_workers = max(self.num_workers, min(num_workers, self.most))
        self._fill()
        return self._workers[num_before:]

    def _fill(self) -> None:
        while len(self._workers) < self.num_workers:
            worker = self._spares.pop() if self._spares else WorkerProcess()
            self._workers.append(worker)
            worker.boot(self._boot)
