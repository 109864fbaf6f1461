"""`--allow-torchscript`: encode and decode by a program that nothing here knows."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn


class Encoder(nn.Module):
    """8 px a cell; an index is the mean brightness, of 64."""

    def forward(self, pixels: Tensor) -> Tensor:
        mean = nn.functional.avg_pool2d(pixels, 8).mean(1)
        return ((mean + 1) / 2 * 63).round().long()


class Decoder(nn.Module):
    """Flat cells."""

    def forward(self, indices: Tensor) -> Tensor:
        cells = (indices / 63.0 * 2 - 1).unsqueeze(1).expand(-1, 3, -1, -1)
        return nn.functional.interpolate(cells, scale_factor=8.0)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    folder = tmp_path / "program"
    folder.mkdir()
    indices = torch.zeros(1, 4, 4, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit")
        torch.jit.trace(Encoder(), torch.zeros(1, 3, 32, 32)).save(str(folder / "encoder.jit"))
        torch.jit.trace(Decoder(), indices).save(str(folder / "decoder.jit"))
    (folder / "config.json").write_text(json.dumps({"codebook_size": 64}))
    return folder


def test_there_and_back(vtok: Any, photos: Path, program: Path, tmp_path: Path) -> None:
    made, images = tmp_path / "made", tmp_path / "images"
    encode = ("encode-vq", photos, made, "--model", program, "--workers", 0)
    refused = vtok(*encode, code=4)
    assert refused.stderr.count("\n") == 1
    assert not made.exists()
    report = vtok(*encode, "--allow-torchscript", "--json").report
    assert report["failed"] == 0
    decode = ("decode-vq", made, images, "--workers", 1)
    assert "--allow-torchscript runs that" in vtok(*decode, code=2).stderr
    vtok(*decode, "--allow-torchscript", "--quiet")
    with Image.open(images / "f.png") as decoded:
        assert decoded.size == (90, 17)
    vtok("verify", made, "--quiet")
    assert "--allow-torchscript" in vtok("verify", made, "--decode", 1, code=2).stderr
