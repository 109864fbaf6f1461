"""A file holds one idea (past some 300 lines it is two); a folder is read at a glance."""

from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "vtok"
MOST_LINES = 320
SORTED_INTO_ROOMS = ("models", "pipelines")
MOST_FILES = 15


def num_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_no_file_has_grown_into_two_ideas() -> None:
    lengths = {str(path.relative_to(PACKAGE)): num_lines(path) for path in PACKAGE.rglob("*.py")}
    assert len(lengths) > 100
    long = {name: n for name, n in lengths.items() if n > MOST_LINES}
    assert not long, f"split these along their ideas (at most {MOST_LINES} lines): {long}"


def test_no_file_is_named_for_having_no_name() -> None:
    nameless = {"utils.py", "util.py", "helpers.py", "misc.py", "common.py"}
    assert not [path for path in PACKAGE.rglob("*.py") if path.name in nameless]


def test_no_room_is_crowded() -> None:
    folders = {path.parent for name in SORTED_INTO_ROOMS for path in (PACKAGE / name).rglob("*.py")}
    assert len(folders) > 10
    counts = {str(each.relative_to(PACKAGE)): len(list(each.glob("*.py"))) for each in folders}
    crowded = {name: count for name, count in counts.items() if count > MOST_FILES}
    assert not crowded, f"sort these into rooms (at most {MOST_FILES} files each): {crowded}"
