"""A run's work on one of several devices: the job as it travels, and what comes back of it.

In: what a run has planned, and how its command is set up for one device. Out: commit records, and
notes for the run's listener. Knows nothing of which other devices there are.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vtok.engine.times import StageTimes
from vtok.pipelines.outputs.progress import Progress
from vtok.pipelines.running.failure_budget import FailureBudget
from vtok.pipelines.running.recipe import Recipe
from vtok.pipelines.running.shard_worker import PlannedWork, ShardJob, ShardWorker
from vtok.records import Failure

Told = Failure | int | dict[str, float]
"""A failure, a number of samples that were written, or the sums of `StageTimes` at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceJob:
    """The work of one device; travels by pickle.

    Attributes:
        name: The device.
        build: Sets the command up for this device alone.
        work: What is planned.
        budget: Counts what this device did; the run counts the whole.
        environment: Variables that its process needs.
    """

    name: str
    build: Callable[[], Recipe]
    work: PlannedWork
    budget: FailureBudget
    environment: dict[str, str]

    @contextmanager
    def open(self, tell: Callable[[Any], None]) -> Iterator[ShardWorker]:
        """Load the model and start the decode workers, where the work is done."""
        recipe, times = self.build(), StageTimes()
        job = ShardJob(work=self.work, preparation=recipe.preparation, open_maker=recipe.open_maker)
        with job.open(self.budget, _Teller(tell), times) as worker:
            yield worker
        tell(times.sums())


class _Teller:
    """A listener that passes on what it hears."""

    def __init__(self, tell: Callable[[Told], None]) -> None:
        self._tell = tell

    def begin(self, *, num_shards: int, num_images: int) -> None:
        """Do nothing: the run has said so."""

    def note(self, message: str) -> None:
        """Do nothing: a device has none."""

    def written(self) -> None:
        """Pass it on."""
        self._tell(1)

    def failed(self, failure: Failure) -> None:
        """Pass it on."""
        self._tell(failure)

    def shard_done(self) -> None:
        """Do nothing: the commit record comes as the result."""


def hearing(budget: FailureBudget, progress: Progress, times: StageTimes) -> Callable[[Told], None]:
    """Return what passes a device's notes on to the run's listener, budget and times."""

    def hear(told: Told) -> None:
        if isinstance(told, Failure):
            progress.failed(told)
            budget.failed(told)
        elif isinstance(told, int):
            progress.written()
            budget.succeeded()
        else:
            times.add(told)

    return hear
