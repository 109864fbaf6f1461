"""Ctrl-C and SIGTERM: the first ends the run in good order, the second at once.

In: signals. Out: an exception in the main thread, so that what is half-written is removed on the
way out. Knows nothing of runs.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from vtok import interruption as interruption_of_process


class Terminated(BaseException):
    """SIGTERM came; no `except Exception` may swallow it."""


@contextmanager
def orderly_interrupts() -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into an exception, and exit at once on the second.

    For the main thread only, as signals are.
    """
    old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def at_once(number: int, frame: FrameType | None) -> None:
        os._exit(128 + number)

    def in_order(number: int, frame: FrameType | None) -> None:
        for each in old:
            signal.signal(each, at_once)
        interruption = KeyboardInterrupt() if number == signal.SIGINT else Terminated()
        interruption_of_process.announce(interruption)  # foreign code may swallow what is raised
        raise interruption

    for number in old:
        signal.signal(number, in_order)
    try:
        yield
        interruption_of_process.raise_if_interrupted()
    finally:
        interruption_of_process.withdraw()
        for number, handler in old.items():
            signal.signal(number, handler)
