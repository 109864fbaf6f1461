"""What was done to an image is said three times: in its sample, its commit and the manifest."""

import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms


def write_each(folder: Path) -> None:
    """Write an image for each kind of conversion, and one that needs none."""
    folder.mkdir()
    plain = Image.new("RGB", (28, 28), (200, 100, 50))
    plain.save(folder / "plain.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    plain.save(folder / "turned.jpg", exif=exif)
    Image.new("RGBA", (28, 28), (200, 100, 50, 128)).save(folder / "clear.png")
    Image.fromarray(np.full((28, 28), 40_000, dtype=np.uint16)).save(folder / "deep.png")
    not_of_rgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ"))
    plain.save(folder / "profile.png", icc_profile=not_of_rgb.tobytes())
    frames = [Image.new("RGB", (28, 28), (shade, 0, 0)) for shade in (0, 255)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])


def test_every_conversion_is_stated(vtok: Any, tmp_path: Path) -> None:
    write_each(tmp_path / "in")
    out = tmp_path / "out"
    vtok("tile", tmp_path / "in", out, "--tile-size", 28, "--workers", 0, "--quiet")
    with tarfile.open(out / "shard-000000.tar") as tar:
        members = [each for each in tar if each.name.endswith(".json") and each.name[0].isdigit()]
        files = [tar.extractfile(each) for each in members]
        samples = [json.loads(file.read()) for file in files if file is not None]
    told = {each["source"]: each["conversions"] for each in samples}
    assert told == {
        "clear.png": ["alpha-ffffff"],
        "deep.png": ["16-bit", "grey"],
        "moving.gif": ["first-frame", "palette"],
        "plain.png": [],
        "profile.png": ["icc-ignored"],
        "turned.jpg": ["orientation-6"],
    }
    counts = Counter(code for codes in told.values() for code in codes)
    assert json.loads((out / "shard-000000.json").read_text())["conversions"] == counts
    assert json.loads((out / "manifest.json").read_text())["conversions"] == counts
