"""The real webdataset reads every kind of shard that we write."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
import webdataset as wds
from PIL import Image
from shard_samples import index_header, index_samples, write_shard

from vtok.shards.header import ShardHeader
from vtok.shards.reader import Shard
from vtok.shards.samples import ImageBytes, Sample

# webdataset leaves the files that it has read to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def dataset(path: Path) -> wds.WebDataset:
    return wds.WebDataset(str(path), shardshuffle=False)


def test_indices_one_member_a_sample(tmp_path: Path) -> None:
    samples = index_samples(9)
    write_shard(tmp_path / "x.tar", index_header(), samples)
    read = list(
        dataset(tmp_path / "x.tar").decode().to_tuple("__key__", "whole.indices.npy", "json", "txt")
    )
    for sample, (key, indices, meta, text) in zip(samples, read, strict=True):
        assert key == sample.key == meta["key"]
        assert np.array_equal(indices, sample.indices["whole"])
        assert indices.dtype == np.uint16
        assert meta["source"] == sample.meta["source"]
        assert text == sample.sidecars["txt"].decode()


@pytest.mark.parametrize("layout", ["sample", "block"])
def test_bfloat16_features(tmp_path: Path, layout: str) -> None:
    """Read as the documentation says; taken for numbers, they are refused and not misread."""
    header = ShardHeader(
        kind="features",
        layout=layout,  # type: ignore[arg-type]
        plan_sha256="0" * 64,
        feature_dtype="bfloat16",
    )
    features = torch.randn(3, 5, 4) * 1e30
    samples = [Sample(key=f"{i}", features={"whole": f.numpy()}) for i, f in enumerate(features)]
    write_shard(tmp_path / "x.tar", header, samples)
    read = dataset(tmp_path / "x.tar").decode().to_tuple("whole.features.npy")
    for i, (array,) in enumerate(read.unbatched() if layout == "block" else read):
        with pytest.raises((TypeError, ValueError)):
            array.astype(np.float32)
        with pytest.raises(TypeError):
            torch.from_numpy(array)
        as_torch = torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
        assert torch.equal(as_torch, features[i].to(torch.bfloat16))
        as_numpy = array.view(ml_dtypes.bfloat16).astype(np.float32)
        assert np.array_equal(as_numpy, as_torch.float().numpy())
    assert i == 2
    for sample, expected in zip(Shard(tmp_path / "x.tar"), features, strict=True):
        assert sample.array.dtype == np.float32
        assert np.array_equal(sample.array, expected.to(torch.bfloat16).float().numpy())


def test_indices_in_blocks(tmp_path: Path) -> None:
    samples = index_samples(9)
    write_shard(tmp_path / "x.tar", index_header("block"), samples, samples_per_block=4)
    fields = ("keys.json", "whole.indices.npy", "meta.json", "txt.list.json")
    read = list(dataset(tmp_path / "x.tar").decode().to_tuple(*fields).unbatched())
    for sample, (key, indices, meta, text) in zip(samples, read, strict=True):
        assert key == sample.key == meta["key"]
        assert np.array_equal(indices, sample.indices["whole"])
        assert text == sample.sidecars["txt"].decode()


@pytest.mark.parametrize("layout", ["sample", "block"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_features(tmp_path: Path, layout: str, dtype: str) -> None:
    header = ShardHeader(
        kind="features",
        layout=layout,
        plan_sha256="0" * 64,
        feature_dtype=dtype,  # type: ignore[arg-type]
    )
    features = np.random.default_rng(0).normal(size=(3, 2, 5, 4)).astype(np.float32)
    samples = [
        Sample(key=f"{i}", features={"tile-000": pair[0], "thumbnail": pair[1]})
        for i, pair in enumerate(features)
    ]
    write_shard(tmp_path / "x.tar", header, samples)
    read = dataset(tmp_path / "x.tar").decode()
    read = read.to_tuple("tile-000.features.npy", "thumbnail.features.npy")
    if layout == "block":
        read = read.unbatched()
    for i, (tile, thumbnail) in enumerate(read):
        assert tile.dtype == dtype
        assert np.array_equal(tile, features[i, 0].astype(dtype))
        assert np.array_equal(thumbnail, features[i, 1].astype(dtype))
    assert i == 2


@pytest.mark.parametrize("kind", ["tiles", "images"])
def test_images(tmp_path: Path, kind: str) -> None:
    paths = {"png": tmp_path / "a.png", "jpg": tmp_path / "a.jpg", "webp": tmp_path / "a.webp"}
    for path in paths.values():
        Image.new("RGB", (6, 4), (200, 30, 30)).save(path)
    images = {
        f"tile-{i:03d}": ImageBytes(name, path.read_bytes())  # type: ignore[arg-type]
        for i, (name, path) in enumerate(paths.items())
    }
    header = ShardHeader(kind=kind, plan_sha256="0" * 64)  # type: ignore[arg-type]
    write_shard(tmp_path / "x.tar", header, [Sample(key="k", meta={"a": 1}, images=images)])
    (sample,) = dataset(tmp_path / "x.tar").decode("pil")
    assert sample["tile-000.png"].size == sample["tile-001.jpg"].size == (6, 4)
    assert sample["json"] == {"a": 1, "key": "k"}


def test_many_shards_one_of_them_empty(tmp_path: Path) -> None:
    write_shard(tmp_path / "shard-000000.tar", index_header(), index_samples(3))
    write_shard(tmp_path / "shard-000001.tar", index_header(), [])
    write_shard(tmp_path / "shard-000002.tar", index_header(), index_samples(3, first=3))
    read = dataset(tmp_path / "shard-{000000..000002}.tar").decode()
    assert [sample["__key__"] for sample in read] == [f"{i:012d}" for i in range(6)]


def test_keys_with_folders_are_kept(tmp_path: Path) -> None:
    samples = [Sample(key="n01/v1.5/7", sidecars={"txt": b"x"})]
    write_shard(tmp_path / "x.tar", ShardHeader(kind="tiles", plan_sha256="0" * 64), samples)
    (sample,) = dataset(tmp_path / "x.tar")
    assert sample["__key__"] == "n01/v1.5/7"
    assert sample["txt"] == b"x"


def test_any_keys_in_blocks(tmp_path: Path) -> None:
    keys = ["a", 'say "x"', "é, ü", "n01/7", "0_-", "{[,]}"]
    samples = [Sample(key=key, indices={"whole": np.zeros((1, 1), np.int64)}) for key in keys]
    write_shard(tmp_path / "x.tar", index_header("block"), samples)
    (block,) = dataset(tmp_path / "x.tar").decode()
    assert block["keys.json"] == keys
