"""Sequences of each of the four shapes of indices: known small cases, the inverse law, refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtok.codeshape import CodeShape
from vtok.errors import ShardError, UsageError
from vtok.records import Grid
from vtok.sequences.tokens import TokenLayout, grid_of_ids, ids_to_indices, indices_to_ids

GRID = Grid(rows=2, cols=3)
DEEP = CodeShape(kind="deep-grid", depth=2)
BOOKS = CodeShape(kind="codebooks", num_codebooks=2)
LINE = CodeShape(kind="codebooks", length=4)
SCALES = CodeShape(kind="scales", scales=(Grid(rows=1, cols=2), GRID))
RESIDUALS = np.array([[[0, 1], [2, 3], [4, 5]], [[6, 7], [8, 9], [10, 11]]])  # (2, 3, 2)
PRODUCTS = np.array([[0, 1, 2], [3, 4, 5]])  # two codebooks, three positions


def spelt(
    codes: CodeShape, indices: np.ndarray, grid: Grid | None = None, **settings: object
) -> list[int]:
    layout = TokenLayout(codebook_size=12, codes=codes, **settings)  # type: ignore[arg-type]
    ids = indices_to_ids(indices, layout)
    assert len(ids) == layout.num_tokens(grid)
    assert np.array_equal(ids_to_indices(ids, layout, grid), indices)
    return ids.tolist()


def test_residuals_of_a_cell_stay_together_or_follow_coarse_to_fine() -> None:
    """Cell by cell as RQ-Transformer's depth steps, or depth by depth."""
    assert spelt(DEEP, RESIDUALS, GRID) == list(range(12))
    assert spelt(DEEP, RESIDUALS, GRID, nesting="codebook") == [*range(0, 12, 2), *range(1, 12, 2)]
    columns = [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]
    assert spelt(DEEP, RESIDUALS, GRID, order="column-major") == columns


def test_rows_of_cells_are_marked_in_every_plane() -> None:
    marked = [0, 1, 2, 3, 4, 5, 99, 6, 7, 8, 9, 10, 11, 99]
    assert spelt(DEEP, RESIDUALS, GRID, row=99) == marked
    evens, odds = [0, 2, 4, 99, 6, 8, 10], [1, 3, 5, 99, 7, 9, 11]
    settings = {"row": 99, "row_placement": "between", "nesting": "codebook"}
    assert spelt(DEEP, RESIDUALS, GRID, **settings) == evens + odds


def test_codebooks_go_position_by_position_or_one_by_one() -> None:
    grid = Grid(rows=1, cols=3)
    assert spelt(BOOKS, PRODUCTS, grid) == [0, 3, 1, 4, 2, 5]
    assert spelt(BOOKS, PRODUCTS, grid, nesting="codebook") == [0, 1, 2, 3, 4, 5]


def test_each_codebook_can_have_ids_of_its_own() -> None:
    grid = Grid(rows=1, cols=3)
    settings = {"offset": 100, "vocabularies": "separate"}
    assert spelt(BOOKS, PRODUCTS, grid, **settings) == [100, 115, 101, 116, 102, 117]
    layout = TokenLayout(codebook_size=12, codes=BOOKS, **settings)  # type: ignore[arg-type]
    assert layout.num_ids == 24
    with pytest.raises(ShardError, match=r"id 100 is not one of the image's \[112, 124\)"):
        ids_to_indices(np.array([100, 100]), layout, Grid(rows=1, cols=1))
    with pytest.raises(UsageError, match="separator 120"):
        TokenLayout(codebook_size=12, codes=BOOKS, end=120, **settings)  # type: ignore[arg-type]


def test_a_sequence_of_one_codebook_is_itself() -> None:
    assert spelt(LINE, np.array([[7, 0, 3, 5]]), begin=50, end=51) == [50, 7, 0, 3, 5, 51]


def test_scales_come_coarse_to_fine() -> None:
    flat = np.array([8, 9, 0, 1, 2, 3, 4, 5])
    assert spelt(SCALES, flat) == flat.tolist()
    assert spelt(SCALES, flat, GRID, order="snake") == [8, 9, 0, 1, 2, 5, 4, 3]
    assert spelt(SCALES, flat, row=99) == [8, 9, 99, 0, 1, 2, 99, 3, 4, 5, 99]


@st.composite
def layouts(draw: st.DrawFn) -> tuple[TokenLayout, Grid]:
    grid = st.builds(Grid, rows=st.integers(1, 6), cols=st.integers(1, 6))
    codes = draw(
        st.just(CodeShape())
        | st.builds(CodeShape, kind=st.just("deep-grid"), depth=st.integers(1, 4))
        | st.builds(
            CodeShape,
            kind=st.just("codebooks"),
            num_codebooks=st.integers(1, 8),
            length=st.none() | st.integers(1, 40),
        )
        | st.lists(grid, min_size=1, max_size=5).map(
            lambda scales: CodeShape(kind="scales", scales=tuple(scales))
        )
    )
    has_places = codes.kind != "codebooks"
    row = draw(st.sampled_from([None, 2])) if has_places else None
    orders = ["row-major"]
    if has_places:
        orders += ["snake"] if row else ["snake", "column-major", "zigzag", "hilbert"]
    layout = TokenLayout(
        codebook_size=draw(st.integers(1, 1 << 18)),
        codes=codes,
        offset=draw(st.integers(3, 1 << 20)),
        order=draw(st.sampled_from(orders)),  # type: ignore[arg-type]
        nesting=draw(st.sampled_from(["cell", "codebook"])),
        vocabularies=draw(st.sampled_from(["shared", "separate"])),
        begin=draw(st.sampled_from([None, 0])),
        end=draw(st.sampled_from([None, 0, 1])),
        row=row,
        row_placement=draw(st.sampled_from(["after", "between"])),
    )
    return layout, codes.scales[-1] if codes.scales else draw(grid)


@given(drawn=layouts(), seed=st.integers(0, 99))
def test_ids_to_indices_undoes_indices_to_ids(drawn: tuple[TokenLayout, Grid], seed: int) -> None:
    layout, grid = drawn
    shape = layout.codes.shape_of(grid)
    indices = np.random.default_rng(seed).integers(0, layout.codebook_size, shape)
    ids = indices_to_ids(indices.astype(np.uint32), layout)
    assert len(ids) == layout.num_tokens(grid)
    assert np.array_equal(ids_to_indices(ids, layout, grid), indices)
    if layout.row is not None and layout.codes.kind == "deep-grid" and layout.nesting == "cell":
        assert grid_of_ids(ids, layout) == grid


def test_arrays_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(1, 4\) integers, not int64 \(1, 5\)"):
        indices_to_ids(np.zeros((1, 5), np.int64), TokenLayout(codebook_size=2, codes=LINE))
    with pytest.raises(ValueError, match=r"indices \(1, 4\) needs 4 ids"):
        ids_to_indices(np.zeros(5, np.int64), TokenLayout(codebook_size=2, codes=LINE))
    with pytest.raises(ValueError, match=r"\(h, w\) are as many as their grid says: give it"):
        TokenLayout(codebook_size=2).num_tokens()
    with pytest.raises(ValueError, match="finest scale is 2x3"):
        TokenLayout(codebook_size=2, codes=SCALES).num_tokens(Grid(rows=3, cols=3))


@pytest.mark.parametrize("settings", [{"row": 99}, {"order": "snake"}])
def test_what_has_no_places_has_no_rows(settings: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"\(1, 4\) are a sequence: they have no rows"):
        TokenLayout(codebook_size=2, codes=LINE, **settings)  # type: ignore[arg-type]


def test_a_row_that_is_no_whole_cells_has_no_grid() -> None:
    layout = TokenLayout(codebook_size=12, codes=DEEP, row=99)
    with pytest.raises(ShardError, match="rows of 3 ids are no cells of 2 each"):
        grid_of_ids(np.array([0, 1, 2, 99]), layout)
    with pytest.raises(ValueError, match="in one plane"):
        grid_of_ids(np.array([0, 99]), TokenLayout(codebook_size=12, codes=SCALES, row=99))
