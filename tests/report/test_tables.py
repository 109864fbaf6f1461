from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from vtok.quantities import bytes_text, share_text
from vtok.report.printable import printable, shorten
from vtok.report.tables import Column, table

COLUMNS = (Column("name", "left", shrinks="middle"), Column("tokens"), Column("views"))


def test_numbers_stand_below_each_other_and_are_never_cut() -> None:
    rows = [["a" * 200, "1,234,567,890", "7"], ["short", "1", "1,000"]]
    lines = table(COLUMNS, rows, width=40).plain.splitlines()
    assert all(len(line) <= 40 for line in lines)
    assert "1,234,567,890" in lines[2]
    assert lines[2].index("7") < len(lines[2])
    assert lines[3].endswith("1,000")
    assert lines[0].endswith("views")


def test_the_whole_name_stands_where_there_is_no_width() -> None:
    assert "a" * 200 in table(COLUMNS, [["a" * 200, "1", "2"]]).plain


def test_a_remark_goes_across_all_columns() -> None:
    assert "... 7 more ..." in table(COLUMNS, [["x", "1", "2"], ["... 7 more ..."]]).plain


def test_wide_characters_count_twice() -> None:
    lines = table(COLUMNS, [["写真.jpg", "1", "2"], ["ab", "1", "2"]]).plain.splitlines()
    assert cell_len(lines[2]) == cell_len(lines[3])


@given(st.text(alphabet=st.characters(codec="utf-8")), st.integers(1, 60), st.booleans())
def test_shortened_texts_fit(text: str, width: int, keep_end: bool) -> None:
    shown = shorten(printable(text), width, keep_end=keep_end)
    assert cell_len(shown) <= width


@given(st.text(alphabet=st.characters(), max_size=50))
def test_printable_texts_are_one_line_without_escapes(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    shown.encode()


def test_paths_keep_both_ends() -> None:
    assert shorten("photos/2024/summer/beach.jpg", 16, keep_end=True) == "photo…/beach.jpg"
    assert shorten("a long sentence", 7, keep_end=False) == "a long…"


def test_units() -> None:
    assert [bytes_text(n) for n in (0, 999, 1000, 1536, 20_100_000_000)] == [
        "0 B", "999 B", "1 kB", "1.54 kB", "20.1 GB",
    ]  # fmt: skip


def test_shares_are_not_rounded_to_none_or_all() -> None:
    assert share_text(1, 10**6) == "<0.1%"
    assert share_text(10**6 - 1, 10**6) == ">99.9%"
    assert share_text(0, 5) == "0%"
    assert share_text(5, 5) == "100%"
    assert share_text(1, 3) == "33.3%"
