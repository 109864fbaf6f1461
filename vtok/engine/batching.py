"""Samples in, batches of equally shaped arrays out, the same ones whatever the timing.

In: a stream of samples, each with some arrays (its views, its index arrays). Out: batches, each
array of each sample in exactly one of them. Which arrays share a batch follows from the stream
alone: not from clocks, workers or devices. This file does not know what the arrays mean.

Dimension letters: B batch.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from vtok.engine.buffers import Buffers

Shape = tuple[int, ...]
ArrayT = TypeVar("ArrayT", bound=npt.NDArray[Any])

WINDOW_SAMPLES = 256
WINDOW_BYTES = Buffers().window


class Member(NamedTuple):
    """Where an array of a batch comes from.

    Attributes:
        sample: The sample's position in the stream.
        position: The array's position in the sample.
    """

    sample: int
    position: int


@dataclass(frozen=True, slots=True)
class Batch(Generic[ArrayT]):
    """Equally shaped arrays, in the order of the stream.

    Attributes:
        arrays: (B, ...), contiguous.
        members: Where each of the B comes from.
    """

    arrays: ArrayT
    members: tuple[Member, ...]


class _Bucket(Generic[ArrayT]):
    """Arrays of one shape that wait for their batch to be full."""

    def __init__(self) -> None:
        self.arrays: list[ArrayT] = []
        self.members: list[Member] = []

    @property
    def num_bytes(self) -> int:
        return len(self.arrays) * self.arrays[0].nbytes

    def batch(self, stack: Callable[[Sequence[Any]], Any]) -> Batch[Any]:
        return Batch(stack(self.arrays), tuple(self.members))


def form_batches(
    samples: Iterable[Sequence[ArrayT] | None],
    batch_size: Callable[[Shape], int],
    *,
    stack: Callable[[Sequence[Any]], Any] = np.stack,
    window_samples: int = WINDOW_SAMPLES,
    window_bytes: int = WINDOW_BYTES,
) -> Iterator[Batch[ArrayT]]:
    """Yield batches of up to the given size; partial ones at the end or where a shape is rare.

    An array waits for others of its shape until its batch is full, or until the window has moved
    past it: then its shape's batch goes as it is. So memory is bounded, and a sample is complete
    soon after it was read.

    Args:
        samples: Each with any number of arrays; a sample may straddle batches. None, which is not
            counted, ends all batches: what comes after it shares none with what came before.
        batch_size: Shape of an array → arrays a batch, at least 1; asked once for each shape.
        stack: Equally shaped arrays → one (B, ...), where the batch is wanted.
        window_samples: Samples that may follow one whose arrays are still waiting.
        window_bytes: Bytes that may wait in all.
    """
    buckets: defaultdict[Shape, _Bucket[ArrayT]] = defaultdict(_Bucket)
    sizes: dict[Shape, int] = {}
    num_waiting_bytes = 0
    sample = -1
    for arrays in samples:
        if arrays is None:
            while buckets:
                yield buckets.pop(_oldest(buckets)).batch(stack)
            num_waiting_bytes = 0
            continue
        sample += 1
        for position, array in enumerate(arrays):
            shape = array.shape
            if shape not in sizes:
                sizes[shape] = batch_size(shape)
                if sizes[shape] < 1:
                    raise ValueError(f"a batch size must be at least 1, not {sizes[shape]}")
            buckets[shape].arrays.append(array)
            buckets[shape].members.append(Member(sample, position))
            num_waiting_bytes += array.nbytes
            if len(buckets[shape].arrays) == sizes[shape]:
                full = buckets.pop(shape)
                num_waiting_bytes -= full.num_bytes
                yield full.batch(stack)
        while buckets:
            shape = _oldest(buckets)
            age = sample - buckets[shape].members[0].sample
            if age < window_samples and num_waiting_bytes <= window_bytes:
                break
            rare = buckets.pop(shape)
            num_waiting_bytes -= rare.num_bytes
            yield rare.batch(stack)
    while buckets:
        yield buckets.pop(_oldest(buckets)).batch(stack)


def _oldest(buckets: Mapping[Shape, _Bucket[ArrayT]]) -> Shape:
    """Return the shape whose first array has waited longest."""
    return min(buckets, key=lambda shape: buckets[shape].members[0])


def default_batch_size(shape: Shape, *, on_cpu: bool) -> int:
    """Return how many views of a shape to run together where nobody says.

    As many as have about 0.9 megapixels together on a CPU (8 tiles of 336², 14 of 256²: beyond
    that its caches are left, and some models get slower), 16 times as many on an accelerator, where
    small batches leave it idle; at least 1, at most 64 and 512.

    Args:
        shape: (H, W, 3) of a view.
        on_cpu: Whether the model runs on the CPU.
    """
    num_pixels = shape[0] * shape[1]
    budget, most = (8 * 336 * 336, 64) if on_cpu else (128 * 336 * 336, 512)
    return min(most, max(1, round(budget / num_pixels)))
