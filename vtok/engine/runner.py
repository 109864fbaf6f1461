"""The loop over a model: prepared images to tokens, and indices to images, in order.

In: outcomes of a preparation (usually a `DecodePool`, which works ahead in its own processes), and
a model. Out: one `EncodedSample` or `Failure` for each, in the same order. While the device
computes one batch the next one is stacked and sent. Knows nothing of shards, plans or commands.

Dimension letters: N tokens, D channels, H W pixels, h w latent grid.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from vtok.engine.arrangement import Arrangement
from vtok.engine.batching import WINDOW_BYTES, Shape, default_batch_size, form_batches
from vtok.engine.coding import DecodeForward, TokenizeForward
from vtok.engine.forward import Array, Forward, Result
from vtok.engine.lanes import Lanes
from vtok.engine.loop import Forms, Loop
from vtok.engine.packed import PackedForward, features_forward
from vtok.engine.packs import PackLimits, form_packs
from vtok.engine.preparation import ImageFacts, ImageTask, Outcome, Pixels
from vtok.engine.times import StageTimes
from vtok.errors import NonFiniteError
from vtok.models.base import Encoder, Tokenizer
from vtok.records import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedSample:
    """An image as tokens.

    Attributes:
        task: What was asked for.
        facts: What the image turned out to be; its plan names the views.
        arrays: View's name → indices (h, w) int64, or of the model's own shape, or features (N, D)
            float; in the plan's order.
    """

    task: ImageTask
    facts: ImageFacts
    arrays: Mapping[str, npt.NDArray[Any]]


class Runner:
    """A model that is ready to run, for one shard after another; what it learns on the way is kept.

    Args:
        forward: The model on its device.
        batch_size: Arrays a batch; None for as many as have `batch_pixels`.
        batch_pixels: Pixels a batch; None for `default_batch_size` of each shape.
        num_lanes: Threads that run it, of one core each; 0 for the caller's own.
        window_bytes: Of views that may wait for others of their shape.
        is_compiled: Compile the model for full batches, to which others are filled up; it must not
            be one that packs.
        times: Filled in on the way.
    """

    def __init__(
        self,
        forward: Forward,
        *,
        batch_size: int | None = None,
        batch_pixels: int | None = None,
        num_lanes: int = 0,
        window_bytes: int = WINDOW_BYTES,
        is_compiled: bool = False,
        times: StageTimes | None = None,
    ) -> None:
        self.times = times or StageTimes()
        self._lanes = Lanes(forward, num_lanes, self.times)
        self._arrangement = forward.arrangement
        on_cpu = forward.device.type == "cpu"
        self._form: Forms
        if isinstance(forward, PackedForward):
            limits = PackLimits.of(batch_size, on_cpu=on_cpu)
            if batch_size is None and batch_pixels is not None:
                limits = limits._replace(num_pixels=batch_pixels)
            self._form = partial(form_packs, limits=limits)
        else:
            sized = _BatchSize(batch_size, batch_pixels, forward)
            if is_compiled:
                forward.compile(sized)
            self._form = partial(
                form_batches, batch_size=sized, stack=self._lanes.stack, window_bytes=window_bytes
            )

    def encode(self, outcomes: Iterable[Outcome | None]) -> Iterator[EncodedSample | Failure]:
        """Yield the tokens of every image, in order; failures pass through.

        Args:
            outcomes: Views and failures. Batches are formed within this iterable alone, and do not
                cross a None, which nothing is yielded for; the model does not stop there.

        Raises:
            DeviceError: not even one view fits into the device's memory.
        """
        arrangement = self._arrangement

        def split(outcome: Outcome | None) -> tuple[_Subject, Sequence[Pixels]] | None:
            if outcome is None:
                return None
            # An image is parted from its views, so that their memory is free once in batches.
            if isinstance(outcome, Failure):
                return outcome, ()
            arrays = arrangement.arrays(outcome.facts.plan, outcome.views)
            return _Described(outcome.task, outcome.facts), arrays

        loop = Loop[_Subject](self._lanes, self._form, self.times)
        for subject, results in loop.run(map(split, outcomes)):
            yield subject if isinstance(subject, Failure) else _join(subject, results, arrangement)

    def decode(self, arrays: Iterable[Array]) -> Iterator[Result]:
        """Yield the result of every array, in order.

        Raises:
            ShardError: an index is not in the codebook, or the model gives no such arrays.
            DeviceError: not even one array fits into the device's memory.
        """
        samples: Iterator[tuple[None, Sequence[Array]]] = (
            (None, (array.astype(np.int64),)) for array in arrays
        )
        for finished in Loop[None](self._lanes, self._form, self.times).run(samples):
            yield finished.results[0]

    def close(self) -> None:
        """End the threads."""
        self._lanes.close()


def encode_indices(
    outcomes: Iterable[Outcome],
    tokenizer: Tokenizer,
    *,
    device: torch.device,
    batch_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    times: StageTimes | None = None,
) -> Iterator[EncodedSample | Failure]:
    """Yield the indices of every image, in order; failures pass through.

    Args:
        outcomes: Views and failures. Batches are formed within this iterable alone.
        tokenizer: Is moved to the device and put into evaluation mode.
        device: Where it runs.
        batch_size: Views a batch; None for `default_batch_size` of each shape.
        dtype: Of the encoder; the quantizer's search is in float32 always.
        times: Filled in on the way.

    Raises:
        DeviceError: not even one view fits into the device's memory.
    """
    forward = TokenizeForward(tokenizer, device=device, dtype=dtype)
    return Runner(forward, batch_size=batch_size, times=times).encode(outcomes)


def encode_features(
    outcomes: Iterable[Outcome],
    encoder: Encoder,
    *,
    device: torch.device,
    batch_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    times: StageTimes | None = None,
) -> Iterator[EncodedSample | Failure]:
    """Yield the features of every image, in order; failures pass through.

    Args:
        outcomes: Views and failures. Batches are formed within this iterable alone.
        encoder: Is moved to the device, converted to the dtype and put into evaluation mode.
        device: Where it runs.
        batch_size: Views a batch; None for `default_batch_size` of each shape.
        dtype: Of weights and features; bfloat16 features are handed on as float32.
        times: Filled in on the way.

    Raises:
        DeviceError: not even one view fits into the device's memory.
    """
    forward = features_forward(encoder, device=device, dtype=dtype)
    return Runner(forward, batch_size=batch_size, times=times).encode(outcomes)


def decode_indices(
    arrays: Iterable[npt.NDArray[Any]],
    tokenizer: Tokenizer,
    *,
    device: torch.device,
    batch_size: int | None = None,
    dtype: torch.dtype = torch.float32,
    times: StageTimes | None = None,
) -> Iterator[Pixels | NonFiniteError]:
    """Yield the image of every index array, in order.

    Args:
        arrays: Integers in [0, codebook_size), of any mixture of the shapes that the model gives.
        tokenizer: Is moved to the device and put into evaluation mode.
        device: Where it runs.
        batch_size: Arrays a batch; None for `default_batch_size` of the images' shapes.
        dtype: Of the decoder.
        times: Filled in on the way.

    Yields:
        (H, W, 3) uint8, or the error where the decoder's output is not finite.

    Raises:
        ShardError: an index is not in the codebook, or the model gives no such arrays.
        DeviceError: not even one array fits into the device's memory.
    """
    forward = DecodeForward(tokenizer, device=device, dtype=dtype)
    return Runner(forward, batch_size=batch_size, times=times).decode(arrays)


class _Described(NamedTuple):
    """A prepared image whose views are on their way through the model."""

    task: ImageTask
    facts: ImageFacts


_Subject = _Described | Failure


def _join(
    subject: _Described, results: Sequence[Result], arrangement: Arrangement
) -> EncodedSample | Failure:
    names = [view.name for view in subject.facts.plan.views]
    whole: list[Array] = []
    for name, result in zip(arrangement.names(names), results, strict=True):
        if isinstance(result, NonFiniteError):
            return subject.task.failure("model", result.reason, f"{name}: {result}")
        whole.append(result)
    arrays = dict(zip(names, arrangement.features(whole, len(names)), strict=True))
    return EncodedSample(task=subject.task, facts=subject.facts, arrays=arrays)


@dataclass(frozen=True, slots=True)
class _BatchSize:
    """The size of batches for a shape: what was asked for or found, or the default for the size."""

    asked_for: int | None
    batch_pixels: int | None
    forward: Forward

    def __call__(self, shape: Shape) -> int:
        image = self.forward.image_shape(shape)
        if self.asked_for is not None:
            return self.asked_for
        if self.batch_pixels is not None:
            return max(1, self.batch_pixels // (image[0] * image[1]))
        return default_batch_size(image, on_cpu=self.forward.device.type == "cpu")
