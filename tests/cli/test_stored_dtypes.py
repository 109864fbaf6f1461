"""What features are stored in: each dtype's own numbers, and a loud word where one does not fit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vtok as library
from vtok.engine import runner
from vtok.shards.bfloat16 import from_bfloat16, to_bfloat16

QUICK = ("--workers", 0, "--scheme", "squash", "--tile-size", 32)


@pytest.mark.parametrize("layout", ["sample", "block"])
def test_every_dtype_holds_the_same_features(
    vtok: Any, photos: Path, model: Path, tmp_path: Path, layout: str
) -> None:
    arrays = {}
    for dtype in ("fp16", "bf16", "fp32"):
        out = tmp_path / dtype
        arguments = ("--model", model, "--dtype", dtype, "--layout", layout, *QUICK)
        vtok("encode-continuous", photos, out, *arguments, "--compute-dtype", "fp32")
        arrays[dtype] = np.stack([sample.array for sample in library.open_shards(out)])
    exact = arrays["fp32"]
    assert [array.dtype.name for array in arrays.values()] == ["float16", "float32", "float32"]
    assert np.array_equal(arrays["fp16"], exact.astype(np.float16))
    assert np.array_equal(arrays["bf16"], from_bfloat16(to_bfloat16(exact)))
    assert not np.array_equal(arrays["bf16"], exact)


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the features of the third image NaN, and those of the fifth large."""
    real = runner.Runner.encode

    def spoiled(self: runner.Runner, outcomes: Any) -> Any:
        for position, each in enumerate(real(self, outcomes)):
            assert isinstance(each, runner.EncodedSample)
            arrays = {name: array.astype(np.float32) for name, array in each.arrays.items()}
            for array in arrays.values():
                array[0, 1] = {2: np.nan, 4: -70000}.get(position, 0)
            yield replace(each, arrays=arrays)

    monkeypatch.setattr(runner.Runner, "encode", spoiled)


@pytest.mark.usefixtures("spoil")
@pytest.mark.parametrize("layout", ["sample", "block"])
def test_overflow_names_the_image_and_what_to_store(
    vtok: Any, photos: Path, model: Path, tmp_path: Path, layout: str
) -> None:
    arguments = (photos, tmp_path, "--model", model, "--layout", layout, *QUICK)
    outcome = vtok("encode-continuous", *arguments, "--verbose")
    (nan, large) = [line for line in outcome.stderr.splitlines() if "failed: " in line]
    assert "c.webp" in nan
    assert "NaN" in nan
    assert "deep/d.bmp" in large
    assert "70000 does not fit float16 (at most 65504)" in large
    assert "--dtype bf16" in large
    assert len(list(library.open_shards(tmp_path))) == 5


@pytest.mark.usefixtures("spoil")
def test_bfloat16_takes_what_fp16_cannot(
    vtok: Any, photos: Path, model: Path, tmp_path: Path
) -> None:
    arguments = (photos, tmp_path, "--model", model, "--dtype", "bf16", *QUICK, "--json")
    report = vtok("encode-continuous", *arguments).report
    assert [failure["reason"] for failure in report["failures"]] == ["non-finite"]
    samples = {sample.meta["source"]: sample.array for sample in library.open_shards(tmp_path)}
    assert samples["deep/d.bmp"][0, 1] == -70144  # the nearest of eight bits
    assert len(samples) == 6


@pytest.mark.parametrize("changed", [("--dtype", "bf16"), ("--layout", "block")])
def test_a_run_is_not_resumed_in_another_dtype_or_layout(
    vtok: Any, photos: Path, model: Path, tmp_path: Path, changed: tuple[str, str]
) -> None:
    arguments = ("encode-continuous", photos, tmp_path, "--model", model, *QUICK)
    vtok(*arguments)
    (tmp_path / "shard-000000.json").unlink()
    assert "another plan" in vtok(*arguments, *changed, code=3).stderr
