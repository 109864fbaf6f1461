"""The work of one process: its shards, one after the other, each whole or not at all.

In: a job, which travels to the process that does it, and the numbers of shards. Out: shards and
their commit records. Preparation runs ahead across shards; batches do not cross them, so that a
shard's bytes depend on its images alone. Knows nothing of who hands out shards.
"""

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from vtok.engine.buffers import Buffers
from vtok.engine.decoding import DecodePool, UpTo, default_num_workers
from vtok.engine.preparation import ImageTask, Outcome, Prepares
from vtok.engine.process import WorkerProcess
from vtok.engine.times import StageTimes
from vtok.errors import SampleError, ShardError
from vtok.interruption import raise_if_interrupted
from vtok.pipelines.config.limits import LimitConfig
from vtok.pipelines.inputs.dedupe import Duplicates
from vtok.pipelines.inputs.items import Inputs
from vtok.pipelines.outputs.progress import Progress
from vtok.pipelines.running.failure_budget import FailureBudget
from vtok.pipelines.running.shard_thread import ShardThread
from vtok.records import Failure
from vtok.shards.commit import CommitRecord, Tally, commit_shard
from vtok.shards.header import ShardHeader
from vtok.shards.plan import RunPlan, shard_name
from vtok.shards.references import Reference
from vtok.shards.samples import Sample
from vtok.shards.usage import CodebookCounter
from vtok.shards.writer import ShardWriter


class MakesSamples(Protocol):
    """What a command does with prepared images; holds the model, where there is one."""

    def samples(self, outcomes: Iterable[Outcome | None]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for every outcome, in order.

        A None, for which nothing is yielded, ends a shard: what follows it changes nothing before.
        """

    def close(self) -> None:
        """Let go of what it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedWork:
    """What a run has to do, whoever does it; travels by pickle.

    Attributes:
        folder: Where shards go.
        plan: What is to be done.
        header: What each shard says of itself.
        inputs: The images.
        num_workers: Of them; None for as many as are needed. Never more than images.
        limits: What one image may take of time and memory there.
        num_cores: Most decode workers where none were asked for; None for one a core.
        buffers: How much may wait between the stages.
        duplicates: What is a reference instead of a sample; None where all are samples.
    """

    folder: Path
    plan: RunPlan
    header: ShardHeader
    inputs: Inputs
    num_workers: int | None
    limits: LimitConfig
    num_cores: int | None = None
    buffers: Buffers = field(default_factory=Buffers)
    duplicates: Duplicates | None = None

    def positions(self, shard: int) -> Sequence[int]:
        """Return the positions of a shard's images that are to be encoded, in order."""
        if self.duplicates is not None:
            return self.duplicates.written(shard)
        return self.plan.shard_range(shard)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardJob:
    """All that making any shard of a run needs.

    Attributes:
        work: What is to be done.
        preparation: What the decode workers do with an image.
        open_maker: Makes samples of what they prepare, and fills in times; called once, when there
            is work.
        spares: Decode workers that have been started already; those that are needed are taken out.
    """

    work: PlannedWork
    preparation: Prepares
    open_maker: Callable[[StageTimes], MakesSamples]
    spares: list[WorkerProcess] = field(default_factory=list)

    @contextmanager
    def open(
        self, budget: FailureBudget, progress: Progress, times: StageTimes
    ) -> Iterator["ShardWorker"]:
        """Start the decode workers, then load the model while they start."""
        work = self.work
        # Workers start at once: more of them than images would only cost memory.
        num_images = work.plan.num_samples
        wanted: int | UpTo = UpTo(min(work.num_cores or default_num_workers(), num_images))
        if work.num_workers is not None:
            wanted = min(work.num_workers, num_images)
        with (
            DecodePool(
                self.preparation,
                num_workers=wanted,
                max_ahead_bytes=work.buffers.prepared,
                timeout_s=work.limits.decode_timeout,
                memory_limit_bytes=work.limits.decode_memory,
                times=times,
                spares=self.spares,
            ) as pool,
            closing(self.open_maker(times)) as maker,
        ):
            yield ShardWorker(work, pool, maker, budget, progress, times)


class _Written:
    """The note that one sample is in its shard."""


_Event = _Written | Failure | CommitRecord


class ShardWorker:
    """A job with its decode workers and its model."""

    def __init__(
        self,
        work: PlannedWork,
        pool: DecodePool,
        maker: MakesSamples,
        budget: FailureBudget,
        progress: Progress,
        times: StageTimes,
    ) -> None:
        self._work = work
        self._pool = pool
        self._maker = maker
        self._budget = budget
        self._progress = progress
        self._times = times

    def work(self, shards: Iterable[int]) -> Iterator[CommitRecord]:
        """Make these shards and yield their commit records.

        Args:
            shards: Asked for as images are prepared ahead: from another thread, a little before
                the shard is begun.

        Raises:
            TooManyFailuresError: more images failed than may; the shard at hand is dropped.
            OutputError: the disk refuses.
        """
        begun: deque[int] = deque()  # their images are asked for
        under_way: deque[int] = deque()  # their images are handed to the maker
        made_of = self._maker.samples(self._outcomes(shards, begun, under_way))
        num_missing = 0
        max_bytes = self._work.buffers.unwritten
        with ShardThread[_Event](self._make, self._times, max_bytes) as thread:
            try:
                for made in made_of:
                    raise_if_interrupted()  # else its failure might be the signal's
                    if not num_missing:
                        shard = self._next_shard(under_way, thread)
                        thread.begin(shard)
                        num_missing = len(self._work.positions(shard))
                    thread.put(made)
                    num_missing -= 1
                    if not num_missing:
                        thread.end()
                    yield from self._told(thread.heard())
                for shard in (*under_way, *begun):  # all of them references
                    thread.begin(shard)
                    thread.end()
            except Exception:
                yield from self._told(thread.heard())  # what ended it is among what it has told
                raise
            yield from self._told(thread.finish())

    def _outcomes(
        self, shards: Iterable[int], begun: deque[int], under_way: deque[int]
    ) -> Iterator[Outcome | None]:
        """Yield what becomes of the images of one shard after another, None behind each shard."""
        outcomes = self._pool.map(self._tasks(shards, begun))
        # The first outcome of a shard is there once its number is.
        while (first := next(outcomes, None)) is not None:
            while not self._work.positions(begun[0]):
                under_way.append(begun.popleft())
            shard = begun.popleft()
            under_way.append(shard)
            rest = len(self._work.positions(shard)) - 1
            ours = itertools.chain([first], itertools.islice(outcomes, rest))
            del first  # its pixels are let go of with the batch that they are in
            yield from ours
            yield None

    def _tasks(self, shards: Iterable[int], begun: deque[int]) -> Iterator[ImageTask]:
        for shard in shards:
            begun.append(shard)
            yield from self._work.inputs.tasks(self._work.positions(shard))

    def _next_shard(self, under_way: deque[int], thread: ShardThread[_Event]) -> int:
        """Return the shard that a sample is of; make those before it, of references alone."""
        while not self._work.positions(under_way[0]):
            thread.begin(under_way.popleft())
            thread.end()
        return under_way.popleft()

    def _told(self, events: Iterable[_Event]) -> Iterator[CommitRecord]:
        """Pass on what the writing thread tells; yield the commit records."""
        for event in events:
            if isinstance(event, CommitRecord):
                self._progress.shard_done()
                yield event
            elif isinstance(event, Failure):
                self._progress.failed(event)
            else:
                self._progress.written()

    def _make(
        self, shard: int, samples: Iterable[Sample | Failure], tell: Callable[[_Event], None]
    ) -> None:
        """Make one shard, in the writing thread."""
        job = self._work
        tally = _Tally(job.header)
        with ShardWriter(job.folder / shard_name(shard), job.header) as writer:
            for made in samples:
                failure = made if isinstance(made, Failure) else _add(writer, made)
                if failure is not None:
                    tally.failures.append(failure)
                    tell(failure)
                    self._budget.failed(failure)
                elif isinstance(made, Sample):
                    tally.count(made)
                    tell(_Written())
                    self._budget.succeeded()
        if job.duplicates is not None:
            tally.references, failures = job.duplicates.references(shard)
            for failure in failures:
                tally.failures.append(failure)
                tell(failure)
                self._budget.failed(failure)
        tell(commit_shard(job.folder, job.plan, shard, writer.written, tally.freeze()))


def _add(writer: ShardWriter, sample: Sample) -> Failure | None:
    """Write a sample; return its failure if it cannot be stored, which leaves no trace."""
    try:
        writer.add(sample)
    except (SampleError, ShardError) as error:
        return Failure(
            key=sample.key,
            source=str(sample.meta.get("source", "")),
            stage="write",
            reason=error.reason if isinstance(error, SampleError) else "unstorable",
            message=" ".join(str(error).split()),
        )
    return None


class _Tally:
    """What is counted while a shard is written."""

    def __init__(self, header: ShardHeader) -> None:
        self.failures: list[Failure] = []
        self.references: tuple[Reference, ...] = ()
        self._conversions: Counter[str] = Counter()
        self._num_views = 0
        self._num_tokens = 0
        self._codebook: CodebookCounter | None = None
        if header.kind == "indices":
            self._codebook = CodebookCounter(header.codebook_size)

    def count(self, sample: Sample) -> None:
        self._conversions.update(sample.meta["conversions"])
        self._num_views += len(sample.images) + len(sample.indices) + len(sample.features)
        self._num_tokens += sum(array.size for array in sample.indices.values())
        self._num_tokens += sum(len(array) for array in sample.features.values())
        if self._codebook is not None:
            for array in sample.indices.values():
                self._codebook.add(array)

    def freeze(self) -> Tally:
        return Tally(
            references=self.references,
            failures=tuple(self.failures),
            num_views=self._num_views,
            num_tokens=self._num_tokens,
            conversions=dict(self._conversions),
            codebook_counts=self._codebook.counts if self._codebook else None,
        )
