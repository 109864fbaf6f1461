"""Patches against the transform's definition as a matrix, and back."""

import itertools

import pytest
import torch

from vtok.nn.patching import Patching

# Sums and differences of four pixels: mean, down, across, both; each pixel a quarter.
HADAMARD = torch.tensor(
    [[1.0, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]
)  # columns: above left, above right, below left, below right


def by_definition(image: torch.Tensor) -> torch.Tensor:
    batch, channels, height, width = image.shape
    cells = torch.zeros(batch, 4 * channels, height // 2, width // 2)
    for row, col in itertools.product(range(height // 2), range(width // 2)):
        four = image[:, :, 2 * row : 2 * row + 2, 2 * col : 2 * col + 2].flatten(2)  # (B, C, 4)
        parts = four @ HADAMARD.T / 4
        cells[:, :, row, col] = parts.transpose(1, 2).flatten(1)  # each part's channels together
    return cells


@pytest.mark.parametrize(("side", "times"), [(1, 0), (2, 1), (4, 2)])
def test_haar_is_its_matrix_again_and_again(side: int, times: int) -> None:
    image = torch.randn(2, 3, 8, 12)
    expected = image
    for _ in range(times):
        expected = by_definition(expected)
    cells = Patching(side, "haar").apart(image)
    assert cells.shape == (2, 3 * side * side, 8 // side, 12 // side)
    torch.testing.assert_close(cells, expected)


def test_plain_patches_are_row_major_inside_each_channel() -> None:
    image = torch.arange(2 * 3 * 4 * 8.0).view(2, 3, 4, 8)
    cells = Patching(2, "rearrange").apart(image)
    for channel, row, col in itertools.product(range(3), range(2), range(2)):
        assert torch.equal(cells[:, channel * 4 + row * 2 + col], image[:, channel, row::2, col::2])


@pytest.mark.parametrize("method", ["haar", "rearrange"])
@pytest.mark.parametrize("side", [1, 2, 4, 8])
def test_together_undoes_apart(method: str, side: int) -> None:
    patching = Patching(side, method)  # type: ignore[arg-type]
    image = torch.randn(1, 3, 16, 24)
    torch.testing.assert_close(patching.together(patching.apart(image)), image)


def test_a_flat_image_keeps_its_value() -> None:
    cells = Patching(4, "haar").apart(torch.full((1, 3, 8, 8), 0.7))
    torch.testing.assert_close(cells[:, :3], torch.full((1, 3, 2, 2), 0.7))
    assert cells[:, 3:].abs().max() == 0


@pytest.mark.parametrize("side", [0, 3, 6])
def test_other_sides_are_refused(side: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Patching(side, "haar")
