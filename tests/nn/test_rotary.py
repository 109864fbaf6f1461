"""Rotary positions: equal to complex numbers and to Qwen2-VL's; scores know offsets only."""

import cmath

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLVisionConfig
from transformers.models.qwen2_vl.modeling_qwen2_vl import (
    Qwen2VLVisionRotaryEmbedding,
    apply_rotary_pos_emb_vision,
)

from vtok.nn.position import RotaryPosition2d, grid_positions
from vtok.records import Grid


def place(row: float, col: float) -> tuple[Tensor, Tensor]:
    return torch.tensor([row], dtype=torch.float64), torch.tensor([col], dtype=torch.float64)


def test_turns_like_complex_numbers() -> None:
    """Each pair (i, i + C/4) of a half is a complex number times e^(i angle), in fp64 by hand."""
    head_dim, base, row, col = 12, 100.0, 5, 3
    x = torch.randn(head_dim, generator=torch.Generator().manual_seed(0))
    rotary = RotaryPosition2d(head_dim, base)
    turned = rotary.apply(x.reshape(1, 1, 1, -1), rotary.angles(*place(row, col))).flatten()
    quarter = head_dim // 4
    for axis, position in enumerate((row, col)):
        for i in range(quarter):
            real = axis * 2 * quarter + i
            imaginary = real + quarter
            pair = complex(x[real], x[imaginary]) * cmath.exp(
                1j * position * base ** (-i / quarter)
            )
            assert turned[real] == pytest.approx(pair.real, abs=1e-6)
            assert turned[imaginary] == pytest.approx(pair.imag, abs=1e-6)


def test_equals_qwen2_vl_up_to_the_order_of_channels() -> None:
    """Qwen2-VL pairs channels across the whole head, we within each half."""
    heads, head_dim, grid = 2, 16, Grid(rows=5, cols=7)
    config = Qwen2VLVisionConfig(
        embed_dim=heads * head_dim,
        num_heads=heads,
        rope_parameters={"rope_type": "axial", "rope_theta": 10000.0},
    )
    rows, cols = grid_positions(grid)
    cos, sin = Qwen2VLVisionRotaryEmbedding(config)(
        torch.zeros(1), torch.stack((rows, cols), dim=1)
    )
    q, k = torch.randn(2, grid.num_cells, heads, head_dim).unbind(0)
    # Theirs: [rows first | cols first | rows second | cols second]; ours: rows, rows, cols, cols.
    order = torch.arange(head_dim).reshape(2, 2, head_dim // 4).transpose(0, 1).flatten()
    rotary = RotaryPosition2d(head_dim)
    rotation = rotary.grid_angles(grid)
    for theirs, x in zip(apply_rotary_pos_emb_vision(q, k, cos, sin), (q, k), strict=True):
        ours = rotary.apply(x.transpose(0, 1)[None][..., order], rotation)
        torch.testing.assert_close(ours[0].transpose(0, 1), theirs[..., order], rtol=0, atol=2e-6)


@settings(max_examples=60, deadline=None)
@given(
    row=st.integers(0, 40),
    col=st.integers(0, 40),
    down=st.integers(-40, 40),
    right=st.integers(-40, 40),
    jump=st.integers(0, 2000),
    seed=st.integers(0, 2**31),
)
def test_scores_depend_on_the_offset_alone(
    row: int, col: int, down: int, right: int, jump: int, seed: int
) -> None:
    """Moving both tokens alike changes no score, even to places far beyond any training grid."""
    rotary = RotaryPosition2d(16)
    q, k = torch.randn(2, 1, 1, 1, 16, generator=torch.Generator().manual_seed(seed)).unbind(0)

    def score(at_row: int, at_col: int) -> Tensor:
        turned_q = rotary.apply(q, rotary.angles(*place(at_row, at_col)))
        turned_k = rotary.apply(k, rotary.angles(*place(at_row + down, at_col + right)))
        return (turned_q * turned_k).sum()

    assert abs(score(row, col) - score(row + jump, col + 3 * jump)) < 2e-5


def test_scores_tell_rows_from_columns_and_back_from_forth() -> None:
    """The law above would hold for no rotation at all: the offset must matter."""
    rotary = RotaryPosition2d(16)
    q, k = torch.randn(2, 1, 1, 1, 16, generator=torch.Generator().manual_seed(1)).unbind(0)
    fixed = rotary.apply(q, rotary.angles(*place(10, 10)))
    offsets = [(0, 0), (1, 0), (0, 1), (-1, 0), (0, -1), (1, 1)]
    scores = {
        round(float((fixed * rotary.apply(k, rotary.angles(*place(10 + r, 10 + c)))).sum()), 4)
        for r, c in offsets
    }
    assert len(scores) == len(offsets)


def test_rows_turn_the_first_half_only() -> None:
    rotary = RotaryPosition2d(16)
    x = torch.randn(1, 1, 1, 16)
    by_row = rotary.apply(x, rotary.angles(*place(4, 0)))
    assert torch.equal(by_row[..., 8:], x[..., 8:])
    assert not torch.isclose(by_row[..., :8], x[..., :8]).any()


def test_every_image_of_a_batch_may_have_its_own_places() -> None:
    rotary = RotaryPosition2d(8)
    rows, cols = torch.randint(0, 50, (2, 3, 6))
    x = torch.randn(3, 2, 6, 8)
    together = rotary.apply(x, rotary.angles(rows, cols))
    for i in range(3):
        alone = rotary.apply(x[i : i + 1], rotary.angles(rows[i], cols[i]))
        assert torch.equal(together[i : i + 1], alone)


def test_keeps_bf16_but_computes_angles_exactly() -> None:
    rotary = RotaryPosition2d(16)
    x = torch.randn(1, 1, 1, 16).bfloat16()
    rotation = rotary.angles(*place(1001, 999))
    turned = rotary.apply(x, rotation)
    assert turned.dtype == torch.bfloat16
    assert torch.equal(turned, rotary.apply(x.float(), rotation).bfloat16())


@pytest.mark.parametrize("head_dim", [0, 2, 6, 10])
def test_refuses_heads_that_four_does_not_divide(head_dim: int) -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        RotaryPosition2d(head_dim)
