"""Records as files: canonical JSON, written whole or not at all, read strictly.

Knows nothing of what the records say.
"""

from pathlib import Path
from typing import Any

from vtok.errors import ManifestError, ShardError
from vtok.io.files import write_bytes
from vtok.io.places import Place, open_place
from vtok.shards.fields import MAX_JSON_BYTES, decode_json, encode_json
from vtok.shards.strict import StrictObject


def write_record(path: Path, value: dict[str, Any]) -> None:
    """Write one JSON object as one line; the file appears whole, or stays as it was.

    Raises:
        ShardError: the value is not JSON.
        OutputError: the file cannot be written.
    """
    write_bytes(path, encode_json(value) + b"\n")


def read_record(path: Place) -> StrictObject | None:
    """Return a file's JSON object, to be read strictly; None if there is no such file.

    Raises:
        ManifestError: the file cannot be read, or is not one JSON object.
    """
    try:
        with open_place(path) as file:
            data = file.read(MAX_JSON_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return StrictObject(decode_json(data, where=str(path)), str(path))
    except ShardError as error:
        raise ManifestError(str(error)) from error
