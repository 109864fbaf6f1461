"""Puts what a test compared with the authors' own code into the table at the end of the output."""

from collections.abc import Callable, Iterator

import pytest

pytest.register_assert_rewrite("parity")


@pytest.fixture(autouse=True)
def _rows_to_the_table(table_row: Callable[..., None]) -> Iterator[None]:
    from parity import ROWS  # whose assertions explain themselves, as a test's do

    before = set(ROWS)
    yield
    header = ("family", "image", "|latents|", "indices", "|decode|")
    for row in sorted(ROWS - before):
        table_row("parity with the authors' own code", header, row)
