"""Units of work in this process, in order.

In: how to open a worker, and units. Out: what the worker yields for each. A worker is opened where
it will work (it holds processes and a model), takes any subset of the units, and shares nothing
with other workers but the output folder: that is all that other executors need to know.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

ResultT = TypeVar("ResultT", covariant=True)


class Worker(Protocol[ResultT]):
    """Does units of work, one after the other."""

    def work(self, units: Iterable[int]) -> Iterator[ResultT]:
        """Yield one result for every unit, in order, as soon as it is committed."""


def run_here(
    open_worker: Callable[[], AbstractContextManager[Worker[ResultT]]], units: Sequence[int]
) -> Iterator[ResultT]:
    """Yield the results of all units from one worker in this process."""
    with open_worker() as worker:
        yield from worker.work(units)
