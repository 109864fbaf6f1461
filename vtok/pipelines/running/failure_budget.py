"""How many failures a run may have.

In: outcomes, one by one. Out: an error when there are too many, and a verdict at the end. Knows
nothing of what failed.
"""

from vtok.errors import TooManyFailuresError
from vtok.pipelines.config.parts import DEFAULT_MAX_FAILURE_RATE, OnError
from vtok.quantities import counted
from vtok.records import Failure

NUM_TRIED_BEFORE_RATE = 1000


class FailureBudget:
    """Counts what was tried and what failed, shards of earlier runs included.

    Args:
        on_error: `fail` ends the run at the first failure.
        max_rate: Share of failures above which it ends, from the 1,000th image on; None for the
            default, which a run of fewer images is not held to.
    """

    def __init__(self, on_error: OnError, max_rate: float | None) -> None:
        self._on_error = on_error
        self._is_explicit = max_rate is not None
        self._max_rate = DEFAULT_MAX_FAILURE_RATE if max_rate is None else max_rate
        self._num_tried = 0
        self._num_failed = 0
        self._last: Failure | None = None

    def succeeded(self, count: int = 1) -> None:
        """Count images that were written, or need not be."""
        self._num_tried += count

    def failed(self, failure: Failure) -> None:
        """Count one that failed.

        Raises:
            TooManyFailuresError: it is one too many; its shard is not to be written.
        """
        self._num_tried += 1
        self._num_failed += 1
        self._last = failure
        if self._on_error == "fail":
            raise TooManyFailuresError(f"{_described(failure)}; --on-error skip would go on")
        if self._num_tried >= NUM_TRIED_BEFORE_RATE:
            excess = self._excess()
            if excess is not None:
                raise TooManyFailuresError(excess)

    def verdict(self) -> str | None:
        """Look back on the whole run; return in one line why too many failed, None if not.

        The rate counts from 1,000 images on, or of any number where it was asked for.
        """
        if self._last is not None and self._num_failed == self._num_tried:
            if self._num_failed == 1:
                return f"the only image failed: {_described(self._last)}"
            failed = counted(self._num_failed, "image")
            return f"all {failed} failed; the last: {_described(self._last)}"
        if self._num_tried >= NUM_TRIED_BEFORE_RATE or self._is_explicit:
            return self._excess()
        return None

    def _excess(self) -> str | None:
        if self._last is None or self._num_failed <= self._max_rate * self._num_tried:
            return None
        return (
            f"{self._num_failed:,} of {counted(self._num_tried, 'image')} failed, more than "
            f"--max-failure-rate {self._max_rate:g}; the last: {_described(self._last)}"
        )


def _described(failure: Failure) -> str:
    return f"{failure.source}: {failure.message} ({failure.reason})"
