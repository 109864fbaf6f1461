"""Samples of indices to pictures, in order: what becomes of a sample's views, and what fails.

In: samples, what each is to become, and a model that runs. Out: the pixels of every picture, or a
failure. Knows nothing of where pictures go.
"""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vtok.engine.runner import Runner
from vtok.errors import ImageTooLargeError, NonFiniteError, SampleError
from vtok.interruption import raise_if_interrupted
from vtok.pipelines.decoding.restore import Pixels, plan_of, restore
from vtok.pipelines.decoding.survey import Decoded, Picture, ordered_views
from vtok.pipelines.outputs.pictures import ImageCodec
from vtok.records import Failure, Stage
from vtok.shards.samples import Sample

Array = npt.NDArray[Any]


class Shown(NamedTuple):
    """A sample that has become pictures.

    Attributes:
        sample: It, with its indices.
        target: What it was to become.
        pictures: Each with its pixels, in the target's order.
    """

    sample: Sample
    target: Decoded
    pictures: tuple[tuple[Picture, Pixels], ...]


def decode_samples(
    samples: Iterable[Sample], targets: Sequence[Decoded], runner: Runner, codec: ImageCodec
) -> Iterator[Shown | Failure]:
    """Yield the pictures of every sample, in order.

    Args:
        samples: As many as there are targets, or more, which are left alone.
        targets: What each is to become. Batches are formed within them alone.
        runner: Runs the model.
        codec: Says which pictures cannot be written.

    Raises:
        ShardError: an index is not in the codebook, or a plan not that of its views.
        DeviceError: not even one array fits into the device's memory.
    """
    waiting: deque[Sample] = deque()

    def arrays() -> Iterator[Array]:
        for sample in itertools.islice(samples, len(targets)):
            waiting.append(sample)
            for view in ordered_views(sample, plan_of(sample.meta, sample.key)):
                yield sample.indices[view]

    results = runner.decode(arrays())
    remaining = iter(targets)
    while (first := next(results, None)) is not None:
        sample, target = waiting.popleft(), next(remaining)
        views = [first, *itertools.islice(results, len(sample.indices) - 1)]
        errors = [view for view in views if isinstance(view, NonFiniteError)]
        raise_if_interrupted()
        if errors:
            yield _failure(sample, target, "model", errors[0])
            continue
        pictures = _pictures(sample, target, [np.asarray(view) for view in views])
        try:
            for _, pixels in pictures:
                codec.check(pixels)
        except ImageTooLargeError as error:
            yield _failure(sample, target, "write", error)
            continue
        yield Shown(sample, target, pictures)


def _pictures(
    sample: Sample, target: Decoded, views: Sequence[Pixels]
) -> tuple[tuple[Picture, Pixels], ...]:
    """Return the pixels of every picture of a sample."""
    plan = plan_of(sample.meta, sample.key)
    names = ordered_views(sample, plan)
    pictures = []
    for picture in target.pictures:
        if picture.view is not None:
            pictures.append((picture, views[names.index(picture.view)]))
        else:
            whole = views[0] if plan is None else restore(plan, views, key=sample.key)
            pictures.append((picture, whole))
    return tuple(pictures)


def _failure(sample: Sample, target: Decoded, stage: Stage, error: SampleError) -> Failure:
    return Failure(
        key=sample.key,
        source=target.origin.source or "",
        stage=stage,
        reason=error.reason,
        message=str(error),
    )
