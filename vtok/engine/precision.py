"""Whether GPUs multiply float32 as it is, or rounded to the ten bits of TF32.

torch allows TF32 in convolutions unless told otherwise; indices need float32 to be what it says.
Does nothing on machines without such a GPU. Knows no model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

Float32 = Literal["ieee", "tf32"]


def set_float32(precision: Float32) -> None:
    """Multiply float32 like this from now on, in this process."""
    for backend in _backends():
        backend.fp32_precision = precision


@contextmanager
def float32_as(precision: Float32) -> Iterator[None]:
    """Multiply float32 like this meanwhile."""
    backends = _backends()
    kept = [backend.fp32_precision for backend in backends]
    set_float32(precision)
    try:
        yield
    finally:
        for backend, before in zip(backends, kept, strict=True):
            backend.fp32_precision = before


def _backends() -> tuple[Any, ...]:
    cudnn: Any = torch.backends.cudnn
    return (torch.backends.cuda.matmul, cudnn.conv)
