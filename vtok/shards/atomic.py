"""A file that is there whole, under its name, or not at all; hashed while it is written.

In: chunks of bytes. Out: the file, its sha256 and its length. Knows nothing of tars or records.
"""

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from vtok.errors import OutputError

PARTIAL_SUFFIX = ".partial"


class AtomicFile:
    """A context manager: the file takes its name when the block ends without an exception.

    Order: write `<name>.partial` → fsync → rename → fsync the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.num_bytes = 0
        self._partial = path.with_name(path.name + PARTIAL_SUFFIX)
        self._hash = hashlib.sha256()
        self._file: BinaryIO

    @property
    def sha256(self) -> str:
        """Digest of what has been written, 64 hexadecimal digits."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            OutputError: no space, no permission.
        """
        try:
            self._file.write(data)
        except OSError as error:
            raise self._fault(error) from error
        self._hash.update(data)
        self.num_bytes += len(data)

    def __enter__(self) -> "AtomicFile":
        try:
            self._file = self._partial.open("wb")
        except OSError as error:
            raise self._fault(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with self._file:
                if kind is None:
                    self._file.flush()
                    os.fsync(self._file.fileno())
            if kind is None:
                self._partial.rename(self.path)
                _sync_folder(self.path.parent)
        except OSError as problem:
            self._partial.unlink(missing_ok=True)
            raise self._fault(problem) from problem
        if kind is not None:
            self._partial.unlink(missing_ok=True)

    def _fault(self, error: OSError) -> OutputError:
        return OutputError(f"{self.path}: cannot be written: {error.strerror}")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
