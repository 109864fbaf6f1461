"""Indices ↔ ids: published spellings, the inverse law, and every kind of refusal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtok.errors import ShardError, UsageError, VtokError
from vtok.records import Grid
from vtok.sequences.tokens import TokenLayout, grid_of_ids, ids_to_indices, indices_to_ids

INDICES = np.array([[0, 1, 2], [3, 4, 5]])
GRID = Grid(rows=2, cols=3)


def test_offset_and_separators_after_every_row() -> None:
    layout = TokenLayout(codebook_size=6, offset=100, begin=1, end=2, row=3)
    ids = indices_to_ids(INDICES, layout)
    assert ids.tolist() == [1, 100, 101, 102, 3, 103, 104, 105, 3, 2]
    assert len(ids) == layout.num_tokens(GRID)


def test_separators_between_rows() -> None:
    layout = TokenLayout(codebook_size=6, offset=100, row=3, row_placement="between")
    assert indices_to_ids(INDICES, layout).tolist() == [100, 101, 102, 3, 103, 104, 105]


def test_plain_ids_are_the_indices() -> None:
    assert indices_to_ids(INDICES, TokenLayout(codebook_size=6)).tolist() == [0, 1, 2, 3, 4, 5]


@st.composite
def layouts(draw: st.DrawFn) -> TokenLayout:
    offset = draw(st.integers(3, 1 << 20))
    row = draw(st.sampled_from([None, 2]))
    orders = ["row-major", "snake"] + ([] if row else ["column-major", "zigzag", "hilbert"])
    return TokenLayout(
        codebook_size=draw(st.integers(1, 1 << 18)),
        offset=offset,
        order=draw(st.sampled_from(orders)),
        begin=draw(st.sampled_from([None, 0])),
        end=draw(st.sampled_from([None, 0, 1])),
        row=row,
        row_placement=draw(st.sampled_from(["after", "between"])),
    )


@given(layout=layouts(), rows=st.integers(1, 12), cols=st.integers(1, 12), seed=st.integers(0, 99))
def test_ids_to_indices_undoes_indices_to_ids(
    layout: TokenLayout, rows: int, cols: int, seed: int
) -> None:
    indices = np.random.default_rng(seed).integers(0, layout.codebook_size, (rows, cols))
    grid = Grid(rows=rows, cols=cols)
    ids = indices_to_ids(indices.astype(np.uint32), layout)
    assert len(ids) == layout.num_tokens(grid)
    assert np.array_equal(ids_to_indices(ids, layout, grid), indices)
    if layout.row is not None:
        assert grid_of_ids(ids, layout) == grid


@given(position=st.integers(0, 9), value=st.integers(0, 300))
def test_a_changed_id_is_noticed_or_is_another_index(position: int, value: int) -> None:
    layout = TokenLayout(codebook_size=6, offset=100, begin=1, end=2, row=3)
    ids = indices_to_ids(INDICES, layout)
    ids[position] = value
    try:
        indices = ids_to_indices(ids, layout, GRID)
    except ShardError:
        return
    assert np.array_equal(indices_to_ids(indices, layout), ids)


def test_narrow_ids_are_read_without_wrapping() -> None:
    layout = TokenLayout(codebook_size=6, row=70_000, row_placement="between")
    with pytest.raises(ShardError, match="70000"):
        ids_to_indices(np.zeros(7, np.uint8), layout, GRID)


@pytest.mark.parametrize("bad", [-1, 6])
def test_an_index_outside_the_codebook_is_refused(bad: int) -> None:
    with pytest.raises(ShardError, match=f"index {bad} is outside"):
        indices_to_ids(np.array([[0, bad]]), TokenLayout(codebook_size=6))


@pytest.mark.parametrize(
    "settings",
    [
        {"begin": 105},
        {"row": 3, "order": "hilbert"},
        {"row": 3, "end": 3},
        {"end": -1},
        {"offset": -1},
        {"codebook_size": 0},
        {"offset": 2**31},
    ],
)
def test_a_layout_that_cannot_be_inverted_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        TokenLayout(**{"codebook_size": 6, "offset": 100, **settings})  # type: ignore[arg-type]


def test_lengths_and_dtypes_are_checked() -> None:
    layout = TokenLayout(codebook_size=6)
    with pytest.raises(ValueError, match="needs 6 ids"):
        ids_to_indices(np.arange(5), layout, GRID)
    with pytest.raises(ValueError, match="integers"):
        indices_to_ids(INDICES.astype(float), layout)
    with pytest.raises(ValueError, match="does not tell"):
        grid_of_ids(np.arange(6), layout)


@pytest.mark.parametrize("ids", [[], [3], [0, 3, 0, 0, 3], [0, 0, 3, 0], [3, 3]])
def test_ragged_rows_have_no_grid(ids: list[int]) -> None:
    with pytest.raises(VtokError):
        grid_of_ids(np.array(ids, np.int64), TokenLayout(codebook_size=2, row=3))
