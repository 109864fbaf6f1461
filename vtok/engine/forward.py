"""One batch through a model: launched, then finished; smaller when the device's memory is short.

In: a stack of equally shaped arrays. Out: for each, the model's result on the host, or the error
that this one alone met. `launch` does not wait for the device, so that one batch can be prepared
while another computes. This file knows no sample, view or file.

Dimension letters: B batch, N tokens, D channels, H W pixels, h w latent grid.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vtok.engine.arrangement import APART, TOGETHER, Arrangement
from vtok.engine.compiled import Compiled, Function
from vtok.engine.device import to_pixels
from vtok.errors import DeviceError, NonFiniteError
from vtok.models.base import Encoder, Tokenizer

Array = npt.NDArray[Any]
Inputs = Array | Sequence[Array]
"""A stack of equally shaped arrays, or arrays of any shapes for a forward that packs them."""
Result = Array | NonFiniteError


class Launched(NamedTuple):
    """What a device is computing.

    Attributes:
        values: (B, ...) on the host, not to be read before `event`.
        is_finite: (B,) bool, likewise: whether each of the values means anything.
        event: Has passed once both are there; None where they are already.
        lengths: Rows of the values that each result has, where they lie end to end; empty where
            each result is one.
    """

    values: Tensor
    is_finite: Tensor
    event: torch.cuda.Event | None
    lengths: tuple[int, ...] = ()


class Forward(ABC):
    """A model on a device, from arrays to arrays.

    Args:
        model: Is moved to the device and put into evaluation mode.
        function: The part of the model in which all the work is; what `compile` compiles.
        device: Where it runs.
        dtype: What it computes in.

    Attributes:
        arrangement: How the views of an image are given to it.
        is_half: Whether results leave as float16, where all numbers of one fit; others leave as
            they are.
        remedy: What else helps where the memory is too short, for messages.
    """

    arrangement: Arrangement = APART
    is_half = False
    remedy: str = ""

    def __init__(
        self,
        model: Tokenizer | Encoder,
        function: Function,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        model.eval().to(device)
        self.function = function
        self.device = device
        self.dtype = dtype
        self._rows: Callable[[tuple[int, ...]], int] | None = None
        self._most: dict[Hashable, int] = {}
        self._copies: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    @abstractmethod
    def compute(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the model's results (B, ...) and (B,) bool, whether each is finite.

        Args:
            inputs: (B, ...) on the host or the device.
        """

    def image_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape (H, W, 3) of the image that an array of this shape stands for."""
        return shape

    @torch.inference_mode()
    def launch(self, arrays: Inputs) -> list[Launched | NonFiniteError]:
        """Start computing; return one entry for each part that the batch was cut into.

        A batch that does not fit into the device's memory is halved, and so is every later one of
        its shape. What the model refuses as not finite is halved until the culprit is alone.

        Args:
            arrays: (B, ...), contiguous; or as the forward packs them.

        Raises:
            DeviceError: not even one array fits.
        """
        parts: list[Launched | NonFiniteError] = []
        todo: list[Any] = [arrays]
        while todo:
            part = todo.pop()
            most = self._most.get(self.kind(part), len(part))
            if len(part) <= most:
                outcome = self._try(part)
                if outcome is not None and (isinstance(outcome, Launched) or len(part) == 1):
                    parts.append(outcome)
                    continue
                most = len(part) // 2
                if outcome is None and self._make_room(part, most):
                    todo.append(part)
                    continue
            todo += [part[most:], part[:most]]
        return parts

    def finish(self, parts: list[Launched | NonFiniteError]) -> list[Result]:
        """Wait for the device; return one result for each array of the batch, in order."""
        results: list[Result] = []
        for part in parts:
            if isinstance(part, NonFiniteError):
                results.append(part)
                continue
            if part.event is not None:
                part.event.synchronize()
            values = part.values.float() if part.values.dtype == torch.bfloat16 else part.values
            rows = torch.split(values, list(part.lengths)) if part.lengths else values
            for value, is_finite in zip(rows, part.is_finite.tolist(), strict=True):
                results.append(
                    self._as_wanted(value).numpy()
                    if is_finite
                    else NonFiniteError(f"the model's output is NaN or infinite{self._advice()}")
                )
        return results

    def _as_wanted(self, value: Tensor) -> Tensor:
        """Return a result (...) as it leaves: rounded here, in a fraction of NumPy's time."""
        if not self.is_half:
            return value
        narrow = value.half()
        return narrow if finite_rows(narrow.unsqueeze(0)).item() else value

    def _advice(self) -> str:
        half = self.dtype == torch.float16
        return ", in fp16: --compute-dtype bf16 has a wider range" if half else ""

    def kind(self, part: Any) -> Hashable:
        """Return what batches have in common of which equally many fit into the memory."""
        return part.shape[1:]  # type: ignore[no-any-return]

    def compile(self, rows: Callable[[tuple[int, ...]], int]) -> None:
        """Have the model compiled, for batches of one size a shape.

        Args:
            rows: Shape of an array → arrays a batch; smaller batches are filled up to so many.

        Raises:
            DeviceError: this machine has nothing to compile with.
        """
        self.function = Compiled(self.function, self.device)
        self._rows = rows

    def start(self, part: Any) -> Launched:
        """Send a batch to the device and have it computed."""
        values, is_finite = self.compute(self.send(self._filled(torch.from_numpy(part))))
        return self.bring_home(values[: len(part)], is_finite[: len(part)])

    def _filled(self, inputs: Tensor) -> Tensor:
        """Return the inputs, where the model is compiled with copies of the last to the full size.

        A part of a batch that did not fit is filled to what fits.
        """
        if self._rows is None:
            return inputs
        rows = self._rows(tuple(inputs.shape[1:]))
        missing = min(rows, self._most.get(self.kind(inputs), rows)) - len(inputs)
        if missing <= 0:
            return inputs
        return torch.cat((inputs, inputs[-1:].expand(missing, *inputs.shape[1:])))

    def _try(self, part: Any) -> Launched | NonFiniteError | None:
        """Return None where the device's memory is too short."""
        try:
            return self.start(part)
        except torch.OutOfMemoryError:
            return None
        except NonFiniteError as error:
            return NonFiniteError(str(error))  # without its frames, which hold on to memory

    def stack(self, arrays: Sequence[Array]) -> Array:
        """Return the arrays in one, (B, ...), in memory that the device can read by itself."""
        if self.device.type != "cuda":
            return np.stack(arrays)
        first = arrays[0]
        room = torch.empty(
            (len(arrays), *first.shape), dtype=torch.from_numpy(first[:0]).dtype, pin_memory=True
        ).numpy()
        return np.stack(arrays, out=room)

    def send(self, inputs: Tensor) -> Tensor:
        """Return the inputs on the device; to a GPU they travel while it is at the last batch."""
        if self._copies is None:
            return inputs
        if not inputs.is_pinned():
            inputs = inputs.pin_memory()
        with torch.cuda.stream(self._copies):
            sent = inputs.to(self.device, non_blocking=True)
        now = torch.cuda.current_stream(self.device)
        now.wait_stream(self._copies)
        sent.record_stream(now)  # its memory is not given away before the model has read it
        return sent

    def bring_home(self, values: Tensor, is_finite: Tensor) -> Launched:
        """Send results home; they are not waited for."""
        if self.device.type != "cuda":
            return Launched(values.cpu(), is_finite.cpu(), None)
        home = [
            torch.empty_like(each, device="cpu", pin_memory=True).copy_(each, non_blocking=True)
            for each in (values, is_finite)
        ]
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self.device))
        return Launched(home[0], home[1], event)

    def take_less(self, part: Any) -> bool:
        """Use less memory for inputs of this shape from now on, with the same results.

        Returns:
            Whether that can be done.
        """
        return False

    def _make_room(self, part: Any, most: int) -> bool:
        """Make later batches smaller; return whether this one fits now as it is."""
        is_alone = most == 0
        if is_alone and not self.take_less(part):
            what = "x".join(map(str, part[0].shape))
            raise DeviceError(
                f"{self.device} has too little memory for a single input of {what}: "
                f"use smaller views{self.remedy}, another --compute-dtype or another --device"
            )
        if not is_alone:
            self._most[self.kind(part)] = most
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return is_alone


class FeaturesForward(Forward):
    """(B, H, W, 3) uint8 → (B, N, D) float features; bfloat16 ones come home as float32.

    The encoder's weights themselves are converted to the dtype: faster than autocast, and where it
    is done at all, as accurate.
    """

    def __init__(self, encoder: Encoder, *, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(encoder, encoder.features, device=device, dtype=dtype)
        self.encoder = encoder.to(dtype)
        if encoder.spec.reads_tiles_together:
            self.arrangement = TOGETHER

    def compute(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return features, and whether they are finite."""
        spec = self.encoder.spec
        pixels = to_pixels(inputs, spec.pixels, device=self.device, dtype=self.dtype)
        features = self.function(pixels)
        return features, finite_rows(features)


_BITS = {
    torch.float16: (torch.int16, 0x7FFF, 0x7C00),
    torch.bfloat16: (torch.int16, 0x7FFF, 0x7F80),
    torch.float32: (torch.int32, 0x7FFFFFFF, 0x7F800000),
}
"""Of a dtype: the integers of its length, all bits but the sign, and those of infinity."""


def finite_rows(values: Tensor) -> Tensor:
    """Return (B,) bool: whether all numbers of (B, ...) values are finite, each B by itself.

    Of NaN and infinity all bits of the exponent are set: their bits are the largest. To look for
    the largest takes a thirtieth of the time of `isfinite` on a CPU.
    """
    if values.dtype not in _BITS or not values.numel():
        return values.isfinite().flatten(1).all(1)
    integers, magnitude, infinity = _BITS[values.dtype]
    bits = values.view(integers).bitwise_and(magnitude)
    return bits.flatten(1).amax(1) < infinity
