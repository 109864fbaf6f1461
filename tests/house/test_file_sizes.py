"""A file holds one idea: one that wants to pass some 300 lines is two."""

from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "vtok"
MOST_LINES = 320
LONGER = {
    "engine/decode_run.py": 360,  # one state machine, whose every part shares one lock
}
"""Files that are one idea all the same, and how long each may be."""


def num_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_no_file_has_grown_into_two_ideas() -> None:
    lengths = {str(path.relative_to(PACKAGE)): num_lines(path) for path in PACKAGE.rglob("*.py")}
    assert len(lengths) > 100
    long = {name: n for name, n in lengths.items() if n > LONGER.get(name, MOST_LINES)}
    assert not long, f"split these along their ideas (at most {MOST_LINES} lines): {long}"


def test_no_exception_outlives_its_reason() -> None:
    kept = {name for name in LONGER if num_lines(PACKAGE / name) > MOST_LINES}
    assert kept == set(LONGER)


def test_no_file_is_named_for_having_no_name() -> None:
    nameless = {"utils.py", "util.py", "helpers.py", "misc.py", "common.py"}
    assert not [path for path in PACKAGE.rglob("*.py") if path.name in nameless]
