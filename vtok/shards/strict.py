"""A JSON object read strictly: every value has the type and range it should have, or an error.

In: a decoded JSON value and what to call it. Out: typed values, one by one; whatever is missing,
wrong or unknown is an error that names the file and the field. Knows nothing of the records that
are read with it.
"""

import re
from collections.abc import Iterator
from typing import Any

from vtok.errors import ManifestError, VtokError

JsonObject = dict[str, Any]

_LARGEST = 2**63 - 1
_DIGEST = re.compile(r"[0-9a-f]{64}")


class StrictObject:
    """One JSON object; `close` refuses what nobody asked for.

    Args:
        value: The decoded JSON value.
        where: What to call it in errors: a file, or a file and a field.
        error: The class of error to raise.
    """

    def __init__(
        self, value: object, where: str, *, error: type[VtokError] = ManifestError
    ) -> None:
        self._error = error
        self._where = where
        if not isinstance(value, dict):
            raise self.fault(f"expected an object, got {_kind(value)}")
        self._left: JsonObject = dict(value)

    def fault(self, problem: str) -> VtokError:
        """Return the error to raise for this problem."""
        return self._error(f"{self._where}: {problem}")

    def take(self, name: str) -> Any:
        """Return a field's value, of any type."""
        if name not in self._left:
            raise self.fault(f"field {name!r} is missing")
        return self._left.pop(name)

    def integer(self, name: str, *, minimum: int = 0, maximum: int = _LARGEST) -> int:
        """Return an integer in [minimum, maximum]."""
        value = self.take(name)
        if type(value) is not int:
            raise self._wrong(name, "an integer", value)
        if not minimum <= value <= maximum:
            raise self.fault(f"field {name!r} is {value}, not in [{minimum}, {maximum}]")
        return value

    def text(self, name: str, *, among: tuple[str, ...] | None = None) -> str:
        """Return a text, one of `among` if given."""
        value = self.take(name)
        if not isinstance(value, str):
            raise self._wrong(name, "a text", value)
        if among is not None and value not in among:
            raise self.fault(f"field {name!r} is {value!r}, not one of {', '.join(among)}")
        return value

    def optional_text(self, name: str) -> str | None:
        """Return a text or None."""
        return None if self._is_null(name) else self.text(name)

    def optional_integer(self, name: str, *, minimum: int = 0) -> int | None:
        """Return an integer at least `minimum`, or None."""
        return None if self._is_null(name) else self.integer(name, minimum=minimum)

    def digest(self, name: str) -> str:
        """Return a sha256 as 64 lower-case hexadecimal digits."""
        value = self.text(name)
        if not _DIGEST.fullmatch(value):
            raise self.fault(f"field {name!r} is not a sha256: {value[:80]!r}")
        return value

    def mapping(self, name: str) -> JsonObject:
        """Return an object as a plain dict."""
        value = self.take(name)
        if not isinstance(value, dict):
            raise self._wrong(name, "an object", value)
        return value

    def texts(self, name: str) -> dict[str, str]:
        """Return an object whose values are texts."""
        value = self.mapping(name)
        for key, item in value.items():
            if not isinstance(item, str):
                raise self._wrong(f"{name}.{key}", "a text", item)
        return value

    def counts(self, name: str) -> dict[str, int]:
        """Return an object whose values are counts of at least 1."""
        value = self.mapping(name)
        for key, item in value.items():
            if type(item) is not int or not 1 <= item <= _LARGEST:
                raise self._wrong(f"{name}.{key}", "a count", item)
        return value

    def optional_children(self, name: str) -> "Iterator[StrictObject]":
        """Yield the objects of a list as strict objects; none where the field is missing."""
        if name in self._left:
            yield from self.children(name)

    def integers(self, name: str) -> tuple[int, ...]:
        """Return a list of integers, none negative."""
        value = self._list(name)
        for item in value:
            if type(item) is not int or not 0 <= item <= _LARGEST:
                raise self._wrong(name, "a list of counts", item)
        return tuple(value)

    def optional_integers(self, name: str) -> tuple[int, ...] | None:
        """Return a list of integers, none negative, or None."""
        return None if self._is_null(name) else self.integers(name)

    def optional_child(self, name: str) -> "StrictObject | None":
        """Return an object to be read strictly in its turn, or None."""
        return None if self._is_null(name) else self.child(name)

    def child(self, name: str) -> "StrictObject":
        """Return an object to be read strictly in its turn."""
        return StrictObject(self.take(name), f"{self._where}: {name}", error=self._error)

    def children(self, name: str) -> Iterator["StrictObject"]:
        """Yield the objects of a list, each to be read strictly."""
        for position, item in enumerate(self._list(name)):
            yield StrictObject(item, f"{self._where}: {name}[{position}]", error=self._error)

    def close(self) -> None:
        """Refuse fields that were not asked for: they come from a later version, or by mistake."""
        if self._left:
            raise self.fault(f"unknown field {min(self._left)!r}")

    def _list(self, name: str) -> list[Any]:
        value = self.take(name)
        if not isinstance(value, list):
            raise self._wrong(name, "a list", value)
        return value

    def _is_null(self, name: str) -> bool:
        if self._left.get(name, 0) is None:
            del self._left[name]
            return True
        return False

    def _wrong(self, name: str, expected: str, value: object) -> VtokError:
        return self.fault(f"field {name!r} should be {expected}, not {_kind(value)}")


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "null"}
    return names.get(type(value), repr(value)[:40])
