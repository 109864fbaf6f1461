"""Collects how many recorded vectors every configuration reproduces, and prints the table."""

from collections import defaultdict

import pytest

_PARITY: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
_LIVE: dict[str, list[int]] = defaultdict(lambda: [0, 0])


@pytest.fixture(scope="session")
def parity() -> dict[str, list[int]]:
    """Sizes compared, sizes equal, views compared, views equal; by configuration."""
    return _PARITY


@pytest.fixture(scope="session")
def live_parity() -> dict[str, list[int]]:
    """Sizes compared and equal with the installed transformers processors; by configuration."""
    return _LIVE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _PARITY:
        terminalreporter.section("parity with recorded reference results")
        terminalreporter.write_line(
            f"{'configuration':24}{'sizes':>7}{'equal':>7}{'views':>7}{'equal':>7}"
        )
        for name, (sizes, equal, views, same) in sorted(_PARITY.items()):
            pixels = f"{views:7}{same:7}" if views else f"{'-':>7}{'-':>7}"
            terminalreporter.write_line(f"{name:24}{sizes:7}{equal:7}{pixels}")
        totals = [sum(column) for column in zip(*_PARITY.values(), strict=True)]
        terminalreporter.write_line(f"{'all':24}" + "".join(f"{total:7}" for total in totals))
    if _LIVE:
        terminalreporter.section("parity with the installed transformers, random sizes")
        for name, (sizes, equal) in sorted(_LIVE.items()):
            terminalreporter.write_line(f"{name:24}{sizes:7}{equal:7}")
