"""Samples through batches through a model and together again, in order, with time accounted for.

In: a stream of (subject, arrays), a `Forward`. Out: (subject, results) in the same order. A subject
is whatever the caller wants back beside the results; a sample without arrays (a failure, say) keeps
its place. While the device computes one batch the next is formed. This file knows no model.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Generic, NamedTuple, TypeVar

from vtok.engine.batching import Member, Shape, form_batches
from vtok.engine.forward import Array, Forward, Launched, Result
from vtok.errors import NonFiniteError

SubjectT = TypeVar("SubjectT")


@dataclass(slots=True)
class StageTimes:
    """Where a run's time went; the caller makes one and reads it whenever it likes.

    Attributes:
        input_s: Waiting for images to be prepared.
        model_s: Launching batches and waiting for the device.
        num_samples: Samples that came out, failures included.
        num_views: Arrays that went through the model.
        num_batches: Batches that they went in.
    """

    input_s: float = 0.0
    model_s: float = 0.0
    num_samples: int = 0
    num_views: int = 0
    num_batches: int = 0

    @property
    def bottleneck(self) -> str:
        """Which of the two the run has mostly waited for: `input` or `model`."""
        return "input" if self.input_s > self.model_s else "model"


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
    """Samples through batches through a model, and together again, in order."""

    def __init__(
        self, forward: Forward, batch_size: Callable[[Shape], int], times: StageTimes
    ) -> None:
        self._forward = forward
        self._batch_size = batch_size
        self._times = times
        self._open: deque[_Open[SubjectT]] = deque()
        self._num_closed = 0

    def run(
        self, samples: Iterable[tuple[SubjectT, Sequence[Array]]]
    ) -> Iterator[Finished[SubjectT]]:
        """Yield every sample's results in the order of its arrays."""
        # One batch stays on its way while the next is formed: a GPU then always has work.
        is_asynchronous = self._forward.device.type == "cuda"
        on_the_way: deque[tuple[tuple[Member, ...], list[Launched | NonFiniteError]]] = deque()
        for batch in form_batches(self._admit(samples), self._batch_size):
            started = perf_counter()
            on_the_way.append((batch.members, self._forward.launch(batch.arrays)))
            self._times.num_batches += 1
            self._times.num_views += len(batch.members)
            self._times.model_s += perf_counter() - started
            if len(on_the_way) > is_asynchronous:
                self._bring_in(*on_the_way.popleft())
            yield from self._close()
        while on_the_way:
            self._bring_in(*on_the_way.popleft())
            yield from self._close()
        yield from self._close()

    def _admit(
        self, samples: Iterable[tuple[SubjectT, Sequence[Array]]]
    ) -> Iterator[Sequence[Array]]:
        iterator = iter(samples)
        while True:
            started = perf_counter()
            sample = next(iterator, None)
            self._times.input_s += perf_counter() - started
            if sample is None:
                return
            subject, arrays = sample
            self._open.append(_Open(subject, [None] * len(arrays)))
            yield arrays

    def _bring_in(
        self, members: tuple[Member, ...], parts: list[Launched | NonFiniteError]
    ) -> None:
        started = perf_counter()
        results = self._forward.finish(parts)
        self._times.model_s += perf_counter() - started
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
