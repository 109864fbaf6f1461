"""The coordinates of continuous tokens: what views of an image differ in is alike everywhere."""

from pathlib import Path

import numpy as np
import torch
from training_fixtures import TINY, write_pictures

from vtok.io.sources import open_source
from vtok.models.vtok_base import VtokBaseEncoder, VtokBaseTokenizer
from vtok.training.photographs import Photographs
from vtok.training.whitening import fit_whitening

CPU = torch.device("cpu")


def learnt(tmp_path: Path, number: int) -> Photographs:
    write_pictures(tmp_path / "in", number)
    return Photographs(list(open_source(str(tmp_path / "in")).list()))


def fitted(images: Photographs) -> VtokBaseTokenizer:
    torch.manual_seed(0)
    model = VtokBaseTokenizer(TINY).eval()
    fit_whitening(model, images, device=CPU)
    return model


def test_patches_have_mean_0_and_a_variance_of_1_on_average(tmp_path: Path) -> None:
    images = learnt(tmp_path, 12)
    model = fitted(images)
    vectors = torch.cat(
        [
            model.analysis.whitened(pixels(image))[0].flatten(1).T.detach()
            for image in images
        ]
    )  # fmt: skip
    assert vectors.mean(0).abs().max() < 0.5
    assert 0.5 < float(vectors.var(0).mean()) < 2


def test_views_of_an_image_differ_alike_in_all_directions(tmp_path: Path) -> None:
    images = learnt(tmp_path, 24)
    model = fitted(images)

    def spread(describe: torch.nn.Module | None) -> float:
        """Return the largest over the smallest direction in which two halves differ."""
        differences = []
        for image in images:
            features = model.analysis.features(pixels(image))
            changed = features if describe is None else describe(features)
            halves = changed[0].flatten(1).chunk(2, dim=1)
            differences.append((halves[0].mean(1) - halves[1].mean(1)).detach())
        values = torch.linalg.svdvals(torch.stack(differences))
        return float(values[0] / values[-1])

    assert spread(model.analysis.whitening) < 0.5 * spread(None)


def test_nothing_is_lost(tmp_path: Path) -> None:
    layer = fitted(learnt(tmp_path, 6)).analysis.whitening
    weight = layer.weight[:, :, 0, 0].double()
    assert torch.linalg.matrix_rank(weight) == TINY.width
    assert torch.allclose(weight, weight.T, atol=1e-5 * float(weight.abs().max()))


def test_images_without_variation_change_nothing(tmp_path: Path) -> None:
    class Flat(Photographs):
        def __getitem__(self, number: int) -> np.ndarray:  # type: ignore[override]
            return np.zeros((16, 16, 3), np.uint8)

    images = learnt(tmp_path, 2)
    model = VtokBaseTokenizer(TINY).eval()
    before = model.analysis.whitening.weight.clone()
    fit_whitening(model, Flat(images._items), device=CPU)
    assert torch.equal(model.analysis.whitening.weight, before)


def test_the_encoder_gives_them_unless_a_layer_is_asked_for(tmp_path: Path) -> None:
    model = fitted(learnt(tmp_path, 6))
    state = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if name.startswith("analysis.")
    }  # fmt: skip
    given = []
    for layers in ((), (-1,)):
        encoder = VtokBaseEncoder(TINY, layers=layers).eval()
        encoder.load_state_dict(state)
        given.append(encoder.features(torch.rand(1, 3, 16, 16, generator=generator()) * 2 - 1))
    layer = model.analysis.whitening
    expected = given[1] @ layer.weight[:, :, 0, 0].T + layer.bias
    assert torch.allclose(given[0], expected, atol=1e-5)
    assert not torch.allclose(given[0], given[1], atol=1e-2)


def pixels(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 127.5 - 1


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
