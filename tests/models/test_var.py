"""VAR's multi-scale tokenizer against its authors' own code, square and not."""

import json
from pathlib import Path

import pytest
import torch
from parity import GOLDEN, assert_parity, errors, references
from seeded import seeded_state

from vtok.codeshape import CodeShape
from vtok.errors import ShardError, WeightsError
from vtok.models.registry import convert_tokenizer, load_tokenizer
from vtok.nn.quantizer import MultiScaleQuantizer
from vtok.records import Size

SCALES = {"sq": [1, 2, 3, 4], "ns": [[1, 1], [2, 3], [3, 4], [4, 6]]}
SIZES = {"sq": Size(height=64, width=64), "ns": Size(height=64, width=96)}


def var(folder: Path, scales: object) -> Path:
    """A plain state dict; the scales, which the authors' file does not have, beside it."""
    model = json.loads((GOLDEN / "var" / "model.json").read_text())
    torch.save(seeded_state(model["tensors"], model["seed"]), folder / "vae.pth")
    if scales is not None:
        (folder / "config.json").write_text(json.dumps({"v_patch_nums": scales}))
    return folder


@pytest.mark.parametrize("tag", SCALES)
def test_equals_the_authors_code(tag: str, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(var(tmp_path, SCALES[tag])))
    assert tokenizer.spec.family == "var"
    assert tokenizer.spec.fixed_size == SIZES[tag]
    assert_parity(tokenizer, references("var"), "var", tag)
    shape = tokenizer.spec.index_shape(SIZES[tag])
    assert references("var")[f"idx_{tag}"].shape[1:] == shape
    assert tokenizer.spec.image_size(shape) == SIZES[tag]
    with pytest.raises(ShardError, match="cannot decode"):
        tokenizer.spec.image_size((shape[0] - 1,))


def test_another_order_of_convolutions_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = load_tokenizer(str(var(tmp_path, SCALES["sq"])))
    monkeypatch.setattr(MultiScaleQuantizer, "_refiner", lambda self, place: 0)
    _, wrong, _, decoded = errors(tokenizer, references("var"), "sq")
    assert wrong > 0
    assert decoded is not None
    assert decoded.max() > 0.01


def test_without_scales_the_published_ones_hold(tmp_path: Path) -> None:
    spec = load_tokenizer(str(var(tmp_path, None))).spec
    assert spec.fixed_size == Size(height=256, width=256)
    assert str(spec.codes) == "(680)"
    assert CodeShape.from_json(spec.codes.to_json()) == spec.codes


def test_a_converted_one_keeps_its_scales(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    source = var(tmp_path / "source", SCALES["ns"])
    convert_tokenizer(str(source), tmp_path / "converted")
    assert load_tokenizer(str(tmp_path / "converted")).spec.codes.scales[-1].cols == 6


@pytest.mark.parametrize("scales", [[], [0, 4], [[1, 1, 1]], "1234", [1, 1 << 20]])
def test_scales_cannot_be_anything(scales: object, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="v_patch_nums cannot be"):
        load_tokenizer(str(var(tmp_path, scales)))
