"""Batches on their way through a model: launched in order, brought in when their turn comes.

In: arrays, stacked or packed. Out: for each batch something to wait on. On a GPU the device works
by itself and this thread only launches. On a CPU every core is a lane: a thread that puts whole
batches through the one model, alone. Lanes share no barrier, so a core that decodes an image
meanwhile holds up one lane and not all; and a batch is computed by one thread however many cores
there are, so that its bits do not depend on their number. This file knows no view, sample or order.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, get_ident

import torch

from vtok.engine.forward import Array, Forward, Inputs, Result
from vtok.engine.times import StageTimes

Pending = Callable[[], list[Result]]


def default_num_lanes(device: torch.device) -> int:
    """Return how many threads run the model: one a core that torch may use, none for a device."""
    return torch.get_num_threads() if device.type == "cpu" else 0


class Unstacked:
    """The arrays of a batch that a lane will stack; this lets go of them then."""

    def __init__(self, arrays: Sequence[Array]) -> None:
        self._arrays = arrays

    def stacked(self, stack: Callable[[Sequence[Array]], Array]) -> Array:
        """Return them in one, (B, ...); once."""
        arrays, self._arrays = self._arrays, ()
        return stack(arrays)


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

    def stack(self, arrays: Sequence[Array]) -> Array | Unstacked:
        """Return a batch of equally shaped arrays: stacked where the caller's thread launches it.

        A lane stacks it, too, where there are any: the run's own thread has all lanes to serve.
        """
        return self._forward.stack(arrays) if self._pool is None else Unstacked(arrays)

    def submit(self, arrays: Inputs | Unstacked) -> Pending:
        """Start computing a batch; return what waits for its results, in the batch's order.

        Raises:
            DeviceError: not even one array fits; from here, or from what is returned.
        """
        if self._pool is not None:
            return self._pool.submit(self._run, arrays).result
        assert not isinstance(arrays, Unstacked), "only lanes stack batches"
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

    def _run(self, arrays: Inputs | Unstacked) -> list[Result]:
        with self._lock:
            lane = self._numbers.setdefault(get_ident(), len(self._numbers))
        with self._times.working("model", lane):
            if isinstance(arrays, Unstacked):
                arrays = arrays.stacked(self._forward.stack)
            return self._forward.finish(self._forward.launch(arrays))
