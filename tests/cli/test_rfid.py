"""rFID through the command: by drawn weights of Inception, and a line where there are none."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from vtok.engine.frechet import Distribution, frechet_distance
from vtok.models.inception import load_inception

TESTS = Path(__file__).parents[1]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch's hub."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The network's tensors, drawn."""
    sys.path.insert(0, str(TESTS / "models"))
    try:
        from seeded import seeded_state
    finally:
        sys.path.pop(0)
    model = json.loads((TESTS / "golden" / "inception" / "model.json").read_text())
    path = tmp_path / "drawn.pth"
    torch.save(seeded_state(model["shapes"], model["seed"], model["gains"]), path)
    return path


def test_a_line_says_what_is_missing(
    vtok: Any, photos: Path, model: Path, tmp_path: Path, cache: Path
) -> None:
    made, images = tmp_path / "made", tmp_path / "images"
    vtok("encode-vq", photos, made, "--model", model, "--workers", 0)
    said = vtok("decode-vq", made, images, "--reference", photos).stdout
    assert "no rFID: Inception's weights are not on this machine" in said
    assert "--fid-weights" in said
    report = vtok("decode-vq", made, images, "--reference", photos, "--json").report
    assert "rfid" not in report["quality"]
    assert "--fid-weights" in report["quality"]["no_rfid"]
    (cache / "pt_inception-2015-12-05-6726825d.pth").write_bytes(b"cut")
    out = tmp_path / "other"
    said = vtok("decode-vq", made, out, "--reference", photos, code=4).stderr
    assert "pt_inception" in said
    assert not out.exists()
    vtok("decode-vq", made, out, "--fid-weights", cache, code=2)


def test_the_distance_is_that_of_the_written_files(
    vtok: Any, photos: Path, model: Path, tmp_path: Path, cache: Path, weights: Path
) -> None:
    import numpy as np
    from PIL import Image

    made, images = tmp_path / "made", tmp_path / "images"
    vtok("encode-vq", photos / "deep", made, "--model", model, "--workers", 0)
    arguments = ("decode-vq", made, images, "--reference", photos / "deep")
    said = vtok(*arguments, "--fid-weights", weights, "--workers", 1).stdout
    report = vtok(*arguments, "--fid-weights", weights, "--json").report
    found = report["quality"]["rfid"]
    assert f"rFID  {found:.3f} over 3 images" in said
    network = load_inception(weights)
    sets = (Distribution(2048), Distribution(2048))
    for path in sorted((photos / "deep").iterdir()):
        written = images / f"{path.stem}.png"
        for each, seen in zip((path, written), sets, strict=True):
            pixels = torch.from_numpy(np.array(Image.open(each).convert("RGB"))).permute(2, 0, 1)
            with torch.inference_mode():
                seen.add(network(pixels[None]).numpy())
    assert found == pytest.approx(frechet_distance(*sets), rel=1e-3, abs=1e-6)
    assert found > 0
