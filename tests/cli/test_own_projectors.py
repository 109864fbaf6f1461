"""`encode-continuous --projector`: what is stored, what is said, what a run is resumed with."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import vtok as library
from vtok.models.adapting.projector_file import make_projector
from vtok.models.registry import load_encoder
from vtok.records import Grid

QUICK = ("--workers", 0, "--scheme", "squash", "--tile-size", 32, "--compute-dtype", "fp32")
DIM = 20


@pytest.mark.parametrize(
    ("name", "kind", "number", "num_tokens"),
    [
        ("mlp", "mlp", 0, 16),
        ("pixel-shuffle", "pixel-shuffle", 2, 4),
        ("resampler:7", "resampler", 7, 7),
    ],
)
def test_features_are_projected(
    vtok: Any,
    photos: Path,
    model: Path,
    tmp_path: Path,
    name: str,
    kind: Any,
    number: int,
    num_tokens: int,
) -> None:
    encoder = load_encoder(str(model))
    projector = make_projector(kind, number, encoder.spec.dim, DIM)
    weights = tmp_path / "projector.safetensors"
    save_file(projector.state_dict(), weights)
    plain, out = tmp_path / "plain", tmp_path / "out"
    arguments = ("--model", model, "--dtype", "fp32", *QUICK)
    vtok("encode-continuous", photos, plain, *arguments)
    outcome = vtok(
        "encode-continuous", photos, out, *arguments, "--projector", name,
        "--projector-weights", weights,
    )  # fmt: skip
    assert "random" not in outcome.stderr
    grid = Grid(rows=4, cols=4)
    for before, after in zip(library.open_shards(plain), library.open_shards(out), strict=True):
        with torch.inference_mode():
            expected = projector(torch.from_numpy(before.array)[None], grid)[0]
        assert after.array.shape == (num_tokens, DIM)
        np.testing.assert_allclose(after.array, expected.numpy(), atol=1e-5)
        assert bool(after.meta["token_grids"]) == (kind != "resampler")
        assert after.meta["tokens"] == num_tokens
    header = next(iter(library.open_shards(out).shards)).header
    assert header.model is not None
    plan = json.loads((out / "plan.json").read_text())
    for record in (header.model.spec["projector"], plan["configuration"]["projector"]):
        assert len(record["weights_sha256"]) == 64
        assert record["seed"] is None
    dims = f"{encoder.spec.dim} to {DIM}"
    shown = f"{kind}:{number}, {dims}" if number else f"{kind}, {dims}"
    assert shown in vtok("inspect", out).stdout


def test_a_random_projector_is_said_and_resumed_only_as_itself(
    vtok: Any, photos: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("encode-continuous", photos, tmp_path, "--model", model, *QUICK)
    asked = ("--projector", "linear", "--projector-dim", DIM)
    outcome = vtok(*arguments, *asked, "--seed", 3)
    assert "drawn at random (--seed 3)" in outcome.stderr
    assert "drawn at random with --seed 3" in vtok("inspect", tmp_path).stdout
    with monkeypatch.context() as patch:
        patch.setattr("vtok.models.registry.load_encoder", None)
        vtok(*arguments, *asked, "--seed", 3)
    for changed in ((*asked, "--seed", 4), (), ("--projector", "mlp", "--seed", 3)):
        assert "another plan" in vtok(*arguments, *changed, code=3).stderr


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (("--projector", "qformer"), "there are linear, mlp, pixel-shuffle:F"),
        (("--projector", "resampler"), "resampler:N (N tokens)"),
        (("--projector", "linear:3"), "there are linear"),
        (("--projector", "mlp", "--projector-dim", 0), "at least 1"),
        (("--projector-dim", 8), "say which projector"),
    ],
)
def test_what_is_no_projector_is_a_usage_error(
    vtok: Any, photos: Path, tmp_path: Path, flags: tuple[object, ...], problem: str
) -> None:
    assert problem in vtok("encode-continuous", photos, tmp_path, *flags, code=2).stderr
