"""The models that have names, as a table to choose from.

In: rows of the catalogue, or of the table of vision models. Out: one text, as wide as the terminal
is and no wider. Loads no model.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from rich.text import Text

from vtok.models.catalogue import CatalogueRow
from vtok.models.vision.published import PublishedEncoder
from vtok.report.tables import Column, table

FROM_MIN_WIDTH = 116
"""Columns from which on there is room to say where a model comes from."""

_COLUMNS = (
    Column("name", "left"),
    Column("f"),
    Column("codes"),
    Column("tokens"),
    Column("sizes", "left"),
    Column("here", "left"),
)
_LEGEND = (
    "f: pixels per token along a side; tokens: of 256x256 px, or of the one size;",
    "here: whether the weights are on this machine. --json has all that is known.",
)


_ENCODER_LEGEND = "for encode-continuous; projector: whether it has --output projected."


def encoder_list(rows: Mapping[str, PublishedEncoder], *, width: int | None) -> Text:
    """Return a line a vision model, by name, after an empty one; as wide as `model_list`."""
    columns = [
        Column("name", "left"),
        Column("family", "left"),
        Column("projector", "left"),
        Column("from", "left", shrinks="middle"),
    ]
    cells = [
        [name, row.family, "yes" if row.has_projector else "no", row.hub_id]
        for name, row in rows.items()
    ]
    text = Text("\n")
    text.append_text(table(columns, cells, width=width))
    text.append(_ENCODER_LEGEND + "\n", "dim")
    return text


def model_list(rows: Sequence[CatalogueRow], *, width: int | None) -> Text:
    """Return a line a model.

    Args:
        rows: The models, in the order to show them in.
        width: Columns of the terminal; None for as wide as need be.
    """
    has_room = width is None or width >= FROM_MIN_WIDTH
    columns = [*_COLUMNS, Column("licence", "left", shrinks="" if has_room else "end")]
    if has_room:
        columns.append(Column("from", "left", shrinks="middle"))
    cells = [
        [
            row.name,
            str(row.downsample),
            f"{row.codebook_size:,}",
            f"{row.indices_256:,}",
            row.sizes,
            "yes" if row.is_here else "no",
            row.licence,
            *([_origin(row)] if has_room else []),
        ]
        for row in rows
    ]
    text = table(columns, cells, width=width)
    for line in _LEGEND:
        text.append(line + "\n", "dim")
    return text


def _origin(row: CatalogueRow) -> str:
    """Return a model's repository on the hub, or whose page has it."""
    return row.hub_id or urlsplit(row.page).hostname or "the package"
