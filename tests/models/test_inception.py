"""FID's network against torch-fidelity's: the same features of the same weights."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from seeded import seeded_state
from torch.nn import functional

from vtok.errors import WeightsError
from vtok.models import inception
from vtok.models.inception import Inception, load_inception

GOLDEN = Path(__file__).parents[1] / "golden" / "inception"
SIZES = ((1, 224, 160), (2, 301, 420))


def blocks(seed: int, height: int, width: int) -> npt.NDArray[np.uint8]:
    raw = np.random.Philox(key=seed).random_raw(9 * 7 * 3) >> np.uint64(56)
    colours = raw.astype(np.uint8).reshape(9, 7, 3)
    return colours[np.arange(height) * 9 // height][:, np.arange(width) * 7 // width]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Inception:
    model = json.loads((GOLDEN / "model.json").read_text())
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(seeded_state(model["shapes"], model["seed"], model["gains"]), path)
    return load_inception(path)


def worst(network: Inception) -> float:
    """Return the largest difference to the stored features, relative to their size."""
    found = 0.0
    with np.load(GOLDEN / "refs.npz") as refs, torch.inference_mode():
        for place, (seed, height, width) in enumerate(SIZES):
            image = torch.from_numpy(blocks(seed, height, width)).permute(2, 0, 1)[None]
            expected = torch.from_numpy(refs[f"features{place}"])
            difference = (network(image)[0] - expected).abs().max()
            found = max(found, float(difference / expected.abs().max()))
    return found


def test_features_are_torch_fidelitys(network: Inception) -> None:
    assert worst(network) < 1e-5


def pools_that_count_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = functional.avg_pool2d
    monkeypatch.setattr(functional, "avg_pool2d", lambda x, k, **kw: plain(x, k, 1, 1))


def a_resize_of_aligned_centres(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        inception,
        "resized",
        lambda images: functional.interpolate(images, (299, 299), mode="bilinear"),
    )


@pytest.mark.parametrize("change", [pools_that_count_padding, a_resize_of_aligned_centres])
def test_what_other_editions_do_would_show(
    network: Inception,
    change: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change(monkeypatch)
    assert worst(network) > 1e-4


def test_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        load_inception(tmp_path / "none.pth")
    path = tmp_path / "weights.pth"
    torch.save({"fc.weight": torch.zeros(10, 2048)}, path)
    with pytest.raises(WeightsError, match="missing"):
        load_inception(path)
