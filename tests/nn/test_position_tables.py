"""Added positions, against transformers' ViTMAE, ViT and DINOv2 and against plain loops."""

import pytest
import torch
from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel
from transformers.models.vit_mae.modeling_vit_mae import build_2d_sinusoidal_position_embedding

from vtok.nn.position import (
    LearnedPosition1d,
    LearnedPosition2d,
    SineCosinePosition2d,
    interpolate_positions,
    sine_cosine_positions,
)
from vtok.records import Grid


@pytest.mark.parametrize("grid", [Grid(rows=14, cols=14), Grid(rows=3, cols=40)])
@pytest.mark.parametrize("base", [10000.0, 50.0])
def test_sine_cosine_equals_vit_mae(grid: Grid, base: float) -> None:
    theirs = build_2d_sinusoidal_position_embedding(grid.rows, grid.cols, 24, temperature=base)
    assert torch.equal(sine_cosine_positions(grid, 24, base=base), theirs)
    module = SineCosinePosition2d(24, num_prefix=1, base=base)
    assert torch.equal(module(grid), torch.cat((torch.zeros(1, 24), theirs)))


@pytest.mark.parametrize("model", ["vit", "dinov2"])
@pytest.mark.parametrize("target", [Grid(rows=7, cols=5), Grid(rows=2, cols=3)])
def test_bicubic_equals_transformers(model: str, target: Grid) -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    if model == "vit":
        embeddings = ViTModel(ViTConfig(image_size=32, patch_size=8, **sizes)).embeddings
    else:
        embeddings = Dinov2Model(Dinov2Config(image_size=32, patch_size=8, **sizes)).embeddings
    torch.nn.init.normal_(embeddings.position_embeddings)
    table = embeddings.position_embeddings.detach()[0]
    tokens = torch.zeros(1, 1 + target.num_cells, 8)
    theirs = embeddings.interpolate_pos_encoding(tokens, 8 * target.rows, 8 * target.cols)
    ours = interpolate_positions(table, Grid(rows=4, cols=4), target, num_prefix=1, mode="bicubic")
    torch.testing.assert_close(ours, theirs.detach()[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("source", [Grid(rows=4, cols=4), Grid(rows=3, cols=6)])
@pytest.mark.parametrize(
    "target", [Grid(rows=8, cols=8), Grid(rows=5, cols=2), Grid(rows=1, cols=1)]
)
def test_bilinear_equals_a_loop(source: Grid, target: Grid) -> None:
    """Half-pixel centres, edges clamped, in plain Python."""
    table = torch.randn(2 + source.num_cells, 3, dtype=torch.float64).float()
    cells = table[2:].double().reshape(source.rows, source.cols, 3)

    def taps(i: int, new: int, old: int) -> list[tuple[int, float]]:
        at = max((i + 0.5) * old / new - 0.5, 0.0)
        low = int(at)
        return [(low, 1 - (at - low)), (min(low + 1, old - 1), at - low)]

    expected = [
        sum(
            wr * wc * cells[r, c]
            for r, wr in taps(i, target.rows, source.rows)
            for c, wc in taps(j, target.cols, source.cols)
        )
        for i in range(target.rows)
        for j in range(target.cols)
    ]
    ours = interpolate_positions(table, source, target, num_prefix=2)
    assert torch.equal(ours[:2], table[:2]), "prefix tokens are kept"
    torch.testing.assert_close(ours[2:].double(), torch.stack(expected), rtol=0, atol=1e-6)


def test_interpolation_keeps_a_plane() -> None:
    """A table that is linear in the row stays so inside; one grid's own table is untouched."""
    source, target = Grid(rows=8, cols=2), Grid(rows=16, cols=4)
    rows = (torch.arange(8.0) + 0.5) / 8
    table = rows.repeat_interleave(2).unsqueeze(1)
    resized = interpolate_positions(table, source, target).reshape(16, 4)
    wanted = ((torch.arange(16.0) + 0.5) / 16).unsqueeze(1).expand(-1, 4)
    torch.testing.assert_close(resized[1:-1], wanted[1:-1])
    assert interpolate_positions(table, source, source) is table


def test_a_table_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="17 rows"):
        interpolate_positions(torch.zeros(17, 4), Grid(rows=4, cols=4), Grid(rows=2, cols=2))


def test_learned_1d_reads_its_table_and_interpolates() -> None:
    position = LearnedPosition1d(Grid(rows=3, cols=4), 8, num_prefix=1)
    assert torch.equal(position(Grid(rows=3, cols=4)), position.table)
    assert position(Grid(rows=6, cols=5)).shape == (31, 8)
    position(Grid(rows=6, cols=5)).sum().backward()
    assert position.table.grad is not None
    assert position.table.grad.abs().min() > 0, "every trained cell has a part in it"


def test_learned_2d_is_row_half_beside_column_half() -> None:
    position = LearnedPosition2d(Grid(rows=5, cols=6), 8, num_prefix=1)
    grid = Grid(rows=2, cols=3)
    out = position(grid)
    assert torch.equal(out[0], torch.zeros(8))
    for row in range(2):
        for col in range(3):
            cell = out[1 + row * 3 + col]
            assert torch.equal(cell[:4], position.rows[row])
            assert torch.equal(cell[4:], position.cols[col])


def test_learned_2d_refuses_larger_grids_until_resized() -> None:
    position = LearnedPosition2d(Grid(rows=4, cols=4), 8)
    larger = Grid(rows=4, cols=9)
    with pytest.raises(ValueError, match=r"resized\(4x9\)"):
        position(larger)
    resized = position.resized(larger)
    assert resized.grid == larger
    assert torch.equal(resized.rows, position.rows)
    whole = interpolate_positions(position(position.grid), position.grid, larger)
    torch.testing.assert_close(resized(larger), whole)
