"""How many decode workers are needed, and how much each is given: arithmetic alone.

In: what preparing images and using them has taken. Out: counts. Knows no process.
"""

import math
from collections import deque
from time import monotonic

from vtok.engine.process import MAX_WAITING

MIN_QUEUE_DEPTH = 2  # one in work, one waiting: the worker never waits for the parent's thread
MAX_QUEUE_DEPTH = MAX_WAITING
LATE_S = 0.020  # how late the parent's thread may come: it gathers, then waits for the interpreter
HEADROOM = 1.25  # of workers over what the rates ask for, since neither rate is steady
JUDGED_EVERY_S = 1.0
LATELY = 32
"""So many images tell how long the next will take."""


class Demand:
    """The figures of one run: what images have taken so far, and since the last judgement.

    Attributes:
        num_prepared: Images that have been prepared.
    """

    def __init__(self) -> None:
        self.num_prepared = 0
        self._decode_s = 0.0
        self._lately: deque[float] = deque(maxlen=LATELY)
        self._judged_at = monotonic()
        self._judged = (0, 0.0, 0, 0.0)  # counts and seconds at that time

    def add_prepared(self, decode_s: float) -> None:
        """Take note of an image that took so long to prepare."""
        self.num_prepared += 1
        self._decode_s += decode_s
        self._lately.append(decode_s)

    @property
    def queue_depth(self) -> int:
        """How many images a worker is given at once, as far as is known."""
        return queue_depth(sum(self._lately) / len(self._lately) if self._lately else 0.0)

    def judge(self, num_taken: int, consumer_s: float, most: int) -> int | None:
        """Return how many workers are needed, by the figures since last time; None if too early.

        Args:
            num_taken: Images that the consumer has taken, from the beginning.
            consumer_s: What it took for them, its waiting not counted.
            most: The cores that there are.
        """
        now = monotonic()
        if now < self._judged_at + JUDGED_EVERY_S:
            return None
        counts = (self.num_prepared, self._decode_s, num_taken, consumer_s)
        num_prepared, decode_s, num_used, used_s = (
            new - old for new, old in zip(counts, self._judged, strict=True)
        )
        if not num_prepared or not num_used:
            return None
        self._judged_at, self._judged = now, counts
        return workers_needed(decode_s / num_prepared, used_s / num_used, most)


def queue_depth(decode_s: float) -> int:
    """Return how many images a worker is given at once: enough for it not to wait, and few.

    Args:
        decode_s: What it takes for one; 0 where that is not known yet.
    """
    if decode_s <= 0:
        return MIN_QUEUE_DEPTH
    return min(MAX_QUEUE_DEPTH, MIN_QUEUE_DEPTH + int(LATE_S / decode_s))


def workers_needed(decode_s: float, consumer_s: float, most: int) -> int:
    """Return how many workers keep a consumer from waiting.

    Args:
        decode_s: What one worker takes for an image.
        consumer_s: What the consumer takes for one, its waiting not counted.
        most: The cores that there are.
    """
    if decode_s * HEADROOM >= consumer_s * most:
        return most
    return max(1, math.ceil(decode_s * HEADROOM / consumer_s))
