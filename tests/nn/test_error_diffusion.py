"""Codes chosen together, against the definition cell by cell, and against the form they lower."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vtok.errors import NonFiniteError
from vtok.nn.quantizer import ErrorDiffusion, VectorQuantizer
from vtok.nn.quantizer.diffusion import NEIGHBOURS, PERIOD_CELLS, neighbours_errors

DIM = 3


@pytest.fixture
def quantizer() -> VectorQuantizer:
    torch.manual_seed(0)
    return VectorQuantizer(40, DIM)


def diffusion(num_sweeps: int, *, strength: float = 0.15) -> ErrorDiffusion:
    made = ErrorDiffusion(DIM, num_sweeps)
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randn(made.error_filter.shape, generator=generator)
    made.error_filter.copy_(strength * drawn)
    return made


def cell_by_cell(
    latents: npt.NDArray[np.float32], codes: npt.NDArray[np.float64], chosen: ErrorDiffusion
) -> npt.NDArray[np.int64]:
    """Return the indices (h, w) of latents (h, w, D), by the definition and in its order."""
    height, width, dim = latents.shape
    maps = chosen.error_filter.double().numpy().reshape(len(NEIGHBOURS), dim, dim)
    errors = np.zeros((height, width, dim))
    indices = np.zeros((height, width), np.int64)
    for _, top, left in itertools.product(range(chosen.num_sweeps), (0, 1), (0, 1)):
        for row, col in itertools.product(range(top, height, 2), range(left, width, 2)):
            aim = latents[row, col].astype(np.float64)
            for (down, right), matrix in zip(NEIGHBOURS, maps, strict=True):
                other = row + down, col + right
                if 0 <= other[0] < height and 0 <= other[1] < width:
                    aim = aim + errors[other] @ matrix
            best = int(((codes - aim) ** 2).sum(1).argmin())
            indices[row, col] = best
            errors[row, col] = latents[row, col] - codes[best]
    return indices


@pytest.mark.parametrize("num_sweeps", [1, 2, 3])
@pytest.mark.parametrize("shape", [(7, 6), (4, 9), (1, 5), (5, 1), (1, 1), (2, 2)])
def test_it_is_the_choice_cell_by_cell(
    quantizer: VectorQuantizer, num_sweeps: int, shape: tuple[int, int]
) -> None:
    latents = torch.randn(2, *shape, DIM)
    chosen = diffusion(num_sweeps)
    choice = chosen.choose(latents, quantizer)
    codes = quantizer.codebook.double().numpy()
    for image, indices in zip(latents.numpy(), choice.indices.numpy(), strict=True):
        assert (indices == cell_by_cell(image, codes, chosen)).all()
    assert torch.equal(quantizer.quantize(choice.targets), choice.indices)


def test_a_filter_of_zeros_takes_the_nearest_codes(quantizer: VectorQuantizer) -> None:
    latents = torch.randn(2, 5, 8, DIM)
    choice = ErrorDiffusion(DIM, 2).choose(latents, quantizer)
    assert torch.equal(choice.indices, quantizer.quantize(latents))
    assert torch.equal(choice.targets, latents)


def test_an_image_has_its_codes_whatever_else_is_in_the_batch(quantizer: VectorQuantizer) -> None:
    latents = torch.randn(5, 9, 6, DIM)
    chosen = diffusion(2)
    together = chosen.choose(latents, quantizer).indices
    for number in range(5):
        alone = chosen.choose(latents[number : number + 1], quantizer).indices
        assert torch.equal(together[number : number + 1], alone)


@pytest.mark.parametrize("num_sweeps", [1, 2, 3])
def test_nothing_is_seen_beyond_the_reach(quantizer: VectorQuantizer, num_sweeps: int) -> None:
    chosen = diffusion(num_sweeps, strength=0.4)
    reach, side, changed = chosen.reach_cells, 41, 20
    latents = torch.randn(8, side, side, DIM)
    before = chosen.choose(latents, quantizer).indices
    latents[:, changed, changed] += 3
    differs = (chosen.choose(latents, quantizer).indices != before).any(0)
    rows, cols = differs.nonzero().unbind(1)
    assert len(rows) > 1
    assert int((torch.stack((rows, cols)) - changed).abs().max()) <= reach


def test_a_part_that_begins_at_a_period_has_the_codes_of_the_whole(
    quantizer: VectorQuantizer,
) -> None:
    chosen = diffusion(2)
    reach = chosen.reach_cells
    latents = torch.randn(1, 40, 40, DIM)
    whole = chosen.choose(latents, quantizer).indices
    start = 3 * PERIOD_CELLS
    part = chosen.choose(latents[:, start:, start:], quantizer).indices
    assert torch.equal(part[:, reach:, reach:], whole[:, start + reach :, start + reach :])
    shifted = chosen.choose(latents[:, start + 1 :, start:], quantizer).indices
    assert not torch.equal(
        shifted[:, reach:, reach:], whole[:, start + 1 + reach :, start + reach :]
    )


def energy(errors: Tensor, own: Tensor, other: float) -> float:
    """Return a quadratic form of errors (B, h, w, D): neighbours that agree count extra."""
    padded = functional.pad(errors, (0, 0, 1, 1, 1, 1))
    around = neighbours_errors(padded, (0, 0), errors.shape[1:3])
    sums = around.unflatten(-1, (len(NEIGHBOURS), DIM)).sum(-2)
    return float((errors @ own * errors).sum() + other * (errors * sums).sum())


def test_each_sweep_lowers_the_form_that_the_filter_is_of(quantizer: VectorQuantizer) -> None:
    # A decoder that adds to every cell a tenth of each neighbour, near enough.
    latents = torch.randn(4, 32, 32, DIM)
    own, other = torch.eye(DIM), 0.1
    energies = []
    for num_sweeps in (0, 1, 2, 3):
        if num_sweeps:
            chosen = ErrorDiffusion(DIM, num_sweeps)
            chosen.error_filter.copy_(other * torch.eye(DIM).repeat(len(NEIGHBOURS), 1))
            indices = chosen.choose(latents, quantizer).indices
        else:
            indices = quantizer.quantize(latents)
        energies.append(energy(latents - quantizer.lookup(indices), own, other))
    assert energies == sorted(energies, reverse=True)
    assert energies[2] < 0.96 * energies[0]


def test_a_latent_that_is_no_number_is_refused(quantizer: VectorQuantizer) -> None:
    latents = torch.randn(1, 4, 4, DIM)
    latents[0, 3, 2, 1] = torch.nan
    with pytest.raises(NonFiniteError, match="NaN"):
        diffusion(2).choose(latents, quantizer)


def test_what_cannot_be_diffused_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        ErrorDiffusion(DIM, 0)
    with pytest.raises(ValueError, match="l2, not cosine"):
        diffusion(1).choose(torch.randn(1, 2, 2, DIM), VectorQuantizer(8, DIM, "cosine"))
