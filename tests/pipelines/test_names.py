"""No source, however hostile, leads out of the output folder or to another image's name."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtok.pipelines.decoding.names import Origin, output_stems, safe_stem

HOSTILE = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="./\\ a:~\0\n", max_size=20),
    st.lists(st.sampled_from(["..", ".", "", "a", "a.png", "/", "C:", "~"]), max_size=8).map(
        "/".join
    ),
)


@given(st.lists(st.tuples(HOSTILE, HOSTILE | st.none()), max_size=12))
def test_names_stay_inside_and_differ(origins: list[tuple[str, str | None]]) -> None:
    root = Path("/out")
    stems = output_stems([Origin(key, source) for key, source in origins])
    assert len(stems) == len(origins)
    for stem in stems:
        assert not stem.is_absolute()
        assert (root / stem).resolve().is_relative_to(root)
        assert ".." not in stem.parts
        assert all(
            part and not part.startswith(".") and len(part.encode()) <= 430 for part in stem.parts
        )
    assert len({str(stem).casefold() for stem in stems}) == len(stems)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a.png", "a"),
        ("deep/er/b.v2.jpg", "deep/er/b.v2"),
        ("no-ending", "no-ending"),
        ("notes.txt", "notes.txt"),
        ("../../etc/passwd", "etc/passwd"),
        ("/abs/olute.webp", "abs/olute"),
        (".hidden.png", "hidden"),
        ("https://host.org/x/y.jpg?size=3#top", "host.org/x/y"),
        ("train.tar/0001.jpg", "train.tar/0001"),
        ("line\nbreak.png", "line_break"),
        ("..", None),
    ],
)
def test_examples(source: str, expected: str | None) -> None:
    assert safe_stem(source) == (None if expected is None else PurePosixPath(expected))


def test_the_second_of_a_name_gets_its_key() -> None:
    origins = [Origin("01", "a.png"), Origin("02", "a.jpg"), Origin("03", "A.webp")]
    assert [str(stem) for stem in output_stems(origins)] == ["a", "a-02", "A-03"]
