"""The parity table at the end of the test output: latents, indices and decode by family."""

import pytest
from parity import ROWS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not ROWS:
        return
    terminalreporter.section("parity with the authors' own code")
    widths = (24, 10, 12, 16, 12)
    head = ("family", "image", "|latents|", "indices", "|decode|")
    for row in (head, *sorted(ROWS)):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        terminalreporter.write_line("".join(cells).rstrip())
