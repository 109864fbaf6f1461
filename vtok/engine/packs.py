"""Samples in, packs of arrays of any sizes out: what is computed together as one sequence.

In: a stream of samples, each with some arrays (its views). Out: packs, each array of each sample in
exactly one of them, in the order of the stream. A pack has no padding, so that there is nothing to
be gained by sorting: arrays go together as they come, and memory holds one pack. Which arrays share
one follows from the stream alone. This file does not know what the arrays mean.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy.typing as npt

from vtok.engine.batching import Member, Shape, default_batch_size

Array = npt.NDArray[Any]

BUDGET_SHAPE: Shape = (336, 336, 3)
"""The tile whose default batch says how many pixels a pack has."""


class Pack(NamedTuple):
    """Arrays of any shapes, in the order of the stream.

    Attributes:
        arrays: Each (H, W, 3).
        members: Where each of them comes from.
    """

    arrays: tuple[Array, ...]
    members: tuple[Member, ...]


class PackLimits(NamedTuple):
    """When a pack is full.

    Attributes:
        num_pixels: Most pixels, height times width summed; a single array may have more.
        num_arrays: Most arrays.
    """

    num_pixels: int
    num_arrays: int

    @classmethod
    def of(cls, batch_size: int | None, *, on_cpu: bool) -> "PackLimits":
        """Return the limits of a run: the views that were asked for, or the default's pixels."""
        if batch_size is not None:
            return cls(num_pixels=1 << 62, num_arrays=batch_size)
        num_tiles = default_batch_size(BUDGET_SHAPE, on_cpu=on_cpu)
        num_pixels = num_tiles * BUDGET_SHAPE[0] * BUDGET_SHAPE[1]
        return cls(num_pixels=num_pixels, num_arrays=64 if on_cpu else 1024)


def form_packs(samples: Iterable[Sequence[Array] | None], limits: PackLimits) -> Iterator[Pack]:
    """Yield packs of arrays, each as full as the limits allow; the last one as it is.

    Args:
        samples: Each with any number of (H, W, 3) arrays; a sample may straddle packs. None, which
            is not counted, ends a pack.
        limits: When a pack is full.
    """
    arrays: list[Array] = []
    members: list[Member] = []
    num_pixels = 0
    sample = -1
    for views in samples:
        if views is None:
            if arrays:
                yield Pack(tuple(arrays), tuple(members))
            arrays, members, num_pixels = [], [], 0
            continue
        sample += 1
        for position, array in enumerate(views):
            size = array.shape[0] * array.shape[1]
            is_over = num_pixels + size > limits.num_pixels or len(arrays) == limits.num_arrays
            if arrays and is_over:
                yield Pack(tuple(arrays), tuple(members))
                arrays, members, num_pixels = [], [], 0
            arrays.append(array)
            members.append(Member(sample, position))
            num_pixels += size
    if arrays:
        yield Pack(tuple(arrays), tuple(members))
