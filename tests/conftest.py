"""Rules that hold for every test."""

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Shared machines are slow at times, which is no finding; CI draws the same examples every time.
settings.register_profile(
    "vtok",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("vtok")

TableRow = Callable[[str, Sequence[str], Sequence[str]], None]
_TABLES: dict[tuple[str, tuple[str, ...]], set[tuple[str, ...]]] = defaultdict(set)

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update-golden`, which writes golden texts, and `--torture`, which tries all faults."""
    parser.addoption("--update-golden", action="store_true", help="renew the golden texts")
    parser.addoption("--torture", action="store_true", help="run the sweeps of faults in full")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only `make torture` runs, which takes minutes a test."""
    if config.getoption("--torture"):
        return
    long = [item for item in items if item.get_closest_marker("torture")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


@pytest.fixture
def check_golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return a check that a text equals the golden one of this name; a missing one fails."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing: run pytest --update-golden and read it"
        assert text == path.read_text(encoding="utf-8")

    return check


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `gpu` where there is no CUDA device, and say so."""
    if item.get_closest_marker("gpu") is None:
        return
    import torch  # seconds to load, and most test files do without it

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device, and torch.cuda.is_available() is False")


@pytest.fixture
def table_row(record_property: Callable[[str, object], None]) -> TableRow:
    """Return what puts a row into a table (title, header, cells) at the end of the output.

    Rows travel with the tests' reports, so that they arrive from the processes of pytest-xdist too.
    """

    def add(title: str, header: Sequence[str], cells: Sequence[str]) -> None:
        record_property("table_row", [title, list(header), list(cells)])

    return add


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect the rows of a test that has ended."""
    if report.when != "teardown":
        return
    for name, value in report.user_properties:
        if name == "table_row":
            title, header, cells = value
            _TABLES[title, tuple(header)].add(tuple(cells))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables, with sums where a column has only numbers."""
    for (title, header), rows in sorted(_TABLES.items()):
        lines = [header, *sorted(rows)]
        columns = list(zip(*sorted(rows), strict=True))[1:]
        if all(cell.isdigit() for column in columns for cell in column):
            lines.append(("all", *(str(sum(map(int, column))) for column in columns)))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        terminalreporter.section(title)
        for cells in lines:
            first, *others = (f"{c:>{w}}" for c, w in zip(cells, widths, strict=True))
            terminalreporter.write_line("  ".join([first.strip().ljust(widths[0]), *others]))
