"""Local files: written whole or not at all, hashed on the way, one writer per folder.

In: paths and bytes. Out: files that are either absent or complete and durable, and their SHA-256.
This file does not know what the bytes mean, nor of remote storage (`vtok.io.remote`).

The order is that of a transaction: a temporary file in the same folder, its bytes, fsync, rename,
fsync of the folder. A crash at any point leaves the old state or the new one, and at most a file
named `.<name>.<random>.partial` that no reader takes for anything.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import BinaryIO

from vtok.errors import OutputError

PARTIAL_SUFFIX = ".partial"
LOCK_NAME = ".vtok.lock"
Buffer = bytes | bytearray | memoryview
_CHUNK_BYTES = 1 << 20
_BESIDE_BYTES = 1 << 19  # from here on hashing, a core's work, goes on beside writing
_ADVICE = {
    errno.ENOSPC: "no space left: free some and run the same command again",
    errno.EDQUOT: "the disk quota is used up: free some and run the same command again",
    errno.EFBIG: "the limit on the size of a file (ulimit -f, or the disk's) is reached: raise it "
    "and run the same command again",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.ENOENT: "its folder does not exist",
}


class HashingWriter:
    """A binary file that counts and hashes what is written to it.

    Attributes:
        num_bytes: Bytes written so far.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._hash = hashlib.sha256()
        self._beside: _HashThread | None = None
        self.num_bytes = 0

    def write(self, data: Buffer) -> int:
        """Append the bytes; return how many. They are done with when this returns.

        Raises:
            OutputError: there is no space for them, or the disk fails.
        """
        view = memoryview(data).cast("B")
        if view.nbytes < _BESIDE_BYTES:
            with _output_errors(self._path):
                self._file.write(view)
            self._hash.update(view)
        else:
            if self._beside is None:
                self._beside = _HashThread(self._hash.update)
            self._beside.begin(view)
            with _output_errors(self._path):
                self._file.write(view)
            self._beside.wait()
        self.num_bytes += view.nbytes
        return view.nbytes

    def end(self) -> None:
        """End the thread that hashes, if there is one; nothing is written from here on."""
        if self._beside is not None:
            self._beside.end()

    def flush(self) -> None:
        """Hand what is buffered to the operating system."""
        with _output_errors(self._path):
            self._file.flush()

    def tell(self) -> int:
        """Return the position, which is always the end."""
        return self.num_bytes

    @property
    def sha256(self) -> str:
        """The digest, in hexadecimal, of what has been written so far."""
        return self._hash.hexdigest()


class _HashThread:
    """A thread that hashes one piece while its caller writes it.

    Not an executor, whose futures take as much time for a piece as a tenth of a megabyte does.
    """

    def __init__(self, update: Callable[[memoryview], None]) -> None:
        self._update = update
        self._pieces: SimpleQueue[memoryview | None] = SimpleQueue()
        self._hashed: SimpleQueue[None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="vtok-hash", daemon=True)
        self._thread.start()

    def begin(self, piece: memoryview) -> None:
        self._pieces.put(piece)

    def wait(self) -> None:
        self._hashed.get()

    def end(self) -> None:
        self._pieces.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._update(piece)
            self._hashed.put(None)


@contextmanager
def atomic_writer(path: str | os.PathLike[str]) -> Iterator[HashingWriter]:
    """Open a file for writing that appears under its name only when the block ends well.

    On any exception, an interrupt included, the temporary file is removed and whatever was at
    `path` stays as it was. The writer's `sha256` and `num_bytes` hold after the block too.

    Raises:
        OutputError: the file cannot be written (no space, no permission, no folder).
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}{PARTIAL_SUFFIX}")
    file: BinaryIO | None = None
    writer: HashingWriter | None = None
    try:  # from before the file is there: an interrupt may come before it has a name here
        with _output_errors(target):
            file = temporary.open("xb")
        writer = HashingWriter(file, target)
        yield writer
        with _output_errors(target):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            temporary.replace(target)
    except BaseException:
        with suppress(OSError):  # closing flushes, which fails again on a full disk
            if file is not None:
                file.close()
        with suppress(OSError):
            temporary.unlink()
        raise
    finally:
        if writer is not None:
            writer.end()
    with _output_errors(target):
        sync_folder(target.parent)


def write_bytes(path: str | os.PathLike[str], data: Buffer) -> str:
    """Write a file atomically; return its SHA-256 in hexadecimal.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_writer(path) as file:
        file.write(data)
    return file.sha256


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create a folder and its parents durably where they are missing; return it.

    Raises:
        OutputError: it cannot be created, or a file is in the way.
    """
    folder = Path(path)
    with _output_errors(folder):
        missing = [each for each in [folder, *folder.parents] if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for each in missing:
            sync_folder(each.parent)
    return folder


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Make the names in a folder durable (fsync of the folder itself)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync a folder and say so; nothing more can be done there.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def remove_partials(folder: str | os.PathLike[str]) -> int:
    """Remove temporary files that a killed run left in a folder; return how many.

    Call it under the folder's lock only: a file of a living writer looks the same.
    """
    with _output_errors(Path(folder)):
        partials = [
            entry.path
            for entry in os.scandir(folder)
            if entry.name.startswith(".") and entry.name.endswith(PARTIAL_SUFFIX)
        ]
        for partial in partials:
            Path(partial).unlink()
    return len(partials)


@contextmanager
def folder_lock(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold the only lock of an output folder; the operating system drops it if the process dies.

    Raises:
        OutputError: another run holds it, or the folder cannot be written.
    """
    path = Path(folder) / LOCK_NAME
    with _output_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            who = f" (process {owner})" if owner.isdigit() else ""
            raise OutputError(
                f"{folder} is in use by another run{who}: wait for it, or name another folder"
            ) from error
        with _output_errors(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def open_regular(path: str | bytes | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading; never block on, or wake, anything else.

    Raises:
        OSError: it cannot be opened, or is a folder, a FIFO, a device or a socket.
    """
    return open(path, "rb", opener=_open_if_regular)


def _open_if_regular(path: str | bytes, flags: int) -> int:
    """Return a descriptor for `open`, which owns it from then on: to be closed by one alone."""
    # Without O_NONBLOCK, opening a FIFO waits for a writer that may never come.
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fsdecode(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def sha256_bytes(data: Buffer) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, in hexadecimal, reading it in pieces.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def one_line(error: BaseException) -> str:
    """Return what an error says, or what it is called where it says nothing, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _output_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one line that names the path."""
    try:
        yield
    except OSError as error:
        why = _ADVICE.get(error.errno or 0, error.strerror or one_line(error))
        raise OutputError(f"cannot write {path}: {why}") from error
