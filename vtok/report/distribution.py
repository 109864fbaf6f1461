"""How whole numbers are spread: total, least, median, 95th percentile, largest, over any number.

In: one number after another. Out: exact figures; memory grows with the number of different values,
not with how many there are. Knows nothing of what is counted.
"""

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Figures of some whole numbers, all of them values that occurred.

    Attributes:
        num_values: How many there are.
        total: Their sum.
        minimum: The least.
        median: The least value that at least half of them do not exceed.
        p95: The least value that at least 95% of them do not exceed.
        maximum: The largest.
    """

    num_values: int
    total: int
    minimum: int
    median: int
    p95: int
    maximum: int

    @property
    def mean(self) -> float:
        """Total over number."""
        return self.total / self.num_values

    def to_json(self) -> dict[str, float]:
        """Return the figures in a JSON-ready dict."""
        return {
            "total": self.total,
            "mean": round(self.mean, 3),
            "min": self.minimum,
            "median": self.median,
            "p95": self.p95,
            "max": self.maximum,
        }


class Distribution:
    """Numbers that come one by one."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, value: int) -> None:
        """Count one number."""
        self._counts[value] += 1

    def num_above(self, limit: int) -> int:
        """Return how many numbers are larger than the limit."""
        return sum(count for value, count in self._counts.items() if value > limit)

    def spread(self) -> Spread | None:
        """Return the figures so far; None where there was no number."""
        if not self._counts:
            return None
        ordered = sorted(self._counts.items())
        num_values = sum(count for _, count in ordered)
        return Spread(
            num_values=num_values,
            total=sum(value * count for value, count in ordered),
            minimum=ordered[0][0],
            median=_quantile(ordered, -(-num_values // 2)),
            p95=_quantile(ordered, -(-num_values * 95 // 100)),
            maximum=ordered[-1][0],
        )


def _quantile(ordered: list[tuple[int, int]], rank: int) -> int:
    """Return the value at this rank, counted from 1, of (value, count) pairs in order."""
    seen = 0
    for value, count in ordered:
        seen += count
        if seen >= rank:
            return value
    raise AssertionError("the rank is within the count")
