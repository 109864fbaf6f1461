"""Counts are told in words that fit them: `1 image`, `2,000 images`."""

import ast
import re
from pathlib import Path

import pytest

from vtok.quantities import counted

PACKAGE = Path(__file__).parents[2] / "vtok"
SPEAKING = ("cli", "io", "pipelines", "report", "sequences", "shards", "training")
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
PLURAL = re.compile(
    r" (?:(?:more|other) )?"
    r"(images|shards|files|samples|views|tokens|codes|duplicates|schemes|cores|steps|layers|models)"
    r"\b(?!/)"
)


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (12345, "12,345 images")]
)
def test_words_fit_the_count(count: int, words: str) -> None:
    assert counted(count, "image") == words


def test_an_irregular_noun_has_its_own_plural() -> None:
    assert [counted(n, "index", "indices") for n in (1, 2)] == ["1 index", "2 indices"]


def told_by_hand(path: Path) -> list[str]:
    """Return where a text puts a number in front of a plural, as if it could not be 1."""
    texts = (
        each for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.JoinedStr)
    )
    return [
        f"{path.relative_to(PACKAGE)}:{number.lineno}: {text.value!r}"
        for each in texts
        for number, text in zip(each.values, each.values[1:], strict=False)
        if isinstance(number, ast.FormattedValue)
        and not CONSTANT.fullmatch(ast.unparse(number.value))
        and not (number.format_spec and "f" in ast.unparse(number.format_spec)[2:])
        and isinstance(text, ast.Constant)
        and PLURAL.match(text.value)
    ]


def test_every_count_is_told_by_one_function() -> None:
    paths = sorted(path for folder in SPEAKING for path in (PACKAGE / folder).rglob("*.py"))
    found = [line for path in paths for line in told_by_hand(path)]
    assert not found, "use vtok.quantities.counted:\n" + "\n".join(found)
