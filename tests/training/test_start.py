import numpy as np
import torch
from torch.nn import functional
from training_fixtures import SHORT, TINY, picture

from vtok.models.vtok_base import VtokBaseTokenizer
from vtok.nn.quantizer import EmaVectorQuantizer
from vtok.training.crops import RandomCrops
from vtok.training.start import start_codebook, start_from_components


def pixels() -> torch.Tensor:
    crops = RandomCrops([picture(i) for i in range(8)], SHORT)
    return crops.batch(0, range(32)).float() / 127.5 - 1


def test_the_straight_paths_are_the_projection_that_numpys_svd_finds() -> None:
    model = VtokBaseTokenizer(TINY)
    crops = pixels()
    start_from_components(model, crops)
    with torch.no_grad():
        projected = model.decode(model.encode(crops))
    patches = functional.pixel_unshuffle(crops, TINY.patch_px).movedim(1, -1).flatten(0, 2).numpy()
    mean = patches.mean(axis=0)
    _, _, components = np.linalg.svd(patches - mean, full_matrices=False)
    basis = components[: TINY.code_dim]
    expected = mean + (patches - mean) @ basis.T @ basis
    ours = functional.pixel_unshuffle(projected, TINY.patch_px).movedim(1, -1).flatten(0, 2)
    np.testing.assert_allclose(ours.numpy(), expected, atol=2e-4)


def test_the_codebook_fits_better_than_a_draw_of_latents() -> None:
    torch.manual_seed(0)
    model = VtokBaseTokenizer(TINY)
    crops = pixels()
    start_from_components(model, crops)
    latents = model.encode(crops).detach().movedim(1, -1).flatten(0, 2)

    def distance(quantizer: EmaVectorQuantizer) -> float:
        codes = quantizer.lookup(quantizer.quantize(latents))
        return float((codes - latents).square().mean())

    drawn = EmaVectorQuantizer(TINY.codebook_size, TINY.code_dim)
    drawn.start_from(latents)
    fitted = EmaVectorQuantizer(TINY.codebook_size, TINY.code_dim, decay=0.5)
    start_codebook(model, fitted, crops)
    assert distance(fitted) < 0.95 * distance(drawn)
