"""A worker is opened once, works in order, and is closed whatever happens."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from vtok.executors.local import run_here


class Doubling:
    def work(self, units: Sequence[int]) -> Iterator[int]:
        for unit in units:
            if unit < 0:
                raise ValueError(unit)
            yield 2 * unit


def test_results_come_in_order_from_one_worker_that_is_closed() -> None:
    happened: list[str] = []

    @contextmanager
    def open_worker() -> Iterator[Doubling]:
        happened.append("opened")
        try:
            yield Doubling()
        finally:
            happened.append("closed")

    assert list(run_here(open_worker, [3, 1, 2])) == [6, 2, 4]
    assert happened == ["opened", "closed"]
    with pytest.raises(ValueError, match="-1"):
        list(run_here(open_worker, [-1]))
    assert happened == ["opened", "closed"] * 2
