"""The images that a tokenizer learns from and is judged on: any input that vtok reads.

In: a source's items. Out: pixels by number, decoded when asked for, kept while there is room.
Knows nothing of crops, models or steps.
"""

from collections.abc import Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from vtok.errors import InputError, SampleError
from vtok.io.images import DecodeLimits, decode
from vtok.io.sources import Source, SourceItem
from vtok.quantities import counted

Pixels = npt.NDArray[np.uint8]

DEFAULT_CACHE_BYTES = 4 << 30


class Photographs(Sequence[Pixels]):
    """Images by number. One that cannot be decoded gives its place to the next one.

    Args:
        items: Where the images are.
        cache_bytes: Decoded pixels kept in memory; later images are decoded at each use.

    Attributes:
        failures: Source → why it could not be decoded, of those met so far.
    """

    def __init__(
        self, items: Sequence[SourceItem], *, cache_bytes: int = DEFAULT_CACHE_BYTES
    ) -> None:
        self._items = items
        self._limits = DecodeLimits()
        self._cache: dict[int, Pixels] = {}
        self._room_bytes = cache_bytes
        self.failures: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, number: int) -> Pixels: ...

    @overload
    def __getitem__(self, number: slice) -> "Photographs": ...

    def __getitem__(self, number: "int | slice") -> "Pixels | Photographs":
        """Return the pixels of an image, (H, W, 3) uint8, or a part of the images.

        Raises:
            InputError: no image at all can be decoded.
        """
        if isinstance(number, slice):
            return Photographs(self._items[number], cache_bytes=self._room_bytes)
        if not 0 <= number < len(self._items):
            raise IndexError(number)  # what ends an iteration
        for place in range(number, number + len(self._items)):
            pixels = self._decoded(place % len(self._items))
            if pixels is not None:
                return pixels
        first = next(iter(self.failures.values()), "there are none")
        if len(self._items) == 1:
            raise InputError(f"the only image cannot be decoded: {first}")
        images = counted(len(self._items), "image")
        raise InputError(f"none of the {images} can be decoded; the first: {first}")

    def source(self, number: int) -> str:
        """Return where an image comes from, as one line."""
        return self._items[number].source

    def _decoded(self, number: int) -> Pixels | None:
        if number in self._cache:
            return self._cache[number]
        item = self._items[number]
        if item.source in self.failures:
            return None
        try:
            pixels = np.asarray(decode(item.read(), self._limits).image)
        except SampleError as error:
            self.failures[item.source] = str(error)
            return None
        if pixels.nbytes <= self._room_bytes:
            self._room_bytes -= pixels.nbytes
            self._cache[number] = pixels
        return pixels


def split_photographs(source: Source, *, holdout: int) -> tuple[Photographs, Photographs]:
    """Return the images to learn from and the last ones, never learnt from, to judge by.

    Args:
        source: Listed in its own order, which is that of the names.
        holdout: Most images to hold out; at most a tenth of all, at least one.

    Raises:
        InputError: there are fewer than two images.
    """
    items = list(source.list())
    if len(items) < 2:
        raise InputError(f"{source.name}: training needs at least two images, one to judge by")
    held_out = max(1, min(holdout, len(items) // 10))
    return Photographs(items[:-held_out]), Photographs(items[-held_out:])
