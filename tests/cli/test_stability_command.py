"""`vtok inspect --stability` from the command line."""

from pathlib import Path
from typing import Any


def test_shares_are_reported(vtok: Any, photos: Path, model: Path) -> None:
    base = ("inspect", photos, "--stability", "--model", model, "--size", 16)
    report = vtok(*base, "--json").report
    assert report["size_px"] == 16
    assert len(report["images"]) == 7
    assert {(way["compute_dtype"], way["batch_size"]) for way in report["ways"]} == {
        ("float32", 2),
        ("float32", 4),
        ("float32", 7),
        ("bfloat16", 1),
        ("float16", 1),
    }
    for way in report["ways"]:
        assert way["num_indices"] == 7 * 4
        assert way["share"] == way["num_changed"] / 28
    lines = vtok(*base).stdout.splitlines()
    assert "of 28" in lines[2]
    assert "7 images of 16x16" in lines[-1]


def test_what_does_not_go_together_is_said(vtok: Any, photos: Path) -> None:
    for flags in (("--stability", "--csv"), ("--stability", "--scheme", "native")):
        assert "--stability takes" in vtok("inspect", photos, *flags, code=2).stderr
    assert "--stability" in vtok("inspect", photos, "--device", "cpu:1", code=2).stderr
