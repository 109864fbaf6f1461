"""Keys and field names: how a sample is called inside a tar, and what plain webdataset makes of it.

In: a sample's position in the run, or the key it had in a WebDataset input; the raw bytes of a
path. Out: a key without dots, a member name `<key>.<field>`, and a text from which the path's
bytes can be had back. Knows nothing of tar bytes, arrays or plans.

webdataset splits a member's name at the first dot of its last path component: what stands before
is the key, what follows the field (in lower case). A dot in a key would therefore merge two
samples, or lose one; a capital in a field would not be found again.
"""

import re
from collections.abc import Sequence

from vtok.errors import ShardError

KEY_DIGITS = 12
MAX_KEY_BYTES = 200
HEADER_MEMBER = "__vtok__"
"""Name of the first member of every tar. webdataset passes over names of the form `__name__`."""

_FIELD = re.compile(r"[a-z0-9_][a-z0-9_-]*(?:\.[a-z0-9_-]+)*")
_HIDDEN = re.compile(r"__[^/]*__(?:$|/)")
_ESCAPE = re.compile(rb"%(?=[0-9A-Fa-f]{2})")
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")


def sample_key(index: int) -> str:
    """Return the key of the sample at this position of the whole run: 12 digits.

    Raises:
        ValueError: the index is negative or needs more digits.
    """
    if not 0 <= index < 10**KEY_DIGITS:
        raise ValueError(f"a sample index must be in [0, 10^{KEY_DIGITS}), not {index}")
    return f"{index:0{KEY_DIGITS}d}"


def sample_keys(indices: range) -> list[str]:
    """Return the keys of the samples at these positions; many at once, a quarter of the time.

    Raises:
        ValueError: as `sample_key` does, for either end of the range.
    """
    if not indices:
        return []
    sample_key(indices[0])
    sample_key(indices[-1])
    return (f"%0{KEY_DIGITS}d " * len(indices) % tuple(indices)).split()


def check_key(key: str) -> str:
    """Return the key if plain webdataset would give exactly it back.

    Keys with folders (`a/b/0001`) are kept, as WebDataset inputs have them.

    Raises:
        ShardError: the key is empty or too long, its last part has a dot, a part of it is empty,
            `.` or `..`, it holds a control character, a backslash or what is not Unicode, or
            webdataset would hide it.
    """
    if key.isalnum() and key.isascii() and len(key) <= MAX_KEY_BYTES:
        return key  # our own keys, and most: nothing in them to go wrong
    problem = _key_problem(key)
    if problem:
        raise ShardError(f"key {key!r} cannot be stored: {problem}")
    return key


def check_keys(keys: Sequence[str]) -> None:
    """Check many keys, fast where they are digits and letters alone.

    Raises:
        ShardError: as `check_key` does, for the first that is at fault.
    """
    joined = "".join(keys)
    lengths = set(map(len, keys))
    simple = joined.isascii() and joined.encode().isalnum()  # bytes: no look-up in Unicode's tables
    if simple and 0 not in lengths and max(lengths) <= MAX_KEY_BYTES:
        return
    for key in keys:
        check_key(key)


def _key_problem(key: str) -> str | None:
    *folders, name = key.split("/")
    if not name or "" in folders:
        return "it is empty, or a part between slashes is"
    if "." in name:
        return "a dot would end it early for every WebDataset reader"
    if "." in folders or ".." in folders:
        return "it climbs through folders"
    if "\\" in key or not key.isprintable():
        return "it has a backslash, a control character or a byte that is not UTF-8"
    if len(key.encode()) > MAX_KEY_BYTES:
        return f"it is longer than {MAX_KEY_BYTES} bytes"
    if _HIDDEN.match(key):
        return "names that begin with __name__ are hidden from WebDataset readers"
    return None


def check_field(field: str) -> str:
    """Return the field's name if plain webdataset would give exactly it back.

    Raises:
        ShardError: it is not of lower-case letters, digits, `_`, `-` and inner dots, or begins
            with the two underscores that webdataset keeps for itself.
    """
    if not _FIELD.fullmatch(field) or field.startswith("__"):
        raise ShardError(
            f"field {field!r} cannot be stored: use lower-case letters, digits, '_', '-' and dots"
        )
    return field


def split_member(name: str) -> tuple[str, str]:
    """Return key and field of a member's name: the exact inverse of `<key>.<field>`.

    Raises:
        ShardError: the name is not that of a key and a field that we would write.
    """
    folder, slash, last = name.rpartition("/")
    stem, dot, field = last.partition(".")
    if not dot:
        raise ShardError(f"member {name!r} has no field: names are <key>.<field>")
    return check_key(folder + slash + stem), check_field(field)


def path_to_text(path: bytes) -> str:
    """Return a path as text that JSON can hold; `text_to_path` gives the bytes back.

    Bytes that are not UTF-8 become `%XX`. A percent sign that two hexadecimal digits happen to
    follow becomes `%25`, so that no two paths share one text; any other path stays as it is.
    """
    escaped = _ESCAPE.sub(b"%25", path)
    text = escaped.decode("utf-8", "surrogateescape")
    return "".join(
        f"%{ord(char) - 0xDC00:02X}" if 0xDC80 <= ord(char) <= 0xDCFF else char for char in text
    )


def text_to_path(text: str) -> bytes:
    """Return the bytes of the path that `path_to_text` made this text of."""
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), text.encode())
