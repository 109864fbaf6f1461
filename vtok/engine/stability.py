"""How much of a tokenizer's output depends on how it is run: batch size, precision, device.

In: equally large images. Out: for every way of running, how many indices differ from those of one
image at a time in float32 on the same device, and how far latents moved. Knows no files.

Dimension letters: N images, H W pixels, B batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from vtok.engine.device import resolve_device, to_pixels
from vtok.engine.precision import float32_as
from vtok.models.base import Tokenizer

Pixels = npt.NDArray[np.uint8]
_Outputs = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]

MAX_LISTED = 1000


class ChangedIndex(NamedTuple):
    """One index that is another one.

    Attributes:
        image: Which image, from 0.
        position: Place of the index in the flattened array of that image.
        before: What it is one image at a time in float32.
        after: What it became.
    """

    image: int
    position: int
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way of running, against one image at a time in float32.

    Attributes:
        device: Where.
        compute_dtype: `float32`, `tf32`, `bfloat16` or `float16`.
        batch_size: Images at once.
        num_changed: Indices that differ.
        num_indices: Of how many.
        largest_move: Largest difference of any latent; in float32, a changed index was so near a
            tie that this much tipped it, or is close to one that was, where codes are chosen with
            regard to their neighbours.
        changed: The first of them.
    """

    device: str
    compute_dtype: str
    batch_size: int
    num_changed: int
    num_indices: int
    largest_move: float
    changed: tuple[ChangedIndex, ...]

    @property
    def share(self) -> float:
        """Share of the indices that differ, in [0, 1]."""
        return self.num_changed / self.num_indices


def devices_to_compare(name: str) -> list[torch.device]:
    """Return the device of a name, and the CPU beside it where it is another one.

    Raises:
        UnknownNameError: there is no such kind of device.
        DeviceError: this machine has none, or not so many.
    """
    device = resolve_device(name)
    return [device] if device.type == "cpu" else [device, torch.device("cpu")]


def measure(tokenizer: Tokenizer, images: Pixels, devices: list[torch.device]) -> Iterator[Way]:
    """Yield every way that this machine has of running a tokenizer.

    Args:
        tokenizer: Is moved from device to device.
        images: (N, H, W, 3), of a size that the tokenizer takes.
        devices: The first is what all others are compared with.
    """
    reference = _outputs(tokenizer, images, devices[0], 1, "float32")
    for device in devices:
        for size in _batch_sizes(len(images)):
            if device is devices[0] and size == 1:
                continue
            outputs = _outputs(tokenizer, images, device, size, "float32")
            yield _compared(reference, outputs, device, size, "float32")
        lower = ["bfloat16", "float16"]
        for dtype in ["tf32", *lower] if device.type == "cuda" else lower:
            outputs = _outputs(tokenizer, images, device, 1, dtype)
            yield _compared(reference, outputs, device, 1, dtype)


def _batch_sizes(num_images: int) -> list[int]:
    """Return 1, 2, 4, ... and all at once."""
    powers = [1 << power for power in range(num_images.bit_length()) if 1 << power < num_images]
    return [*powers, num_images]


@torch.inference_mode()
def _outputs(
    tokenizer: Tokenizer, images: Pixels, device: torch.device, batch_size: int, dtype: str
) -> _Outputs:
    """Return indices (N, ...) and latents (N, ...) on the host."""
    tokenizer.eval().to(device)
    lower = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(dtype)
    indices, latents = [], []
    with float32_as("tf32" if dtype == "tf32" else "ieee"):
        for start in range(0, len(images), batch_size):
            batch = torch.from_numpy(images[start : start + batch_size])
            pixels = to_pixels(batch, tokenizer.spec.pixels, device=device)
            with torch.autocast(device.type, lower, enabled=lower is not None):
                encoded = tokenizer.encode(pixels)
            encoded = encoded.float()
            indices.append(tokenizer.quantize(encoded).cpu().numpy())
            latents.append(encoded.cpu().numpy())
    return np.concatenate(indices), np.concatenate(latents)


def _compared(
    reference: _Outputs, outputs: _Outputs, device: torch.device, batch_size: int, dtype: str
) -> Way:
    before = reference[0].reshape(len(reference[0]), -1)  # (N, indices)
    after = outputs[0].reshape(before.shape)
    places = np.argwhere(before != after)
    return Way(
        device=str(device),
        compute_dtype=dtype,
        batch_size=batch_size,
        num_changed=len(places),
        num_indices=before.size,
        largest_move=float(np.abs(reference[1] - outputs[1]).max()),
        changed=tuple(
            ChangedIndex(
                int(image), int(place), int(before[image, place]), int(after[image, place])
            )
            for image, place in places[:MAX_LISTED]
        ),
    )
