"""Puts what a test compared with the authors' own code into the table at the end of the output."""

from collections.abc import Callable, Iterator

import pytest
from parity import ROWS


@pytest.fixture(autouse=True)
def _rows_to_the_table(table_row: Callable[..., None]) -> Iterator[None]:
    before = set(ROWS)
    yield
    header = ("family", "image", "|latents|", "indices", "|decode|")
    for row in sorted(ROWS - before):
        table_row("parity with the authors' own code", header, row)
