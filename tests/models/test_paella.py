"""Paella's tokenizer: what would be subtly wrong is seen, and what cannot be is said."""

import json
from pathlib import Path

import pytest
import torch
from checkpoints import hub
from parity import MAX_DECODE_ERROR, MAX_LATENT_ERROR, errors, references
from seeded import seeded_state
from torch import nn

from vtok.errors import WeightsError
from vtok.models.base import PixelRange, Tokenizer
from vtok.models.families import paella
from vtok.models.families.paella import PaellaShape, PaellaTokenizer
from vtok.models.registry import convert_tokenizer, load_tokenizer

SCALE_FACTOR = 0.3764


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "paella"
    made.mkdir()
    return hub(made)


@pytest.fixture
def tokenizer(folder: Path) -> Tokenizer:
    return load_tokenizer(str(folder))


def test_another_pixel_range_is_seen(tokenizer: Tokenizer) -> None:
    object.__setattr__(tokenizer.spec, "pixels", PixelRange())
    latents, wrong, _, _ = errors(tokenizer, references("paella"), "sq")
    assert latents > 0.1
    assert wrong > 0


def test_the_usual_eps_is_seen(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paella, "_EPS", 1e-5)
    latents, wrong, _, decoded = errors(tokenizer, references("paella"), "sq")
    assert decoded is not None
    assert latents > MAX_LATENT_ERROR or decoded.max() > MAX_DECODE_ERROR
    assert wrong == 0


def test_the_scale_factor_of_their_latents_is_none_of_ours(tokenizer: Tokenizer) -> None:
    """Their `encode` divides codes by it, which neither search nor decoder takes."""
    stored = references("paella")
    latents = torch.from_numpy(stored["z_sq"])
    indices = torch.from_numpy(stored["idx_sq"].astype(int))
    scaled = tokenizer.quantize(latents / SCALE_FACTOR)
    assert (scaled != indices).float().mean() > 0.1
    codes = tokenizer.lookup(indices)
    with torch.no_grad():
        wrong = tokenizer.decode(codes * SCALE_FACTOR)
    assert (wrong - torch.from_numpy(stored["dec_sq"])).abs().max() > 0.1


def test_a_batch_norm_in_training_is_seen(tokenizer: Tokenizer) -> None:
    """The statistics of the batch instead of the stored ones."""
    norms = [each for each in tokenizer.modules() if isinstance(each, nn.BatchNorm2d)]
    assert len(norms) == 1
    norms[0].train()
    latents, wrong, _, _ = errors(tokenizer, references("paella"), "sq")
    assert latents > 0.1
    assert wrong > 0


def test_a_normalised_codebook_is_seen(tokenizer: Tokenizer) -> None:
    codebook = tokenizer.get_buffer("quantizer.codebook")
    codebook.copy_(nn.functional.normalize(codebook, dim=1))
    _, wrong, _, decoded = errors(tokenizer, references("paella"), "ns")
    assert wrong > 0
    assert decoded is not None
    assert decoded.max() > 0.01


@pytest.mark.parametrize("levels", [1, 3])
def test_levels_are_counted(levels: int, tmp_path: Path) -> None:
    """The published ones have two and three, of f4 and f8."""
    shape = PaellaShape(
        fold_px=2, width=32, num_levels=levels, num_bottleneck=3, codebook_size=64, code_dim=4
    )
    state = PaellaTokenizer(shape, name="made").state_dict()
    state["vquantizer.embedding.weight"] = state.pop("quantizer.codebook")  # diffusers' name
    torch.save(state, tmp_path / "model.pt")
    spec = load_tokenizer(str(tmp_path)).spec
    assert (spec.downsample, spec.codebook_size, spec.code_dim) == (2**levels, 64, 4)
    convert_tokenizer(str(tmp_path), tmp_path / "converted")
    assert load_tokenizer(str(tmp_path / "converted")).spec.downsample == 2**levels


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("vquantizer.codebook.weight", "missing: quantizer.codebook"),
        ("down_blocks.3.1.running_var", "missing: down_blocks.3.1.running_var"),
        ("up_blocks.1.gammas", "missing: up_blocks.1.gammas"),
        ("up_blocks.0.0.weight", "missing: up_blocks.0.0.weight"),
    ],
)
def test_what_is_lost_is_named(lost: str, said: str, folder: Path) -> None:
    held = torch.load(folder / "pytorch_model.bin")
    del held[lost]
    torch.save(held, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=said):
        load_tokenizer(str(folder))


@pytest.mark.parametrize(
    "shapes",
    [
        {"in_block.1.weight": [16, 13, 1, 1]},  # no square of three colours
        {"down_blocks.40.0.weight": [4, 32, 1, 1]},  # too deep
        {"up_blocks.9999.gammas": [6]},
    ],
)
def test_absurd_shapes_are_refused(shapes: dict[str, list[int]], folder: Path) -> None:
    held = torch.load(folder / "pytorch_model.bin")
    torch.save(held | seeded_state(shapes, 1), folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="none of Paella's"):
        load_tokenizer(str(folder))


def test_the_family_is_in_the_class_or_the_names(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({}))
    assert load_tokenizer(str(folder)).spec.family == "paella"
