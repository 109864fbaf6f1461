"""Records as files: canonical JSON, written whole or not at all, read strictly.

Knows nothing of what the records say.
"""

import errno
from pathlib import Path
from typing import Any

from vtok.errors import ManifestError, ShardError, UnreachableError
from vtok.io.files import write_bytes
from vtok.io.places import Place, open_place
from vtok.shards.fields import MAX_JSON_BYTES, decode_json, encode_json
from vtok.shards.strict import StrictObject

_OF_THE_FILE = frozenset(
    {
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ENXIO, errno.ELOOP),
        *(errno.EIO, errno.EBADMSG, getattr(errno, "EUCLEAN", errno.EIO)),
    }
)
"""What a local file is lost with: it is missing, or no file, or its part of the disk fails."""


def write_record(path: Path, value: dict[str, Any]) -> None:
    """Write one JSON object as one line; the file appears whole, or stays as it was.

    Raises:
        ShardError: the value is not JSON.
        OutputError: the file cannot be written.
    """
    write_bytes(path, encode_json(value) + b"\n")


def says_nothing(path: Place, error: OSError) -> bool:
    """Return whether a file that could not be read may be whole all the same.

    A store may be away, a file forbidden, descriptors or memory used up: whatever does not tell
    of damage tells nothing. Of a store only that an object is not there tells anything.
    """
    if isinstance(error, FileNotFoundError):
        return False
    return not isinstance(path, Path) or error.errno not in _OF_THE_FILE


def read_record(path: Place) -> StrictObject | None:
    """Return a file's JSON object, to be read strictly; None if there is no such file.

    Raises:
        ManifestError: the file cannot be read, or is not one JSON object.
        UnreachableError: it cannot be read just now.
    """
    try:
        with open_place(path) as file:
            data = file.read(MAX_JSON_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        found = UnreachableError if says_nothing(path, error) else ManifestError
        raise found(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        return StrictObject(decode_json(data, where=str(path)), str(path))
    except ShardError as error:
        raise ManifestError(str(error)) from error
