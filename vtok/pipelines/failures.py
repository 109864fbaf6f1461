"""How many failures a run may have.

In: outcomes, one by one. Out: an error when there are too many. Knows nothing of what failed.
"""

from vtok.errors import TooManyFailuresError
from vtok.pipelines.config import OnError
from vtok.records import Failure

NUM_TRIED_BEFORE_RATE = 1000


class FailureBudget:
    """Counts what was tried and what failed, shards of earlier runs included.

    Args:
        on_error: `fail` ends the run at the first failure.
        max_rate: Share of failures above which it ends, from the 1,000th image on.
    """

    def __init__(self, on_error: OnError, max_rate: float) -> None:
        self._on_error = on_error
        self._max_rate = max_rate
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
            self._check_rate()

    def finish(self) -> None:
        """Look back on the whole run.

        Raises:
            TooManyFailuresError: the rate is too high after 1,000 images, or all have failed.
        """
        if self._num_tried >= NUM_TRIED_BEFORE_RATE:
            self._check_rate()
        if self._last is not None and self._num_failed == self._num_tried:
            raise TooManyFailuresError(
                f"all {self._num_failed} images failed; the last: {_described(self._last)}"
            )

    def _check_rate(self) -> None:
        if self._last is not None and self._num_failed > self._max_rate * self._num_tried:
            raise TooManyFailuresError(
                f"{self._num_failed} of {self._num_tried} images failed, more than "
                f"--max-failure-rate {self._max_rate:g}; the last: {_described(self._last)}"
            )


def _described(failure: Failure) -> str:
    return f"{failure.source}: {failure.message} ({failure.reason})"
