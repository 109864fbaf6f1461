"""A disk that fails at the n-th operation: the process is killed, interrupted, or told an error.

In: a fault and the number of the operation that it happens at. Every operation that changes the
file system and is made from Python is counted: files created, written (a large write is several
operations, as it is for the kernel), synced and truncated; names made, moved and removed; folders
made. Patched are the standard library's own functions, of one process, for good: call `install` in
a process that is there for nothing else. Programs are not changed, and do not know.
"""

import builtins
import errno
import fcntl
import io
import mmap
import os
import signal
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

KINDS = ("kill", "torn", "enospc", "eio", "sigint", "sigterm", "twice")
"""kill: SIGKILL before the operation; torn: in the midst of it, half of a write done; enospc: the
disk is full from here on; eio: this one operation fails; sigint, sigterm: the signal comes right
after it; twice: so does SIGINT, and again at the next operation."""

POWER = "power"
"""The file system forgets what was not synced, as when the power goes: for ext4, as root."""
_EXT4_IOC_SHUTDOWN = 0x8004587D
_WITHOUT_LOG_FLUSH = struct.pack("I", 2)

OPERATIONS = ("create", "write", "sync", "rename", "remove", "mkdir", "truncate")
MAX_OPERATIONS = 1 << 16
_NEEDS_SPACE = {"create", "write", "sync", "rename", "mkdir"}
_SIGNALS = {"sigint": signal.SIGINT, "sigterm": signal.SIGTERM, "twice": signal.SIGINT}


def is_another_fault(kind: str, operation: str) -> bool:
    """Tell whether a fault at such an operation is another one than at the next operation."""
    if kind == "torn":  # what is done whole, and then killed, is killed before the next
        return operation == "write"
    return kind != "enospc" or operation in _NEEDS_SPACE


class Counter:
    """How many operations there were, and which: read by another process.

    The first 8 bytes of shared memory are the count; the next byte is the number, in `OPERATIONS`,
    of the one that the fault struck; those of all operations follow.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, MAX_OPERATIONS)  # shared with the processes forked from here

    def reset(self) -> None:
        self._memory[:9] = bytes(9)

    def add(self, operation: str) -> int:
        count = self.count + 1
        self._memory[:8] = count.to_bytes(8, "little")
        self._memory[8 + count] = OPERATIONS.index(operation)
        return count

    def strike(self, operation: str) -> None:
        self._memory[8] = OPERATIONS.index(operation)

    @property
    def count(self) -> int:
        return int.from_bytes(self._memory[:8], "little")

    @property
    def operations(self) -> list[str]:
        return [OPERATIONS[number] for number in self._memory[9 : 9 + self.count]]

    @property
    def struck(self) -> str:
        return OPERATIONS[self._memory[8]]


class FaultyDisk:
    """Counts the operations of this process and does the fault when its turn has come."""

    def __init__(self, counter: Counter, kind: str | None, at: int, mount: str) -> None:
        assert kind is None or kind in (*KINDS, POWER)
        self._mount = mount
        self._counter = counter
        self._kind = kind
        self._at = at
        self._is_full = False
        self._lock = threading.RLock()

    def before(self, operation: str) -> Callable[[], None] | None:
        """Count an operation; return what is to be done in its midst, or after it, if anything."""
        with self._lock:
            count = self._counter.add(operation)
            if self._is_full and operation in _NEEDS_SPACE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._kind == "twice" and count == self._at + 1:
                os.kill(os.getpid(), signal.SIGINT)
            if self._kind is None or count != self._at:
                return None
            self._counter.strike(operation)
            if self._kind == "kill":
                die()
            if self._kind == POWER:
                self._shut_down()
                return None
            if self._kind in _SIGNALS:
                return self.interrupt
            if self._kind == "torn":
                return die
            if self._kind == "enospc":
                if operation not in _NEEDS_SPACE:
                    self._is_full = True
                    return None
                return self._fill
            return _fail

    def interrupt(self) -> None:
        """Send this process the signal; Python raises it at once, here."""
        assert self._kind is not None
        os.kill(os.getpid(), _SIGNALS[self._kind])

    def _shut_down(self) -> None:
        descriptor = os.open(self._mount, os.O_RDONLY)
        fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, _WITHOUT_LOG_FLUSH)
        os.close(descriptor)

    def _fill(self) -> None:
        self._is_full = True
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def install(self) -> None:
        """Put this disk under everything that this process does from now on."""
        opener = io.open

        def open_(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            if not set(mode) & set("wxa+") or "b" not in mode:
                return opener(file, mode, *args, **options)
            midst = None if isinstance(file, int) else self.before("create")
            if midst != self.interrupt:
                _do(midst)
            raw = _RawFile(self, file, mode.replace("b", ""))
            if midst == self.interrupt:
                _do(midst)  # the file is there, and nobody has a name for it
            return io.BufferedWriter(raw) if "+" not in mode else io.BufferedRandom(raw)

        io.open = open_  # type: ignore[assignment]
        builtins.open = open_  # type: ignore[assignment]
        for name, operation in [
            ("fsync", "sync"), ("replace", "rename"), ("rename", "rename"), ("unlink", "remove"),
            ("remove", "remove"), ("rmdir", "remove"), ("mkdir", "mkdir"),
            ("ftruncate", "truncate"), ("pwrite", "write"),
        ]:  # fmt: skip
            setattr(os, name, self._wrapped(getattr(os, name), operation))
        plain = os.open

        def os_open(path: Any, flags: int, *args: Any, **options: Any) -> int:
            midst = self.before("create") if flags & os.O_CREAT else None
            _do(midst)
            return plain(path, flags, *args, **options)

        os.open = os_open

    def _wrapped(self, function: Callable[..., Any], operation: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            midst = self.before(operation)
            if midst is die:
                with suppress(FileExistsError):  # it happened, and nobody lived to hear of it
                    function(*args, **options)
            if midst != self.interrupt:
                _do(midst)
                return function(*args, **options)
            try:
                return function(*args, **options)
            finally:
                _do(midst)  # in another thread than the main one, it goes on from here

        return call


class _RawFile(io.FileIO):
    """A file whose writes are counted; in the midst of one, half of its bytes are there."""

    def __init__(self, disk: FaultyDisk, file: Any, mode: str) -> None:
        super().__init__(file, mode)
        self._disk = disk

    def write(self, data: Any) -> int:
        midst = self._disk.before("write")
        if midst is None:
            return super().write(data)
        view = memoryview(data).cast("B")
        done = super().write(view[: len(view) // 2])
        midst()
        return done + super().write(view[done:])


def die() -> None:
    """End this process as the kernel would."""
    os.kill(os.getpid(), signal.SIGKILL)


def _fail() -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def _do(action: Callable[[], None] | None) -> None:
    if action is not None:
        action()
