"""Samples through batches through a model and together again, in order, with time accounted for.

In: a stream of (subject, arrays), a model in `Lanes`. Out: (subject, results) in the same order. A
subject is whatever the caller wants back beside the results; a sample without arrays (a failure,
say) keeps its place. While one batch is computed the next is formed. This file knows no model.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from vtok.engine.batching import Batch, Member
from vtok.engine.forward import Array, Result
from vtok.engine.lanes import Lanes, Pending
from vtok.engine.packs import Pack
from vtok.engine.times import StageTimes

SubjectT = TypeVar("SubjectT")
Forms = Callable[[Iterable[Sequence[Array] | None]], Iterator[Batch[Array]] | Iterator[Pack]]


class Finished(NamedTuple, Generic[SubjectT]):
    """A sample with all its results, in the order of its arrays."""

    subject: SubjectT
    results: Sequence[Result]


@dataclass(slots=True)
class _Open(Generic[SubjectT]):
    """A sample some of whose results are still missing."""

    subject: SubjectT
    results: list[Result | None]
    num_missing: int = field(init=False)

    def __post_init__(self) -> None:
        self.num_missing = len(self.results)


class Loop(Generic[SubjectT]):
    """Samples through batches through a model, and together again, in order.

    Args:
        lanes: The model.
        form: Forms batches of a stream of samples.
        times: Filled in on the way.
    """

    def __init__(self, lanes: Lanes, form: Forms, times: StageTimes) -> None:
        self._lanes = lanes
        self._form = form
        self._times = times
        self._open: deque[_Open[SubjectT]] = deque()
        self._num_closed = 0

    def run(
        self, samples: Iterable[tuple[SubjectT, Sequence[Array]] | None]
    ) -> Iterator[Finished[SubjectT]]:
        """Yield every sample's results in the order of its arrays.

        Args:
            samples: None ends all batches, and the model goes on with those that follow.
        """
        on_the_way: deque[tuple[tuple[Member, ...], Pending]] = deque()
        for batch in self._form(self._admit(samples)):
            with self._times.waiting("model"):
                on_the_way.append((batch.members, self._lanes.submit(batch.arrays)))
            self._times.num_batches += 1
            self._times.num_views += len(batch.members)
            if len(on_the_way) > self._lanes.num_in_flight:
                self._bring_in(*on_the_way.popleft())
            yield from self._close()
        while on_the_way:
            self._bring_in(*on_the_way.popleft())
            yield from self._close()
        yield from self._close()

    def _admit(
        self, samples: Iterable[tuple[SubjectT, Sequence[Array]] | None]
    ) -> Iterator[Sequence[Array] | None]:
        for sample in samples:
            if sample is None:
                yield None
                continue
            subject, arrays = sample
            self._open.append(_Open(subject, [None] * len(arrays)))
            yield arrays

    def _bring_in(self, members: tuple[Member, ...], pending: Pending) -> None:
        with self._times.waiting("model"):
            results = pending()
        for member, result in zip(members, results, strict=True):
            sample = self._open[member.sample - self._num_closed]
            sample.results[member.position] = result
            sample.num_missing -= 1

    def _close(self) -> Iterator[Finished[SubjectT]]:
        while self._open and self._open[0].num_missing == 0:
            sample = self._open.popleft()
            self._num_closed += 1
            self._times.num_samples += 1
            results = [result for result in sample.results if result is not None]
            yield Finished(sample.subject, results)
