"""The ways in which a tokenizer is subtly wrong are each seen by the parity check."""

from pathlib import Path

import pytest
import torch
from checkpoints import chameleon, open_magvit2
from parity import MAX_LATENT_ERROR, errors, references
from torch import nn
from torch.nn import functional

from vtok.models.base import PixelRange, Tokenizer
from vtok.models.families.convnet.networks import Downsample
from vtok.models.files import checkpoint
from vtok.models.registry import load_tokenizer
from vtok.nn.quantizer import BinaryQuantizer


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    return load_tokenizer(str(chameleon(tmp_path)))


def test_the_usual_eps_is_seen(tokenizer: Tokenizer) -> None:
    for module in tokenizer.modules():
        if isinstance(module, nn.GroupNorm):
            module.eps = 1e-5
    latents, wrong, _, decoded = errors(tokenizer, references("chameleon"), "sq")
    assert latents > MAX_LATENT_ERROR
    assert wrong == 0  # which is why indices alone are not enough
    assert decoded is not None


def test_symmetric_padding_is_seen(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    def symmetric(self: Downsample, x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(x, self.weight, self.bias, stride=2, padding=1)

    monkeypatch.setattr(Downsample, "forward", symmetric)
    latents, wrong, _, _ = errors(tokenizer, references("chameleon"), "ns")
    assert latents > 0.1
    assert wrong > 0


def test_another_pixel_range_is_seen(tokenizer: Tokenizer) -> None:
    unit = PixelRange(mean=(0.0,) * 3, std=(1.0,) * 3)
    object.__setattr__(tokenizer.spec, "pixels", unit)
    latents, wrong, _, _ = errors(tokenizer, references("chameleon"), "sq")
    assert latents > 0.1
    assert wrong > 0


def test_ignored_averages_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def last_ones(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {n: t for n, t in state.items() if not n.startswith(("model_ema.", "loss."))}

    monkeypatch.setattr(checkpoint, "_averaged", last_ones)
    tokenizer = load_tokenizer(str(open_magvit2(tmp_path)))
    latents, wrong, _, _ = errors(tokenizer, references("open-magvit2"), "sq")
    assert latents > 0.01
    assert wrong > 0


def test_reversed_bits_are_seen(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(open_magvit2(tmp_path)))
    tokenizer.quantizer = BinaryQuantizer(10, bit_order="big")
    latents, wrong, _, decoded = errors(tokenizer, references("open-magvit2"), "ns")
    assert latents <= MAX_LATENT_ERROR
    assert wrong > 0
    assert decoded is not None
    assert decoded.max() > 0.1
