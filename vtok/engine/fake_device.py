"""A device that only waits: how the host's side of a GPU pipeline is measured without a GPU.

In: batches of views. Out: after a fixed time an image, tokens that mean nothing, of the shape of a
real model's. Nothing is computed: neither the model nor what a GPU does beside it (pixels to
floats, the check for NaN). This file knows no pipeline.

Dimension letters: B batch.
"""

import threading
import time

import torch
from torch import Tensor, nn

from vtok.engine.forward import Forward

FEATURES = (576, 1024)  # of a ViT-L/14 at 336 px, in fp16
INDICES = (16, 16)  # of an f16 tokenizer at 256 px
MAX_VIEWS = 64


class FakeForward(Forward):
    """Waits for as long as a device would compute.

    Args:
        seconds_per_view: The device's time for one view.
        is_vq: Whether indices come out, or features.

    Attributes:
        busy_s: How long the device has been at work.
    """

    def __init__(self, seconds_per_view: float, *, is_vq: bool) -> None:
        nothing = nn.Identity()
        super().__init__(nothing, nothing, device=torch.device("cpu"), dtype=torch.float16)  # type: ignore[arg-type]
        shape = INDICES if is_vq else FEATURES
        self._results = torch.zeros((MAX_VIEWS, *shape), dtype=torch.int64 if is_vq else self.dtype)
        self._seconds = seconds_per_view
        self._lock = threading.Lock()
        self._free_at = 0.0  # as `time.monotonic` counts
        self.busy_s = 0.0

    def compute(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return zeros (B, ...) after B times the device's time for a view.

        A batch that comes while another is on the device begins where that one ends, whenever the
        host takes notice: as on a GPU, whose queue is its own.
        """
        seconds = self._seconds * len(inputs)
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + seconds
            done_at = self._free_at
            self.busy_s += seconds
        time.sleep(max(0.0, done_at - time.monotonic()))
        return self._results[: len(inputs)], torch.ones(len(inputs), dtype=torch.bool)
