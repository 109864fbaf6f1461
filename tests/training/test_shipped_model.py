"""The weights that ship: as good as the model card says, at any size, and checked when loaded."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vtok.errors import WeightsError
from vtok.io.images import decode
from vtok.models import registry
from vtok.models.finding import SHIPPED, Shipped
from vtok.models.registry import load_encoder, load_tokenizer
from vtok.models.vtok_base import VtokBaseTokenizer
from vtok.training.validation import reconstruct, validate

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "vtok" / "models" / "shipped" / "vtok-base" / "training.json"
CPU = torch.device("cpu")


def photographs() -> list[np.ndarray]:
    names = ("astronaut.jpg", "chelsea.png", "coffee.jpg", "launchpad.webp")
    return [
        np.asarray(decode((ROOT / "sample_images" / name).read_bytes()).image) for name in names
    ]


def test_sample_photographs_come_back_as_well_as_the_card_says() -> None:
    claimed = json.loads(FIGURES.read_text())["validation"]
    figures = validate(load_tokenizer(), photographs(), device=CPU)
    assert figures.psnr_db >= 0.95 * claimed["psnr_db"]
    assert figures.ssim >= 0.9 * claimed["ssim"]
    assert figures.bits_per_pixel == pytest.approx(13 / 64, rel=0.02)


def test_codes_chosen_together_are_better_than_the_nearest_ones() -> None:
    together, nearest = load_tokenizer(), load_tokenizer()
    assert isinstance(together, VtokBaseTokenizer)
    assert isinstance(nearest, VtokBaseTokenizer)
    assert together.diffusion is not None
    nearest.diffusion = None
    found = [validate(each, photographs(), device=CPU).psnr_db for each in (together, nearest)]
    assert found[0] > found[1] + 0.2


def test_a_crop_comes_back_as_in_its_whole_image() -> None:
    image = photographs()[2][:512, :768]
    whole = next(reconstruct(load_tokenizer(), [image], device=CPU)).reconstructed
    errors = []
    for top, left in ((0, 0), (256, 128), (128, 512)):
        part = slice(top, top + 256), slice(left, left + 256)
        alone = next(reconstruct(load_tokenizer(), [image[part]], device=CPU)).reconstructed
        errors.append(
            [np.square(each - image[part].astype(float)).mean() for each in (whole[part], alone)]
        )
    within, alone_db = -10 * np.log10(np.mean(errors, axis=0))
    assert abs(within - alone_db) < 0.5


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 16), (8, 264), (136, 40)])
def test_any_multiple_of_the_patch_is_a_size(height: int, width: int) -> None:
    pixels = torch.rand(1, 3, height, width) * 2 - 1
    tokenizer = load_tokenizer()
    with torch.inference_mode():
        indices = tokenizer.tokenize(pixels)
        assert indices.shape == (1, height // 8, width // 8)
        assert tokenizer.decode_indices(indices).shape == pixels.shape
        features = load_encoder().features(pixels)
    assert features.shape == (1, height * width // 64, 256)


def test_no_image_of_a_batch_sees_another() -> None:
    tokenizer = load_tokenizer()
    pixels = torch.rand(2, 3, 64, 64) * 2 - 1
    other = torch.stack((pixels[0], -pixels[1]))
    with torch.inference_mode():
        assert torch.allclose(tokenizer.encode(pixels)[0], tokenizer.encode(other)[0], atol=1e-5)


def test_weights_that_are_not_those_shipped_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHIPPED, "vtok-base", Shipped("vtok-base", "0" * 64))
    with pytest.raises(WeightsError, match="not those that were shipped"):
        registry.load_tokenizer()


def test_the_weights_are_small_enough_to_ship() -> None:
    folder = FIGURES.parent
    assert sum(path.stat().st_size for path in folder.iterdir()) < 20 * 10**6


def test_a_flat_image_comes_back_flat() -> None:
    flat = np.asarray(Image.new("RGB", (96, 80), (40, 120, 200)))
    made = next(reconstruct(load_tokenizer(), [flat], device=CPU)).reconstructed
    assert np.abs(made.astype(int) - flat).mean() < 6
