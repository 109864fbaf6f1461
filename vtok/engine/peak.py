"""How close a model comes to what its device can multiply: operations counted, a rate measured.

In: a model in its `Forward`, or a device and a dtype. Out: operations of one view, operations a
second of a large matrix product, CPU time a view by the size of the batch. On a CPU all is of one
core, as each batch is computed by one. Knows no image and no run.

Dimension letters: H W pixels.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from vtok.engine.forward import Forward
from vtok.engine.sizing import MAX_VIEWS_ON_CPU, run_on_grey
from vtok.records import Size

CPU_SIDE, GPU_SIDE = 1536, 8192  # of the matrices: enough to be busy, too little to be waited for
REPEATS = 5


def count_operations(forward: Forward, size: Size) -> int:
    """Return the floating-point operations of one view: two for each multiplication and addition.

    Products and convolutions alone are counted, as is usual: those of attention among them.
    """
    from torch.utils.flop_counter import FlopCounterMode  # a second to load

    # torch knows the operations of its attention on a GPU alone.
    on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with FlopCounterMode(display=False, custom_mapping={on_cpu: _attention_operations}) as counter:
        run_on_grey(forward, size, 1)
    return int(counter.get_total_flops())


def _attention_operations(
    queries: Sequence[int], keys: Sequence[int], values: Sequence[int], *rest: Any, **named: Any
) -> int:
    """Return the operations of attention of these shapes, (B, heads, N, D)."""
    batch, heads, num_queries, dim = queries
    num_keys, value_dim = keys[2], values[3]
    return 2 * batch * heads * num_queries * num_keys * (dim + value_dim)


@torch.inference_mode()
def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Return operations a second of a square matrix product, the median of a few."""
    side = CPU_SIDE if device.type == "cpu" else GPU_SIDE
    left, right = (torch.ones((side, side), device=device, dtype=dtype) for _ in range(2))
    seconds = []
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(1 + REPEATS):
            began = _now(device)
            torch.mm(left, right)
            seconds.append(_now(device) - began)
    finally:
        torch.set_num_threads(num_threads)
    return 2 * side**3 / statistics.median(seconds[1:])


def batch_costs(forward: Forward, size: Size) -> Iterator[tuple[int, float]]:
    """Yield sizes of batches, 1, 2, 4 and so on, and milliseconds a view in each.

    Args:
        forward: The model.
        size: Of a view.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        num_views = 1
        while num_views <= MAX_VIEWS_ON_CPU:
            run_on_grey(forward, size, num_views)  # what is set up at the first call is not its
            seconds = []
            for _ in range(3):
                began = _now(forward.device)
                run_on_grey(forward, size, num_views)
                seconds.append(_now(forward.device) - began)
            yield num_views, min(seconds) * 1000 / num_views
            num_views *= 2
    finally:
        torch.set_num_threads(num_threads)


def _now(device: torch.device) -> float:
    """Return the seconds of a clock that the device's work moves: of this thread for a CPU."""
    if device.type == "cpu":
        return time.thread_time()
    torch.accelerator.synchronize(device)
    return time.monotonic()
