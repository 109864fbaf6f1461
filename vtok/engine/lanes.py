"""Batches on their way through a model: launched in order, brought in when their turn comes.

In: stacked or packed arrays. Out: for each batch something to wait on. On a GPU the device works by
itself and this thread only launches. On a CPU every core is a lane: a thread that puts whole
batches through the one model, alone. Lanes share no barrier, so a core that decodes an image
meanwhile holds up one lane and not all; and a batch is computed by one thread however many cores
there are, so that its bits do not depend on their number. This file knows no view, sample or order.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, get_ident

import torch

from vtok.engine.forward import Forward, Inputs, Result
from vtok.engine.times import StageTimes

Pending = Callable[[], list[Result]]


def default_num_lanes(device: torch.device) -> int:
    """Return how many threads run the model: one a core that torch may use, none for a device."""
    return torch.get_num_threads() if device.type == "cpu" else 0


class Lanes:
    """A model and the threads that run it.

    Args:
        forward: The model; shared by the lanes.
        num_lanes: Threads of one core each; 0 runs the model in the caller's thread.
        times: Filled in on the way.

    Attributes:
        num_in_flight: Batches that are worth having on their way before one is waited for.
    """

    def __init__(self, forward: Forward, num_lanes: int, times: StageTimes) -> None:
        self._forward = forward
        self._times = times
        self._pool: ThreadPoolExecutor | None = None
        self._lock = Lock()
        self._numbers: dict[int, int] = {}
        if num_lanes:
            self._pool = ThreadPoolExecutor(num_lanes, "vtok-model", torch.set_num_threads, (1,))
        # On a GPU one batch stays on its way while the next is formed: it then always has work.
        # Beside lanes one more lies ready, so that none waits for the caller to form it.
        self.num_in_flight = num_lanes + 1 if num_lanes else int(forward.device.type == "cuda")

    def submit(self, arrays: Inputs) -> Pending:
        """Start computing a batch; return what waits for its results, in the batch's order.

        Raises:
            DeviceError: not even one array fits; from here, or from what is returned.
        """
        if self._pool is not None:
            return self._pool.submit(self._run, arrays).result
        with self._times.working("model"):
            parts = self._forward.launch(arrays)

        def finish() -> list[Result]:
            with self._times.working("model"):
                results = self._forward.finish(parts)
            _ = arrays  # pinned memory that a copy may still be read from until now
            return results

        return finish

    def close(self) -> None:
        """Drop what has not begun, and wait for what has."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, arrays: Inputs) -> list[Result]:
        with self._lock:
            lane = self._numbers.setdefault(get_ident(), len(self._numbers))
        with self._times.working("model", lane):
            return self._forward.finish(self._forward.launch(arrays))
