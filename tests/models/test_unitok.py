"""UniTok against its authors' code: eight codebooks, two projections, one size."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from parity import (
    GOLDEN,
    MAX_DECODE_ERROR,
    MAX_LATENT_ERROR,
    assert_parity,
    errors,
    pixels_of,
    references,
)
from seeded import seeded_state
from torch import Tensor, nn
from torch.nn import functional

from vtok.errors import ShardError, WeightsError
from vtok.models.base import PixelRange, Tokenizer
from vtok.models.families.unitok import tokenizer as unitok
from vtok.models.families.unitok.tokenizer import ProjectionAttention
from vtok.models.families.unitok.vitamin import GegluMlp
from vtok.models.registry import convert_tokenizer, load_tokenizer
from vtok.nn.quantizer import VectorQuantizer
from vtok.records import Size

SIZES = {"sq": Size(height=64, width=64), "ns": Size(height=64, width=96)}
SIDES = {"sq": 64, "ns": [64, 96]}


def state_of(family: str) -> dict[str, Tensor]:
    model = json.loads((GOLDEN / family / "model.json").read_text())
    return seeded_state(model["tensors"], model["seed"])


def written(folder: Path, state: dict[str, Tensor], **arguments: object) -> str:
    """Their trainer's file: the model beside its discriminator, the arguments beside both."""
    trainer = {
        "config": {"epochs": 1},
        "unitok": state,
        "disc": {"head.weight": torch.ones(2)},
        "unitok_optim": {"state": {}, "param_groups": [{"lr": 0.1}]},
    }
    held = {"args": {"model": "vitamin_tiny", **arguments}, "epoch": 0, "trainer": trainer}
    torch.save(held, folder / "unitok_tokenizer.pth")
    return str(folder / "unitok_tokenizer.pth")


def loaded(folder: Path, tag: str = "sq", family: str = "unitok") -> Tokenizer:
    side = SIDES[tag]
    if isinstance(side, int):  # as the authors' arguments have it
        return load_tokenizer(written(folder, state_of(family), img_size=side, dtype=torch.float32))
    (folder / "config.json").write_text(json.dumps({"img_size": side}))
    return load_tokenizer(written(folder, state_of(family), img_size=256))


@pytest.mark.parametrize(
    ("family", "tag"), [("unitok", "sq"), ("unitok", "ns"), ("unitok-linear", "sq")]
)
def test_equals_the_authors_code(family: str, tag: str, tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path, tag, family)
    assert tokenizer.spec.family == "unitok"
    assert tokenizer.spec.fixed_size == SIZES[tag]
    assert_parity(tokenizer, references(family), family, tag)
    shape = tokenizer.spec.index_shape(SIZES[tag])
    assert references(family)[f"idx_{tag}"].shape[1:] == shape
    assert shape[0] == 8
    assert tokenizer.spec.image_size(shape) == SIZES[tag]


def test_it_is_one_size_and_eight_rows(tmp_path: Path) -> None:
    state = state_of("unitok")
    spec = load_tokenizer(written(tmp_path, state)).spec
    assert spec.fixed_size == Size(height=256, width=256)
    assert spec.index_shape(spec.fixed_size) == (8, 256)
    assert str(spec.codes) == "(8, L)"
    assert spec.index_dtype == np.uint8  # 128 codes each
    tokenizer = loaded(tmp_path)
    with pytest.raises(ShardError, match=r"are not \(8, 16\)"):
        tokenizer.lookup(torch.zeros(1, 8, 24, dtype=torch.int64))
    with pytest.raises(ShardError, match="cannot decode"):
        tokenizer.spec.image_size((8, 24))
    with pytest.raises(ShardError, match="outside"):
        tokenizer.lookup(torch.full((1, 8, 16), 128))


def test_another_pixel_range_is_seen(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path)
    unit = PixelRange(mean=(0.0,) * 3, std=(1.0,) * 3)
    object.__setattr__(tokenizer.spec, "pixels", unit)
    latents, wrong, _, _ = errors(tokenizer, references("unitok"), "sq")
    assert latents > 0.1
    assert wrong > 0


@pytest.mark.parametrize(("kind", "eps"), [("tower", 1e-5), ("projection", 1e-6)])
def test_the_other_eps_is_seen(kind: str, eps: float, tmp_path: Path) -> None:
    """The towers' norms have 1e-6, those of the projections torch's own 1e-5."""
    tokenizer = loaded(tmp_path)
    for module in tokenizer.modules():
        if isinstance(module, nn.LayerNorm) and (module.eps == 1e-5) == (kind == "projection"):
            module.eps = eps
    latents, _, _, decoded = errors(tokenizer, references("unitok"), "sq")
    assert decoded is not None
    assert latents > MAX_LATENT_ERROR or decoded.max() > MAX_DECODE_ERROR


def test_codes_that_are_not_normalised_are_seen(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path)
    for part in tokenizer.modules():
        if isinstance(part, VectorQuantizer):
            part.metric = "l2"
    _, wrong, _, decoded = errors(tokenizer, references("unitok"), "sq")
    assert wrong > 0
    assert decoded is not None
    assert decoded.max() > 0.01


def test_the_exact_gelu_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exact(self: GegluMlp, x: Tensor) -> Tensor:
        x = self.norm(x)
        mixed: Tensor = self.w2(functional.gelu(self.w0(x)) * self.w1(x))
        return mixed

    tokenizer = loaded(tmp_path)
    monkeypatch.setattr(GegluMlp, "forward", exact)
    latents, _, _, _ = errors(tokenizer, references("unitok"), "sq")
    assert latents > MAX_LATENT_ERROR


def test_the_causal_projection_of_the_first_release_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attend = functional.scaled_dot_product_attention

    def causal(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attend(query, key, value, is_causal=True)

    tokenizer = loaded(tmp_path)
    assert any(isinstance(each, ProjectionAttention) for each in tokenizer.modules())
    seen = SimpleNamespace(linear=functional.linear, scaled_dot_product_attention=causal)
    monkeypatch.setattr(unitok, "functional", seen)  # of the projections alone
    latents, wrong, _, _ = errors(tokenizer, references("unitok"), "sq")
    assert latents > MAX_LATENT_ERROR
    assert wrong > 0


def test_the_decoder_is_clamped(tmp_path: Path) -> None:
    tokenizer = loaded(tmp_path)
    with torch.no_grad():
        codes = tokenizer.lookup(
            tokenizer.tokenize(pixels_of(tokenizer, references("unitok")["img_sq"]))
        )
        assert tokenizer.decode(codes).abs().max() == 1


def test_a_converted_one_keeps_its_size(tmp_path: Path) -> None:
    source = written(tmp_path, state_of("unitok"), img_size=64)
    convert_tokenizer(source, tmp_path / "converted")
    spec = load_tokenizer(str(tmp_path / "converted")).spec
    assert (spec.fixed_size, spec.family) == (SIZES["sq"], "unitok")


@pytest.mark.parametrize("side", [0, 100, "256", [64], [64, 64, 64], 1 << 20, True])
def test_sizes_cannot_be_anything(side: object, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"img_size": side}))
    with pytest.raises(WeightsError, match="img_size cannot be"):
        load_tokenizer(written(tmp_path, state_of("unitok")))


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("quantizer.codebooks.0.codebook.weight", "missing: quantizer.parts.0.codebook"),
        ("encoder.blocks.1.attn.qkv.bias", "missing: encoder.blocks.1.attn.qkv.bias"),
        ("encoder.patch_embed.backbone.stem.conv1.weight", "missing: encoder.stem.conv1.weight"),
        ("decoder.up_conv3.1.conv3_1x1.bias", "missing: decoder.up_conv3.1.conv3_1x1.bias"),
    ],
)
def test_what_is_lost_is_named(lost: str, said: str, tmp_path: Path) -> None:
    state = state_of("unitok")
    del state[lost]
    with pytest.raises(WeightsError, match=said):
        load_tokenizer(written(tmp_path, state))


def test_a_file_of_another_family_is_said_in_words(tmp_path: Path) -> None:
    torch.save({"encoder.conv_in.weight": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"missing: quantizer\.parts\.0, without which"):
        load_tokenizer(str(tmp_path / "other.pth"), family="unitok")
