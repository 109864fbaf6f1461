"""Ctrl-C, SIGTERM, a terminal that hangs up: the first ends the run in order, the second at once.

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
    """SIGTERM or SIGHUP came; no `except Exception` may swallow it.

    Attributes:
        number: Which of them.
    """

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def orderly_interrupts() -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into an exception, and exit at once on the second.

    For the main thread only, as signals are. What `nohup` has ignore SIGHUP goes on ignoring it.
    """
    old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        old[signal.SIGHUP] = signal.getsignal(signal.SIGHUP)

    def at_once(number: int, frame: FrameType | None) -> None:
        os._exit(128 + number)

    def in_order(number: int, frame: FrameType | None) -> None:
        for each in old:
            signal.signal(each, at_once)
        interruption = KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)
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
