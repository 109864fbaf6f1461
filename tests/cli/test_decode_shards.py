"""Decoded images as shards: what plain webdataset reads, resumed, verified, compared."""

import gc
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image

# webdataset leaves the tars it has read for the collector to close.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Digests = Callable[[Path], dict[str, str]]


@pytest.fixture
def made(vtok: Any, photos: Path, model: Path, tmp_path: Path) -> Path:
    vtok("encode-vq", photos, tmp_path / "made", "--model", model, "--workers", 0)
    return tmp_path / "made"


def read(folder: Path) -> list[dict[str, Any]]:
    urls = [str(path) for path in sorted(folder.glob("*.tar"))]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    gc.collect()
    return samples


def test_plain_webdataset_reads_the_very_pixels_of_the_files(
    vtok: Any, made: Path, tmp_path: Path
) -> None:
    vtok("decode-vq", made, tmp_path / "files")
    said = vtok(
        "decode-vq", made, tmp_path / "shards", "--output-format", "webdataset", "--shard-size", 3
    ).stdout
    assert "(7 images in 3 shards)" in said
    samples = read(tmp_path / "shards")
    assert [sample["__key__"] for sample in samples] == [f"{n:012d}" for n in range(7)]
    assert samples[0]["txt"] == b"a smooth picture"
    for sample in samples:
        meta = json.loads(sample["json"])
        file = (tmp_path / "files" / meta["source"]).with_suffix(".png")
        if meta["source"] == "b.v2.jpg":
            file = tmp_path / "files" / "b.v2.png"
        pixels = np.asarray(Image.open(io.BytesIO(sample["png"])))
        assert np.array_equal(pixels, np.asarray(Image.open(file)))
        assert meta["pictures"]["whole"] == {"height": pixels.shape[0], "width": pixels.shape[1]}
        assert meta["cut"]["size"] == meta["pictures"]["whole"]
    assert json.loads(samples[0]["json"])["metadata"] == {"rating": 5}


def test_it_resumes_to_the_same_bytes_and_verifies(
    vtok: Any, made: Path, tmp_path: Path, digests: Digests
) -> None:
    shards = tmp_path / "shards"
    arguments = ("decode-vq", made, shards, "--output-format", "webdataset", "--shard-size", 3)
    vtok(*arguments, "--format", "webp", "--lossless")
    whole = digests(shards)
    assert vtok("verify", shards, "--json").report["state"] == "whole"
    again = vtok(*arguments, "--format", "webp", "--lossless", "--json").report
    assert (again["written"], again["images"], again["shards"]) == (7, 0, 3)
    (shards / "shard-000001.json").unlink()  # as if killed before its commit
    (shards / "manifest.json").unlink()
    resumed = vtok(*arguments, "--format", "webp", "--lossless", "--json").report
    assert (resumed["written"], resumed["images"]) == (7, 3)
    assert digests(shards) == whole
    vtok(*arguments, "--format", "jpg", code=3)
    assert digests(shards) == whole
    said = vtok("inspect", shards).stdout
    assert "webp" in said
    assert "an index a cell" not in said  # these are pictures, whatever they were made of


def test_the_reference_is_found_in_shards_too(
    vtok: Any, photos: Path, made: Path, tmp_path: Path
) -> None:
    files = vtok("decode-vq", made, tmp_path / "f", "--reference", photos, "--json").report
    shards = vtok(
        *("decode-vq", made, tmp_path / "s", "--output-format", "webdataset", "--json"),
        *("--reference", photos, "--shard-size", 2),
    ).report
    assert shards["quality"] == files["quality"]
    assert files["quality"]["compared"] == 7


def test_crops_keep_their_names_and_are_compared(
    vtok: Any, photos: Path, model: Path, tmp_path: Path
) -> None:
    made, shards = tmp_path / "crops", tmp_path / "shards"
    vtok("encode-vq", photos, made, "--model", model, "--ten-crop", "--size", 16, "--workers", 0)
    report = vtok(
        *("decode-vq", made, shards, "--output-format", "webdataset", "--json"),
        *("--reference", photos, "--limit", 2),
    ).report
    assert (report["written"], report["files"]) == (2, 20)
    assert report["quality"]["compared"] == 20
    assert sum(name.endswith(".png") for name in read(shards)[0]) == 10


def test_decoded_shards_are_images_to_encode_again(
    vtok: Any, made: Path, model: Path, tmp_path: Path
) -> None:
    shards, again = tmp_path / "shards", tmp_path / "again"
    vtok("decode-vq", made, shards, "--output-format", "webdataset")
    tar = shards / "shard-000000.tar"
    report = vtok("encode-vq", tar, again, "--model", model, "--workers", 0, "--json").report
    assert (report["written"], report["failed"]) == (7, 0)
    assert (read(again)[0]["__key__"], read(again)[0]["txt"]) == (
        "000000000000",
        b"a smooth picture",
    )
