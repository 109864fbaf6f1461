"""The table of schemes, and the way from a name that people type to a `Scheme`.

Adding a scheme is adding a row under `rows`, and a policy only where no rule so far works the
same way.
"""

import difflib
from functools import lru_cache

from vtok.errors import UnknownNameError
from vtok.resolution.names import normal, spellings
from vtok.resolution.options import SchemeOptions
from vtok.resolution.rows import chapter, closed, fitted, tiled, training, whole
from vtok.resolution.rows.row import Row
from vtok.resolution.scheme import Scheme

ROWS: tuple[Row, ...] = (
    *chapter.ROWS,
    *training.ROWS,
    *fitted.ROWS,
    *tiled.ROWS,
    *whole.ROWS,
    *closed.ROWS,
)

_DEFAULTS = SchemeOptions()


def scheme_names() -> tuple[str, ...]:
    """Return the canonical names of all schemes, in the table's order."""
    return tuple(row.name for row in ROWS)


@lru_cache(maxsize=1)
def _rows_by_name() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for row in ROWS:
        for name in (row.name, *row.aliases):
            assert rows.setdefault(normal(name), row) is row, name
    return rows


def find_row(name: str) -> Row:
    """Return the row of a scheme by its name or an alias, or by a checkpoint's name.

    Case and `.`, `-`, `_` do not matter, nor do an owner (`Qwen/`) and words that tell only the
    size or tuning of a checkpoint (`-7b-instruct`).

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    rows = _rows_by_name()
    tried = list(spellings(name))
    row = next((rows[spelling] for spelling in tried if spelling in rows), None)
    if row is None:
        near = difflib.get_close_matches(tried[-1], rows, n=3, cutoff=0.5)
        canonical = list(dict.fromkeys(rows[match].name for match in near))
        hint = f"did you mean {' or '.join(canonical)}?" if near else ", ".join(scheme_names())
        raise UnknownNameError(f"no scheme is called {name!r}: {hint}")
    return row


def resolve(name: str, options: SchemeOptions = _DEFAULTS) -> Scheme:
    """Return the scheme of this name with these overrides.

    Raises:
        UnknownNameError: no scheme is called so; the message names the nearest.
        UsageError: an override is not an option of the scheme, or cannot be what it is.
    """
    return find_row(name).scheme(options)
