"""Crops drawn ahead of the steps that need them, by threads: decoding never holds up a step.

In: what draws a batch. Out: the same batches, in any order asked for. Knows nothing of images.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

Batches = Callable[[int, range], Tensor]
"""(step, numbers of crops) → crops (B, 3, S, S) uint8."""

_MAX_THREADS = 16
_STEPS_AHEAD = 3


class CropLoader:
    """Draws the next steps' crops while one is worked on.

    Args:
        draw: Draws some crops of a step; safe to call from several threads.
        numbers: The crops of a step that this process needs.
    """

    def __init__(self, draw: Batches, numbers: range) -> None:
        self._draw = draw
        self._numbers = numbers
        num_threads = min(_MAX_THREADS, len(os.sched_getaffinity(0)), len(numbers))
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix="crops")
        self._drawn: dict[int, list[Future[Tensor]]] = {}

    def close(self) -> None:
        """Stop drawing."""
        self._threads.shutdown(cancel_futures=True)

    def step(self, step: int) -> Tensor:
        """Return the crops of a step, (B, 3, S, S) uint8, and begin to draw the next ones."""
        for coming in range(step, step + 1 + _STEPS_AHEAD):
            if coming not in self._drawn:
                self._drawn[coming] = [
                    self._threads.submit(self._draw, coming, range(number, number + 1))
                    for number in self._numbers
                ]
        return torch.cat([each.result() for each in self._drawn.pop(step)])
