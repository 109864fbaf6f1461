"""`vtok bench`: every figure is there and of the right kind; how large they are is not tested."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

QUICK = ("--limit", 6, "--rounds", 1, "--workers", 1)


@pytest.mark.parametrize("tokens", ["vq", "continuous"])
def test_a_model_on_the_cpu(vtok: Any, photos: Path, model: Path, tokens: str) -> None:
    report = vtok("bench", photos, "--model", model, "--tokens", tokens, *QUICK, "--json").report
    assert (report["images"], report["device"]) == (6, "cpu")
    assert all(value > 0 for value in report["stages_ms_per_image"].values())
    run = report["run"]
    assert run["wall_over_limit"] > 0
    assert run["cpu_over_stages"] > 1  # a run does more than its stages
    assert run["device_busy"] is None
    assert run["bottleneck"] in {"decode", "model", "write"}
    assert report["model"]["batch_size"] > 0


def test_a_fake_device_waits_as_long_as_it_was_told_to(vtok: Any, photos: Path) -> None:
    for tokens in ("vq", "continuous"):
        arguments = ("bench", photos, "--tokens", tokens, "--fake-device", 20, *QUICK, "--json")
        report = vtok(*arguments).report
        assert report["views"] == 6
        assert report["stages_ms_per_image"]["model"] >= 20
        assert report["run"]["limit_s"] >= 6 * 0.020
        assert 0 < report["run"]["device_busy"] <= 1


def test_the_overlap_is_drawn(vtok: Any, photos: Path, tmp_path: Path) -> None:
    picture = tmp_path / "overlap.png"
    outcome = vtok("bench", photos, "--fake-device", 1, *QUICK, "--timeline", picture)
    assert "wall / limit" in outcome.stdout
    with Image.open(picture) as drawn:
        assert drawn.width == 1400
        colours = {colour for _, colour in drawn.convert("RGB").getcolors(1 << 20)}
    assert {(255, 183, 3), (76, 201, 240), (128, 200, 120)} <= colours  # decode, model, write


def test_nonsense_is_refused(vtok: Any, photos: Path, tmp_path: Path) -> None:
    assert "--rounds" in vtok("bench", photos, "--rounds", 0, code=2).stderr
    assert "at least 0 ms" in vtok("bench", photos, "--fake-device", -1, code=2).stderr
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    refused = vtok("bench", tmp_path, "--fake-device", 1, *QUICK, code=3)
    assert "no image among the first 1 of" in refused.stderr


def test_a_model_is_held_against_the_matrix_rate_and_the_verdict_is_in_words(
    vtok: Any, photos: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vtok.engine.peak.MAX_VIEWS_ON_CPU", 2)
    arguments = ("bench", photos, "--model", model, "--tokens", "vq", *QUICK, "--batch-sizes")
    squash = ("--scheme", "squash", "--tile-size", 32)
    facts = vtok(*arguments, *squash, "--json").report["model"]
    assert facts["flop_per_image"] > 0
    assert 0 < facts["share_of_matrix_rate"] < 1.5
    assert set(facts["ms_per_view_by_batch"]) == {"1", "2"}
    text = vtok(*arguments, *squash).stdout
    for said in ("model / matrix rate", "bounded by", "what would move it", "batches of 2"):
        assert said in text
