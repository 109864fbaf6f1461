"""Pixels from one process to another without copying them through a pipe: shared, reused, unnamed.

A worker writes an image's views into a slot (`SlotWriter`) and sends a `SlotRef`, with the slot's
descriptor when it is new; the parent maps each slot once and hands out arrays that lie in it
(`SlotReader`). When the last of an image's arrays is gone the slot is free, and the worker is told
with its next task. Slots have no name in any file system: when both processes are gone, however
they went, so is the memory.

In and out: uint8 arrays of any shape. This file knows nothing of images, processes or failures.
"""

import errno
import mmap
import os
import resource
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vtok.errors import OutputError

Pixels = npt.NDArray[np.uint8]
Shape = tuple[int, ...]

MIN_SLOT_BYTES = 1 << 20
MAX_IDLE_BYTES = 256 << 20
MAX_DESCRIPTORS = 16384
OTHER_DESCRIPTORS = 128
"""What a process has open besides slots: files, libraries, sockets and pipes of workers."""
_NO_LARGE_FILES = (
    "cannot write pixels to memory shared with decode workers: the limit on the size of a file "
    "(ulimit -f) holds for it too: raise it, or decode with --workers 0"
)


class SlotRef(NamedTuple):
    """Where the arrays of one image lie.

    Attributes:
        slot: The slot's number, counted by its worker.
        num_bytes: The slot's capacity.
        is_new: Whether its descriptor follows, because the parent has never seen it.
        shapes: The arrays' shapes; they lie one behind the other.
        retired: Numbers of slots that the worker has given up.
    """

    slot: int
    num_bytes: int
    is_new: bool
    shapes: tuple[Shape, ...]
    retired: tuple[int, ...] = ()


class _Slot(NamedTuple):
    number: int
    descriptor: int
    memory: mmap.mmap


class SlotWriter:
    """The worker's side: writes arrays into slots that nobody reads any more."""

    def __init__(self) -> None:
        self._idle: list[_Slot] = []
        self._lent: dict[int, _Slot] = {}
        self._num_slots = 0

    def write(self, arrays: Sequence[Pixels]) -> tuple[SlotRef, int | None]:
        """Copy the arrays into a slot; return where they are, and the descriptor if it is new.

        Raises:
            MemoryError: there is no room for a new slot.
            OutputError: the limit on the size of files forbids one, which no image is to blame for.
        """
        num_bytes = sum(array.nbytes for array in arrays)
        # The one that was freed last, of the smallest that fit: some of it may still be cached.
        fitting = [slot for slot in reversed(self._idle) if len(slot.memory) >= num_bytes]
        slot = min(fitting, key=lambda each: len(each.memory)) if fitting else None
        is_new = slot is None
        if slot is None:
            slot = self._new_slot(num_bytes)
        else:
            self._idle.remove(slot)
        offset = 0
        for array in arrays:
            np.frombuffer(slot.memory, np.uint8, array.nbytes, offset)[:] = array.reshape(-1)
            offset += array.nbytes
        self._lent[slot.number] = slot
        ref = SlotRef(
            slot=slot.number,
            num_bytes=len(slot.memory),
            is_new=is_new,
            shapes=tuple(array.shape for array in arrays),
            retired=self._retire(),
        )
        return ref, slot.descriptor if is_new else None

    def release(self, numbers: Iterable[int]) -> None:
        """Take slots back that the parent has no reference to any more."""
        self._idle += [self._lent.pop(number) for number in numbers]

    def _new_slot(self, num_bytes: int) -> _Slot:
        # Powers of two, so that images of about one size share slots; untouched pages cost nothing.
        capacity = max(MIN_SLOT_BYTES, 1 << (num_bytes - 1).bit_length())
        descriptor = anonymous_file()
        try:
            os.ftruncate(descriptor, capacity)
            memory = mmap.mmap(descriptor, capacity)
        except OSError as error:
            os.close(descriptor)
            if error.errno == errno.EFBIG:
                raise OutputError(_NO_LARGE_FILES) from error
            raise MemoryError(f"no room to share {num_bytes} bytes of pixels") from error
        slot = _Slot(self._num_slots, descriptor, memory)
        self._num_slots += 1
        return slot

    def _retire(self) -> tuple[int, ...]:
        """Give up idle slots, the largest first, until they hold no more than the limit."""
        retired = []
        self._idle.sort(key=lambda slot: len(slot.memory))
        while self._idle and sum(len(slot.memory) for slot in self._idle) > MAX_IDLE_BYTES:
            slot = self._idle.pop()
            slot.memory.close()
            os.close(slot.descriptor)
            retired.append(slot.number)
        return tuple(retired)


class SlotReader:
    """The parent's side: arrays that lie in one worker's slots, and which slots are free again.

    Args:
        max_slots: Each costs a descriptor, here and in the worker. Beyond so many, arrays are
            copied out and their slot is free at once.
    """

    def __init__(self, max_slots: int | None = None) -> None:
        self._max_slots = max_slots_a_worker() if max_slots is None else max_slots
        self._memories: dict[int, mmap.mmap] = {}
        self._alive: dict[
            int, tuple[weakref.ref[Pixels], int]
        ] = {}  # by identity: an array, its slot
        self._gone: list[weakref.ref[Pixels]] = []
        self._freed: list[int] = []

    def read(self, ref: SlotRef, descriptor: int | None) -> tuple[Pixels, ...]:
        """Return read-only arrays that lie in the slot; the slot is free once all are gone.

        Args:
            ref: Where the arrays are.
            descriptor: The slot's, if it is new; it is closed here.
        """
        for number in ref.retired:
            del self._memories[number]  # its pages go when its last array goes
        if descriptor is not None:
            try:
                self._memories[ref.slot] = mmap.mmap(descriptor, ref.num_bytes, prot=mmap.PROT_READ)
            finally:
                os.close(descriptor)
        whole = np.frombuffer(self._memories[ref.slot], np.uint8)
        if len(self._memories) > self._max_slots:
            whole = whole[: sum(map(prod, ref.shapes))].copy()
            whole.flags.writeable = False
            self._freed.append(ref.slot)
        else:
            # NumPy keeps the array that was cut as the base of every array cut from it, however
            # deep: it dies with the last of them. What is called then is no Python: an interrupt
            # that came up in it would be printed and forgotten.
            alive = weakref.ref(whole, self._gone.append)
            self._alive[id(alive)] = alive, ref.slot
        arrays = []
        offset = 0
        for shape in ref.shapes:
            num_bytes = prod(shape)
            arrays.append(whole[offset : offset + num_bytes].reshape(shape))
            offset += num_bytes
        return tuple(arrays)

    def take_freed(self) -> tuple[int, ...]:
        """Return the slots that became free since the last call, for the worker to use again."""
        freed, self._freed = self._freed, []
        while self._gone:  # the garbage collector may append from any thread meanwhile
            _, slot = self._alive.pop(id(self._gone.pop()))
            freed.append(slot)
        return tuple(freed)


@lru_cache(maxsize=1)
def max_slots_a_worker() -> int:
    """Return how many slots each worker may have by the limit on open files, which is raised.

    Systems begin with 256 or 1,024 open files and let a process have more if it asks.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS has a lower limit than the one it tells
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    num_free = (MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft) - OTHER_DESCRIPTORS
    return max(1, num_free // (os.cpu_count() or 1))


def anonymous_file() -> int:
    """Return a descriptor of memory (or of a deleted file) that no path leads to; close it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("vtok-pixels", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
