"""An image that a format cannot hold fails by itself; the others are decoded."""

from pathlib import Path
from typing import Any

from PIL import Image

from vtok.pipelines.outputs import pictures


def test_an_image_too_wide_for_webp_fails_alone(
    vtok: Any, photos: Path, model: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setitem(pictures._LONGEST_SIDE_PX, "webp", 90)
    made, images = tmp_path / "made", tmp_path / "images"
    vtok("encode-vq", photos, made, "--model", model, "--workers", 0)
    arguments = ("decode-vq", made, images, "--format", "webp", "--workers", 1, "--json")
    report = vtok(*arguments).report
    assert (report["written"], report["failed"]) == (6, 1)
    assert report["failures"][0]["source"] == "deep/d.bmp"
    assert report["failures"][0]["reason"] == "too-large"
    assert "longer than webp holds (90)" in report["failures"][0]["message"]
    assert not (images / "deep" / "d.webp").exists()
    with Image.open(images / "f.webp") as image:
        assert image.size == (90, 17)
    again = vtok(*arguments).report
    assert (again["written"], again["failed"], again["images"]) == (6, 1, 0)
