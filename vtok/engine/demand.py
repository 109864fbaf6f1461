"""How many decode workers are needed, and how much each is given: arithmetic alone.

In: what preparing an image and using one take. Out: counts. Knows no process.
"""

import math

from vtok.engine.process import MAX_WAITING

MIN_QUEUE_DEPTH = 2  # one in work, one waiting: the worker never waits for the parent's thread
MAX_QUEUE_DEPTH = MAX_WAITING
LATE_S = 0.010  # how late the parent's thread may come: it gathers, then waits for the interpreter
HEADROOM = 1.25  # of workers over what the rates ask for, since neither rate is steady


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
