"""Round trips through both layouts, and shards that somebody damaged."""

import io
import json
import random
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from shard_samples import index_header, index_samples, tile_sample, write_shard

from vtok.errors import ManifestError, ShardError
from vtok.shards.fields import encode_json
from vtok.shards.header import ShardHeader
from vtok.shards.npy import encode_npy
from vtok.shards.reader import Shard
from vtok.shards.samples import Sample


def same(left: Sample, right: Sample) -> bool:
    """Tell whether a sample came back as it was; the reader finds the key in the metadata."""
    meta = {**left.meta, "key": left.key} if left.meta else {}
    return (
        left.key == right.key
        and meta == right.meta
        and same_arrays(left.indices, right.indices)
        and same_arrays(left.features, right.features)
        and left.images == right.images
        and left.sidecars == right.sidecars
    )


def same_arrays(left: Any, right: Any) -> bool:
    return left.keys() == right.keys() and all(
        left[view].shape == right[view].shape and np.array_equal(left[view], right[view])
        for view in left
    )


@pytest.mark.parametrize("layout", ["sample", "block"])
@pytest.mark.parametrize("sidecar", [True, False])
def test_samples_come_back(tmp_path: Path, layout: Any, sidecar: bool) -> None:
    samples = index_samples(21, sidecar=sidecar)
    write_shard(tmp_path / "x.tar", index_header(layout), samples, samples_per_block=8)
    shard = Shard(tmp_path / "x.tar")
    again = list(shard)
    assert all(same(*pair) for pair in zip(samples, again, strict=True))
    assert again[0].indices["whole"].dtype == np.uint16
    assert list(shard.keys()) == [sample.key for sample in samples]
    assert shard.num_samples == 21
    assert shard.header == index_header(layout)


INDEX_ARRAYS = hnp.arrays(
    np.int64,
    hnp.array_shapes(min_dims=1, max_dims=3, max_side=3),
    elements=st.integers(0, 8191),
)
SAMPLES = st.lists(
    st.builds(
        Sample,
        key=st.from_regex(r"[a-zA-Z0-9_-]{1,8}", fullmatch=True),
        meta=st.dictionaries(
            st.text("abé", max_size=3), st.integers() | st.text("xyz"), max_size=2
        ),
        indices=st.dictionaries(
            st.sampled_from(["whole", "thumbnail", "tile-000"]), INDEX_ARRAYS, min_size=1
        ),
        sidecars=st.dictionaries(
            st.sampled_from(["txt", "cls", "ocr.json"]), st.text("aé\n").map(str.encode)
        ),
    ),
    max_size=8,
    unique_by=lambda sample: sample.key,
)


@pytest.mark.parametrize("layout", ["sample", "block"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(samples=SAMPLES)
def test_any_samples_come_back(tmp_path: Path, layout: Any, samples: list[Sample]) -> None:
    write_shard(tmp_path / "x.tar", index_header(layout), samples, samples_per_block=3)
    again = list(Shard(tmp_path / "x.tar"))
    assert all(same(*pair) for pair in zip(samples, again, strict=True))


def test_tiles_and_features_come_back(tmp_path: Path) -> None:
    write_shard(
        tmp_path / "x.tar", ShardHeader(kind="tiles", plan_sha256="0" * 64), [tile_sample("a/b")]
    )
    (again,) = Shard(tmp_path / "x.tar")
    assert same(tile_sample("a/b"), again)
    for layout in ("sample", "block"):
        header = ShardHeader(
            kind="features", layout=layout, plan_sha256="0" * 64, feature_dtype="float16"
        )
        features = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
        write_shard(tmp_path / "y.tar", header, [Sample(key="k", features={"whole": features})])
        (again,) = Shard(tmp_path / "y.tar")
        assert np.array_equal(again.array, features.astype(np.float16))


def test_the_one_array_of_a_sample() -> None:
    array = np.zeros((2, 2), np.int64)
    assert Sample(key="k", indices={"whole": array}).array is array
    with pytest.raises(ShardError, match="not one array but: whole, thumbnail"):
        _ = Sample(key="k", indices={"whole": array, "thumbnail": array}).array
    with pytest.raises(ShardError, match="none"):
        _ = Sample(key="k").array


# Damage


@pytest.mark.parametrize("layout", ["sample", "block"])
def test_every_truncation_is_detected(tmp_path: Path, layout: Any) -> None:
    path = tmp_path / "x.tar"
    write_shard(path, index_header(layout), index_samples(6), samples_per_block=2)
    data = path.read_bytes()
    for length in {*range(0, len(data), 512), *range(1, len(data), 391)}:
        path.write_bytes(data[:length])
        with pytest.raises(ShardError, match=r"x\.tar"):
            list(Shard(path))


@pytest.mark.parametrize("layout", ["sample", "block"])
def test_a_flipped_bit_is_a_shard_error_or_changed_content(tmp_path: Path, layout: Any) -> None:
    path = tmp_path / "x.tar"
    write_shard(path, index_header(layout), index_samples(4), samples_per_block=2)
    data = path.read_bytes()
    dice = random.Random(0)
    num_detected = 0
    for _ in range(600):
        flipped = bytearray(data)
        flipped[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        path.write_bytes(flipped)
        try:
            for sample in Shard(path):
                assert int(sample.indices["whole"].max()) < 8192
        except ShardError:
            num_detected += 1
    assert num_detected > 100  # headers, names, JSON; the rest is what `verify` is for


def test_verify_finds_what_reading_cannot(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no commit record"):
        Shard(tmp_path / "x.tar").verify()


def make_tar(path: Path, members: list[tuple[str, bytes]]) -> Shard:
    """Write members with Python's tarfile, as somebody else would."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return Shard(path)


HEADER = ("__vtok__", index_header().encode())
BLOCK_HEADER = ("__vtok__", index_header("block").encode())
NPY = encode_npy(np.zeros((2, 2), np.uint16))


def test_the_hand_made_shards_are_fine_before_they_are_spoiled(tmp_path: Path) -> None:
    (sample,) = make_tar(tmp_path / "x.tar", [HEADER, ("a.whole.indices.npy", NPY)])
    assert sample.key == "a"
    members = [BLOCK_HEADER, ("0.keys.json", b'["a","b"]'), ("0.whole.indices.npy", NPY)]
    assert [sample.key for sample in make_tar(tmp_path / "x.tar", members)] == ["a", "b"]


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ([], "does not begin with its header"),
        ([("a.json", b"{}")], "does not begin with its header"),
        ([("__vtok__", b"{}")], "field 'format' is missing"),
        ([("__vtok__", bytes(2 << 20))], "a header of 2097152 bytes"),
        ([HEADER, ("a", b"")], "has no field"),
        ([HEADER, ("../a.json", b"{}")], "climbs"),
        ([HEADER, ("a.json", b"[]")], "not that of key 'a'"),
        ([HEADER, ("a.json", b'{"key":"b"}')], "not that of key 'a'"),
        ([HEADER, ("a.json", b"{")], "byte 1536: not valid JSON"),
        ([HEADER, ("a.whole.features.npy", NPY)], "dtype uint16"),
        ([HEADER, ("a.whole.indices.npy", NPY[:-1])], "claims 8 bytes"),
        ([HEADER, ("a.whole.indices.npy", encode_npy(np.full(2, 8192, np.uint16)))], "8192 is out"),
        ([HEADER, ("a.whole.indices.npy", encode_npy(np.zeros(2, np.uint8)))], "dtype uint8"),
        ([HEADER, ("a.whole.png", b""), ("a.whole.jpg", b"")], "second image"),
        ([HEADER, ("a.txt", b""), ("b.txt", b""), ("a.cls", b"")], "key 'a' appears twice"),
        ([HEADER, ("a.txt", b""), ("a.txt", b"")], "appears twice"),
        ([BLOCK_HEADER, ("0.whole.indices.npy", NPY)], r"has no keys\.json"),
        ([BLOCK_HEADER, ("0.keys.json", b"[]")], "list of keys"),
        ([BLOCK_HEADER, ("0.keys.json", b"[1]")], "list of keys"),
        ([BLOCK_HEADER, ("0.keys.json", b'["a.b"]')], "cannot be stored"),
        ([BLOCK_HEADER, ("0.keys.json", b'["a","a"]')], "appears twice"),
        ([BLOCK_HEADER, ("0.keys.json", b'["a"]'), ("0.whole.indices.npy", NPY)], "2 rows for 1"),
        ([BLOCK_HEADER, ("0.keys.json", b'["a"]'), ("0.meta.json", b"{}")], "list was expected"),
        ([BLOCK_HEADER, ("0.keys.json", b'["a"]'), ("0.meta.json", b"[{}]")], "not that of key"),
        ([BLOCK_HEADER, ("0.keys.json", b'["a"]'), ("0.txt.list.json", b"[1]")], "list of texts"),
        ([BLOCK_HEADER, ("0.keys.json", b'["a"]'), ("0.whole.png", b"")], "not a field of a block"),
        (
            [
                BLOCK_HEADER,
                ("0.keys.json", b'["a"]'),
                ("0.whole.indices.npy", encode_npy(np.array(1, np.uint16))),
            ],
            "stacked array",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, members: list[tuple[str, bytes]], problem: str
) -> None:
    with pytest.raises(ShardError, match=problem):
        list(make_tar(tmp_path / "x.tar", members))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": 2}, "use the vtok it was written with"),
        ({"kind": "poems"}, "'poems', not one of"),
        ({"layout": None}, "should be a text"),
        ({"plan_sha256": "xyz"}, "not a sha256"),
        ({"model": None}, "codebook_size"),
        ({"extra": 1}, "unknown field 'extra'"),
        ({"feature_dtype": "float8"}, "feature_dtype"),
        ({"feature_dtype": "float16"}, "features"),
        ({"scheme": []}, "should be an object"),
    ],
)
def test_strange_headers_are_refused(
    tmp_path: Path, change: dict[str, object], problem: str
) -> None:
    header = {**json.loads(index_header().encode()), **change}
    shard = make_tar(tmp_path / "x.tar", [("__vtok__", encode_json(header))])
    with pytest.raises(ShardError, match=problem):
        _ = shard.header


def test_errors_name_the_shard_the_byte_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    write_shard(path, index_header(), index_samples(2))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ShardError, match=r"x\.tar: .* at byte \d+\): restore it, or remove it"):
        list(Shard(path))


@pytest.mark.parametrize("what", ["missing", "folder", "text"])
def test_what_is_no_tar_is_a_shard_error(tmp_path: Path, what: str) -> None:
    path = tmp_path / "x.tar"
    if what == "folder":
        path.mkdir()
    elif what == "text":
        path.write_text("hello " * 200)
    with pytest.raises(ShardError, match=r"x\.tar"):
        list(Shard(path))
