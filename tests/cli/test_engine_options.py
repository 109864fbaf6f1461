"""Options of the engine as they are typed: --memory and --compile."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from vtok.engine import compiled


def test_bytes_are_read_as_people_write_them(vtok: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "in" / "a.png")
    vtok("tile", tmp_path / "in", tmp_path / "out", "--memory", "64MiB")
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())
    for wrong in ("4X", "-1", "63M", "much"):
        refused = vtok("tile", tmp_path / "in", tmp_path / "out", "--memory", wrong, code=2)
        assert "--memory" in refused.stderr


def test_a_compiled_model_gives_the_same_indices_and_the_plan_says_so(
    vtok: Any, photos: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    torch._dynamo.reset()
    common = ("--model", model, "--scheme", "squash", "--tile-size", 32, "--workers", 1)
    vtok("encode-vq", photos, tmp_path / "plain", *common)
    vtok("encode-vq", photos, tmp_path / "compiled", *common, "--compile")
    torch._dynamo.reset()
    plans = [
        json.loads((tmp_path / name / "plan.json").read_text())["configuration"]
        for name in ("plain", "compiled")
    ]
    assert "compiled" not in plans[0]
    assert plans[1] == {**plans[0], "compiled": True}
    import vtok as library

    plain, other = (
        {sample.key: sample.array.tolist() for sample in library.open_shards(tmp_path / name)}
        for name in ("plain", "compiled")
    )
    assert plain
    assert other == plain


def test_views_of_many_sizes_are_not_compiled_for(
    vtok: Any, photos: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    arguments = ("encode-vq", photos, tmp_path / "out", "--model", model, "--compile")
    refused = vtok(*arguments, code=2)
    assert "views of one size" in refused.stderr
    monkeypatch.setattr(compiled, "BACKEND", "inductor")
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "no-such-compiler" in vtok(*arguments, code=5).stderr
