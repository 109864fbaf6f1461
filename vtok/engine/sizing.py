"""How many views a model is given at once, found by running it on one: the same on every machine.

In: a model in its `Forward`, the size of a view. Out: pixels a batch. On a CPU a batch is best when
its largest intermediate result stays in the cache: so much is counted, not timed, since a clock
would give another answer, another plan and other last bits on every run. On a GPU it is the most
that memory holds, where the device is known to be busy. This file knows no plan and forms no batch.

Dimension letters: H W pixels.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from vtok.engine.forward import Forward
from vtok.errors import NonFiniteError
from vtok.records import Size

CACHED_BYTES = 16 << 20
"""Of the largest intermediate result of a batch, on a CPU."""
MAX_VIEWS_ON_CPU = 16
"""More make no core faster, and leave the others idle longer at a run's end."""
MAX_VIEWS = 512
"""On a GPU; more make none of them busier."""
MEMORY_SHARE = 0.6
"""Of a GPU's memory, for what grows with the batch; the rest is weights and fragments."""


def find_batch_pixels(forward: Forward, size: Size) -> int:
    """Return how many pixels' worth of views to run at once.

    Args:
        forward: The model; it is run on one view, on a GPU on two more.
        size: Height and width of a typical view.
    """
    if forward.device.type == "cuda":
        most = _views_in_memory(forward, size)
        return max(1, min(MAX_VIEWS, most)) * size.num_pixels
    log = _LargestActivation()
    with log:
        run_on_grey(forward, size, 1)
    most = CACHED_BYTES // max(1, log.num_bytes)
    return max(1, min(MAX_VIEWS_ON_CPU, most)) * size.num_pixels


@torch.inference_mode()
def run_on_grey(forward: Forward, size: Size, num_views: int) -> None:
    """Run a model on so many grey views of a size."""
    inputs = torch.full((num_views, size.height, size.width, 3), 128, dtype=torch.uint8)
    with suppress(NonFiniteError):  # the model has run, whatever it thinks of a grey image
        forward.compute(inputs)


def _views_in_memory(forward: Forward, size: Size) -> int:
    """Return how many views fit into a GPU's memory, by what one and three of them take."""
    peaks = []
    try:
        for num_views in (1, 3):
            torch.cuda.synchronize(forward.device)
            torch.cuda.reset_peak_memory_stats(forward.device)
            run_on_grey(forward, size, num_views)
            torch.cuda.synchronize(forward.device)
            peaks.append(torch.cuda.max_memory_allocated(forward.device))
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return 1
    one_more = max(1, (peaks[1] - peaks[0]) // 2)
    # Of the whole memory, not of what is free just now: that would differ from run to run.
    total = torch.cuda.get_device_properties(forward.device).total_memory
    return int(total * MEMORY_SHARE) // one_more


class _LargestActivation:
    """Watches every layer for the largest result; a context manager.

    Attributes:
        num_bytes: Its length.
    """

    def __init__(self) -> None:
        self.num_bytes = 0

    def __enter__(self) -> Self:
        # One hook for all modules: a dispatch mode would see every operation, and takes more than
        # a second to load.
        self._handle = register_module_forward_hook(self._see)
        return self

    def __exit__(self, *rest: object) -> None:
        self._handle.remove()

    def _see(self, module: nn.Module, inputs: object, result: object) -> None:
        for tensor in _tensors(result):
            self.num_bytes = max(self.num_bytes, tensor.numel() * tensor.element_size())


def _tensors(value: Any) -> Iterable[Tensor]:
    """Yield the tensors of nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _tensors(each)
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
