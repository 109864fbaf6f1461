"""Windowed attention, against full attention under a mask built by loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from vtok.nn.attention import SelfAttention
from vtok.nn.position import RotaryPosition2d
from vtok.nn.windows import Windows, attend_in_windows
from vtok.records import Grid


def window_of(cell: int, windows: Windows) -> tuple[int, int]:
    row, col = divmod(cell, windows.grid.cols)
    return (row - windows.shift) // windows.window, (col - windows.shift) // windows.window


def mask_of(windows: Windows) -> torch.Tensor:
    owners = [window_of(cell, windows) for cell in range(windows.grid.num_cells)]
    return torch.tensor([[a == b for a in owners] for b in owners])


@st.composite
def all_windows(draw: st.DrawFn) -> Windows:
    window = draw(st.integers(1, 6))
    return Windows(
        grid=Grid(rows=draw(st.integers(1, 13)), cols=draw(st.integers(1, 13))),
        window=window,
        shift=draw(st.integers(0, window - 1)),
    )


@settings(max_examples=80, deadline=None)
@given(windows=all_windows(), seed=st.integers(0, 2**31))
def test_equals_full_attention_under_a_mask(windows: Windows, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shape = (3, 2, 2, windows.grid.num_cells, 4)
    q, k, v = torch.randn(shape, generator=generator, dtype=torch.float64).unbind(0)
    mask = mask_of(windows)
    assert torch.equal(windows.mask(), mask)
    expected = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    ours = attend_in_windows(q, k, v, windows)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(windows=all_windows())
def test_bands_cover_every_cell_once(windows: Windows) -> None:
    for bands, length in (
        (windows.row_bands(), windows.grid.rows),
        (windows.col_bands(), windows.grid.cols),
    ):
        assert [band.start for band in bands] == [0, *(band.stop for band in bands[:-1])]
        assert bands[-1].stop == length
        assert all(band.size <= windows.window for band in bands)


def test_gradients_equal_those_of_the_mask() -> None:
    windows = Windows(grid=Grid(rows=5, cols=7), window=3, shift=1)
    attention = SelfAttention(16, 2)
    rotation = RotaryPosition2d(8).grid_angles(windows.grid)
    x = torch.randn(2, 35, 16)
    gradients = []
    for options in ({"windows": windows}, {"mask": mask_of(windows)}):
        leaf = x.clone().requires_grad_()
        attention(leaf, rotation=rotation, **options).square().sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_misfits_are_refused() -> None:
    grid = Grid(rows=4, cols=4)
    with pytest.raises(ValueError, match="shifted by 3"):
        Windows(grid=grid, window=3, shift=3)
    with pytest.raises(ValueError, match="windows exclude"):
        SelfAttention(8, 2)(
            torch.zeros(1, 16, 8),
            windows=Windows(grid=grid, window=2),
            mask=torch.ones(16, 16, dtype=torch.bool),
        )
    with pytest.raises(ValueError, match="15 tokens"):
        SelfAttention(8, 2)(torch.zeros(1, 15, 8), windows=Windows(grid=grid, window=2))
