"""Where a run's time went: seconds by stage, and who was at work when.

In: what the stages tell while they work, from several threads. Out: sums, the stage that the others
have waited for, and spans that a picture of the overlap can be drawn from. Knows no stage's work.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic, thread_time
from typing import Any, Literal, NamedTuple

StageName = Literal["decode", "model", "write"]

MAX_SPANS = 200_000

_SUMS = (
    "input_s", "model_s", "output_s", "decode_busy_s", "model_busy_s", "model_cpu_s",
    "write_busy_s", "num_samples", "num_views", "num_batches",
)  # fmt: skip


class Span(NamedTuple):
    """A stretch of work.

    Attributes:
        stage: What was done.
        lane: Which of the stage's processes or threads did it, counted from 0.
        start_s: When it began, as `time.monotonic` counts.
        end_s: When it ended.
    """

    stage: StageName
    lane: int
    start_s: float
    end_s: float


@dataclass(slots=True)
class StageTimes:
    """Seconds and counts of a run; the caller makes one and reads it whenever it likes.

    The first three are what the run's own thread has waited for: one after the other, so that they
    add up to the run. The `busy` ones are work, side by side, summed over processes and threads.

    Attributes:
        input_s: Waiting for images to be prepared.
        model_s: Waiting for the model, or running it where it has no thread of its own.
        output_s: Waiting for the shard's writer.
        decode_busy_s: Preparing images.
        model_busy_s: The model at work, as far as the host can see.
        model_cpu_s: CPU time of the threads that run it.
        write_busy_s: Storing samples and putting shards in place.
        num_samples: Samples that came out, failures included.
        num_views: Arrays that went through the model.
        num_batches: Batches that they went in.
        spans: Who was at work when; None to keep none.
    """

    input_s: float = 0.0
    model_s: float = 0.0
    output_s: float = 0.0
    decode_busy_s: float = 0.0
    model_busy_s: float = 0.0
    model_cpu_s: float = 0.0
    write_busy_s: float = 0.0
    num_samples: int = 0
    num_views: int = 0
    num_batches: int = 0
    spans: list[Span] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def bottleneck(self) -> StageName:
        """The stage that the run has mostly waited for."""
        waits: dict[StageName, float] = {
            "decode": self.input_s,
            "model": self.model_s,
            "write": self.output_s,
        }
        return max(waits, key=waits.__getitem__)

    def worked(self, span: Span) -> None:
        """Take note of a stretch of work; from any thread."""
        seconds = span.end_s - span.start_s
        with self._lock:
            if span.stage == "decode":
                self.decode_busy_s += seconds
            elif span.stage == "model":
                self.model_busy_s += seconds
            else:
                self.write_busy_s += seconds
            if self.spans is not None and len(self.spans) < MAX_SPANS:
                self.spans.append(span)

    @contextmanager
    def working(self, stage: StageName, lane: int = 0) -> Iterator[None]:
        """Take note of the time that a block takes."""
        started, cpu = monotonic(), thread_time()
        try:
            yield
        finally:
            self.worked(Span(stage, lane, started, monotonic()))
            if stage == "model":
                with self._lock:
                    self.model_cpu_s += thread_time() - cpu

    @contextmanager
    def waiting(self, stage: StageName) -> Iterator[None]:
        """Take note that the run's own thread waits for a stage as long as a block takes."""
        started = monotonic()
        try:
            yield
        finally:
            seconds = monotonic() - started
            if stage == "decode":
                self.input_s += seconds
            elif stage == "model":
                self.model_s += seconds
            else:
                self.output_s += seconds

    def to_json(self) -> dict[str, Any]:
        """Return the sums in a JSON-ready dict; no bottleneck of a run that did nothing."""
        waited = self.input_s + self.model_s + self.output_s
        return {
            "bottleneck": self.bottleneck if waited else None,
            "waited_s": {
                "decode": round(self.input_s, 3),
                "model": round(self.model_s, 3),
                "write": round(self.output_s, 3),
            },
            "busy_s": {
                "decode": round(self.decode_busy_s, 3),
                "model": round(self.model_busy_s, 3),
                "write": round(self.write_busy_s, 3),
            },
            "batches": self.num_batches,
        }

    def sums(self) -> dict[str, float]:
        """Return the seconds and counts, to be added to another's."""
        return {name: getattr(self, name) for name in _SUMS}

    def add(self, sums: Mapping[str, float]) -> None:
        """Add the sums of a worker that ran beside this one."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + sums[name])
