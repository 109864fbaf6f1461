"""JSON whose bytes depend on its content alone, and JSON that is read without trust.

In: values, or bytes that may be damaged. Out: canonical bytes, or one object with distinct keys.
"""

import json
import os
from typing import Any

from vtok.errors import ManifestError
from vtok.io.files import one_line, open_regular, write_bytes

MAX_DEPTH = 200
"""Of lists and objects in metadata of others; at a thousand, Python's own reader gives up."""

_MAX_JSON_BYTES = 1 << 30


def canonical_json(value: Any) -> bytes:
    """Return JSON whose bytes depend on the content alone: sorted keys, a newline at the end.

    Raises:
        ValueError: a number is NaN or infinite.
        TypeError: something is not JSON.
    """
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=True, allow_nan=False)
    return text.encode("ascii") + b"\n"


def refuse_deep(data: bytes, value: Any) -> None:
    """Refuse what is nested so deep that it might be written, and not be readable again.

    Args:
        data: Some JSON.
        value: What it says.

    Raises:
        ValueError: its lists and objects are nested deeper than `MAX_DEPTH`.
    """
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    level = [each for each in [value] if isinstance(each, dict | list)]
    for _ in range(MAX_DEPTH):
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [child for each in inner for child in each if isinstance(child, dict | list)]
        if not level:
            return
    raise ValueError(f"lists and objects are nested deeper than {MAX_DEPTH}")


def write_json(path: str | os.PathLike[str], value: Any) -> str:
    """Write canonical JSON atomically; return its SHA-256 in hexadecimal.

    Raises:
        OutputError: the file cannot be written.
    """
    return write_bytes(path, canonical_json(value))


def parse_json(data: bytes, *, source: str) -> dict[str, Any]:
    """Return the JSON object in some bytes.

    Args:
        data: The bytes.
        source: What to call them in errors.

    Raises:
        ManifestError: they are not one JSON object with distinct keys.
    """
    try:
        value = json.loads(data, object_pairs_hook=_distinct, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{source} is damaged: not valid JSON ({one_line(error)})") from error
    if not isinstance(value, dict):
        raise ManifestError(f"{source} is damaged: a JSON object was expected")
    return value


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        ManifestError: the file is missing, unreadable or damaged; the message names it.
    """
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > _MAX_JSON_BYTES:
                raise ManifestError(f"{path} is damaged: larger than any record that we write")
            data = file.read()
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error.strerror}") from error
    return parse_json(data, source=str(path))


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that says two things under one name."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key appears twice")
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
