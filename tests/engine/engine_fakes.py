"""Stand-ins that worker processes can import: items in memory, preparations that misbehave."""

import ctypes
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from vtok.engine.preparation import ImageTask, Outcome, Preparation
from vtok.errors import UnreadableImageError
from vtok.io.sources import SourceItem
from vtok.resolution import SchemeOptions, resolve


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """A smooth gradient with some noise: (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[0:height, 0:width]
    waves = [
        128 + 90 * np.sin(rows / (7 + seed % 5) + phase) * np.cos(cols / 9 + phase)
        for phase in (0, 1, 2)
    ]
    noisy = np.stack(waves, -1) + rng.normal(0, 8, (height, width, 3))
    return noisy.clip(0, 255).astype(np.uint8)


class MemoryItem(SourceItem):
    """An image (or whatever the bytes are) under a name."""

    __slots__ = ("_data", "_name", "mtime_ns", "size_bytes")

    def __init__(self, name: str, data: bytes | None) -> None:
        self._name = name
        self._data = data
        self.size_bytes = -1
        self.mtime_ns = 0

    @property
    def source(self) -> str:
        return self._name

    @property
    def location(self) -> str:
        return self._name

    def read(self, *, max_bytes: int | None = None) -> bytes:
        if self._data is None:
            raise UnreadableImageError(f"cannot read {self._name}:\nno such file")
        return self._data

    def read_sidecars(self) -> dict[str, bytes]:
        return {"txt": self._name.encode()}

    def digest_line(self) -> bytes:
        return self._name.encode()


def task(index: int, data: bytes | None) -> ImageTask:
    return ImageTask(index=index, key=f"{index:06d}", item=MemoryItem(f"image-{index}", data))


def png_task(index: int, height: int = 40, width: int = 60) -> ImageTask:
    buffer = BytesIO()
    Image.fromarray(picture(height, width, index)).save(buffer, "PNG")
    return task(index, buffer.getvalue())


def png_tasks(count: int) -> list[ImageTask]:
    return [png_task(index, 30 + index % 4 * 20, 90 - index % 3 * 25) for index in range(count)]


def small_preparation(**kwargs: bool) -> Preparation:
    """Tiles of 28 pixels, at most 6, and a thumbnail."""
    return Preparation(
        scheme=resolve("closest", SchemeOptions(tile_size_px=28, max_tiles=6)), **kwargs
    )


@dataclass(frozen=True)
class Misbehaving:
    """Does what it is told to at one index, and prepares every other image.

    Attributes:
        index: Where to misbehave.
        how: The name of a method below.
        mark: A file that is made first; nothing goes wrong once it is there (None: always wrong).
    """

    index: int
    how: str
    mark: Path | None = None

    def prepare(self, task: ImageTask) -> Outcome:
        if task.index == self.index and not (self.mark and self.mark.exists()):
            if self.mark:
                self.mark.touch()
            getattr(self, self.how)()
        return small_preparation().prepare(task)

    def hang(self) -> None:
        time.sleep(3600)

    def hang_in_a_decoder(self) -> None:
        """Never come back to Python, as a C library's endless loop would not."""
        ctypes.PyDLL(None).sleep(3600)

    def segfault(self) -> None:
        ctypes.string_at(0)

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def leave(self) -> None:
        os._exit(0)

    def divide(self) -> None:
        _ = 1 / 0

    def be_unpicklable(self) -> None:
        class LocalError(Exception):
            pass

        raise LocalError("made here")

    def take_memory(self) -> None:
        _ = np.ones(4 << 30, np.uint8)


@dataclass(frozen=True)
class Pausing:
    """Takes a moment over its first image, and says so by a file."""

    mark: Path

    def prepare(self, task: ImageTask) -> Outcome:
        if task.index == 0:
            self.mark.touch()
            time.sleep(0.3)
        return small_preparation().prepare(task)


@dataclass(frozen=True)
class Probing:
    """Reports from inside the worker, in the place where conversions are."""

    what: str

    def prepare(self, task: ImageTask) -> Outcome:
        outcome = small_preparation().prepare(task)
        found = str(getattr(self, self.what)())
        return replace(outcome, facts=replace(outcome.facts, conversions=(found,)))

    def heavy_modules(self) -> list[str]:
        heavy = {"torch", "transformers", "webdataset", "diffusers", "pyarrow", "scipy", "fsspec"}
        return sorted(heavy & set(sys.modules))

    def interrupt_handler(self) -> bool:
        return signal.getsignal(signal.SIGINT) is signal.SIG_IGN

    def limits(self) -> tuple[int, int]:
        return resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_CORE)[
            0
        ]

    def peak_bytes(self) -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
