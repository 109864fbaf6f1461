"""What a shard's bytes depend on, and what a refused sample leaves behind."""

import itertools
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from shard_samples import index_header, index_samples, tile_sample, write_shard

from vtok.errors import NonFiniteError, OutputError, ShardError
from vtok.shards.header import ModelRecord, ShardHeader
from vtok.shards.samples import ImageBytes, Sample
from vtok.shards.shardset import open_shards
from vtok.shards.writer import ShardWriter

FEATURES = ShardHeader(kind="features", plan_sha256="0" * 64, feature_dtype="float16")


def member_names(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


@pytest.mark.parametrize("layout", ["sample", "block"])
def test_same_samples_same_bytes_whatever_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    header = index_header(layout)  # type: ignore[arg-type]
    first = write_shard(tmp_path / "a.tar", header, index_samples(30), samples_per_block=8)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    second = write_shard(tmp_path / "b.tar", header, index_samples(30), samples_per_block=8)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert first.sha256 == second.sha256
    assert first.num_bytes == (tmp_path / "a.tar").stat().st_size
    assert (first.first_key, first.last_key) == ("000000000000", "000000000029")


def test_same_bytes_in_another_process_with_other_hashes(tmp_path: Path) -> None:
    digests = set()
    for seed in ("1", "2"):
        code = (
            "import sys; from pathlib import Path;"
            "from shard_samples import *;"
            "print(write_shard(Path(sys.argv[1]), index_header(), index_samples(5)).sha256)"
        )
        environment = {
            **os.environ,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        run = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "x.tar")],
            env=environment,
            capture_output=True,
            check=True,
        )
        digests.add(run.stdout)
    assert len(digests) == 1


def test_fields_are_sorted_and_the_header_comes_first(tmp_path: Path) -> None:
    header = ShardHeader(kind="tiles", plan_sha256="0" * 64)
    write_shard(tmp_path / "x.tar", header, [tile_sample("k")])
    assert member_names(tmp_path / "x.tar") == [
        "__vtok__",
        "k.json",
        "k.thumbnail.jpg",
        "k.tile-000.png",
        "k.tile-001.png",
    ]


def test_a_block_ends_where_the_shape_changes_and_when_it_is_full(tmp_path: Path) -> None:
    wide = Sample(key="wide", indices={"whole": np.zeros((2, 9), np.int64)})
    plain = [Sample(key=f"{i}", indices={"whole": np.full((2, 2), i)}) for i in range(5)]
    write_shard(
        tmp_path / "x.tar",
        index_header("block"),
        [*plain, wide, *index_samples(1)],
        samples_per_block=4,
    )
    names = member_names(tmp_path / "x.tar")
    assert [name for name in names if name.endswith("keys.json")] == [
        f"{block:06d}.keys.json" for block in range(4)
    ]
    assert names[-4:] == [
        "000003.keys.json",
        "000003.meta.json",
        "000003.txt.list.json",
        "000003.whole.indices.npy",
    ]
    assert [len(s.indices["whole"].ravel()) for s in open_shards(tmp_path / "x.tar")] == (
        [4] * 5 + [18, 12]
    )


def test_a_block_stays_below_four_mebibytes(tmp_path: Path) -> None:
    header = ShardHeader(
        kind="features", layout="block", plan_sha256="0" * 64, feature_dtype="float16"
    )
    samples = [
        Sample(key=str(i), features={"whole": np.ones((576, 1024), np.float32)}) for i in range(7)
    ]
    write_shard(tmp_path / "x.tar", header, samples)
    with tarfile.open(tmp_path / "x.tar") as tar:
        sizes = [member.size for member in tar if member.name.endswith("npy")]
    assert sizes == [128 + 3 * 1179648, 128 + 3 * 1179648, 128 + 1179648]


@pytest.mark.parametrize("chunks", [[20], [1, 7, 12], [8, 8, 4]])
@pytest.mark.parametrize("metas", [True, False])
def test_stacked_samples_make_the_bytes_of_single_ones(
    tmp_path: Path, chunks: list[int], metas: bool
) -> None:
    samples = [
        Sample(key=s.key, meta=s.meta if metas else {}, indices=s.indices)
        for s in index_samples(20, sidecar=False)
    ]
    header = index_header("block")
    single = write_shard(tmp_path / "a.tar", header, samples, samples_per_block=8)
    with ShardWriter(tmp_path / "b.tar", header, samples_per_block=8) as writer:
        rest = iter(samples)
        for size in chunks:
            part = list(itertools.islice(rest, size))
            writer.add_stacked(
                [sample.key for sample in part],
                {"whole": np.stack([sample.indices["whole"] for sample in part])},
                [sample.meta for sample in part] if metas else (),
            )
    assert writer.written.sha256 == single.sha256


BAD_SAMPLES = [
    Sample(key="a.b", indices={"whole": np.zeros((1, 1), np.int64)}),
    Sample(key="000000000001", indices={"whole": np.zeros((1, 1), np.int64)}),
    Sample(key="a", indices={"whole": np.array([[8192]])}),
    Sample(key="a", indices={"whole": np.array([[-1]])}),
    Sample(key="a", indices={"a.b": np.zeros((1, 1), np.int64)}),
    Sample(key="a", features={"whole": np.zeros((1, 1), np.float32)}),
    Sample(key="a", meta={"x": float("nan")}, indices={"whole": np.zeros((1, 1), np.int64)}),
    Sample(key="a", sidecars={"JPG": b""}),
    Sample(key="a", sidecars={"json": b"{}"}),
    Sample(key="a", sidecars={"left.jpg": b""}),
    Sample(key="a"),
]


@pytest.mark.parametrize("layout", ["sample", "block"])
@pytest.mark.parametrize("bad", BAD_SAMPLES, ids=lambda sample: repr(sample)[:40])
def test_a_refused_sample_leaves_no_trace(tmp_path: Path, layout: str, bad: Sample) -> None:
    header = index_header(layout)  # type: ignore[arg-type]
    quiet = write_shard(tmp_path / "quiet.tar", header, index_samples(5))
    with ShardWriter(tmp_path / "x.tar", header) as writer:
        for position, sample in enumerate(index_samples(5)):
            if position == 3:
                with pytest.raises(ShardError):
                    writer.add(bad)
            writer.add(sample)
    assert writer.written.sha256 == quiet.sha256
    assert writer.written.num_samples == 5


def test_a_name_too_long_for_tar_leaves_no_trace(tmp_path: Path) -> None:
    quiet = write_shard(tmp_path / "quiet.tar", index_header(), index_samples(1))
    with ShardWriter(tmp_path / "x.tar", index_header()) as writer:
        with pytest.raises(ShardError, match="shorten the key"):
            writer.add(Sample(key="x" * 120, indices={"whole": np.zeros((1, 1), np.int64)}))
        writer.add(index_samples(1)[0])
    assert writer.written.sha256 == quiet.sha256


def test_a_refused_stack_leaves_no_trace(tmp_path: Path) -> None:
    header = index_header("block")
    good = {"whole": np.zeros((2, 1, 1), np.int64)}
    with ShardWriter(tmp_path / "a.tar", header) as writer:
        writer.add_stacked(["a", "b"], good)
        for keys in (["c", "c"], ["b", "c"], ["x.y", "c"]):
            with pytest.raises(ShardError):
                writer.add_stacked(keys, good)
        with pytest.raises(ShardError, match="index 9000"):
            writer.add_stacked(["c", "d"], {"whole": np.array([[[1]], [[9000]]])})
        with pytest.raises(ValueError, match="different lengths"):
            writer.add_stacked(["c"], good)
        with pytest.raises(ValueError, match="different lengths"):
            writer.add_stacked(["c", "d"], good, [{}])
    assert [sample.key for sample in open_shards(tmp_path / "a.tar")] == ["a", "b"]
    with (
        ShardWriter(tmp_path / "b.tar", index_header()) as writer,
        pytest.raises(ValueError, match="block layout"),
    ):
        writer.add_stacked(["a", "b"], good)


def test_features_that_are_not_finite_fail_alone(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "x.tar", FEATURES) as writer:
        writer.add(Sample(key="a", features={"whole": np.ones((2, 3), np.float32)}))
        with pytest.raises(NonFiniteError):
            writer.add(Sample(key="b", features={"whole": np.full((2, 3), np.nan, np.float32)}))
    assert writer.written.num_samples == 1


def test_blocks_hold_neither_images_nor_binary_sidecars(tmp_path: Path) -> None:
    array = {"whole": np.zeros((1, 1), np.int64)}
    with ShardWriter(tmp_path / "x.tar", index_header("block")) as writer:
        with pytest.raises(ShardError, match="hold no images"):
            writer.add(Sample(key="a", indices=array, images={"whole": ImageBytes("png", b"")}))
        with pytest.raises(ShardError, match="not UTF-8"):
            writer.add(Sample(key="a", indices=array, sidecars={"bin": b"\xff"}))


def test_an_exception_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(b"before")
    with pytest.raises(ShardError, match="already"):
        write_shard(path, index_header(), [*index_samples(1), *index_samples(1)])
    assert path.read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.tar"]


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="folder does not exist"),
        ShardWriter(tmp_path / "no" / "x.tar", index_header()),
    ):
        pass


def test_an_empty_shard_is_a_whole_tar(tmp_path: Path) -> None:
    written = write_shard(tmp_path / "x.tar", index_header(), [])
    assert (written.num_samples, written.first_key, written.last_key) == (0, None, None)
    assert list(open_shards(tmp_path / "x.tar")) == []


def test_headers_say_what_decoding_needs() -> None:
    with pytest.raises(ValueError, match="codebook_size"):
        ShardHeader(kind="indices", plan_sha256="0" * 64)
    with pytest.raises(ValueError, match="feature_dtype"):
        ShardHeader(kind="features", plan_sha256="0" * 64)
    with pytest.raises(ValueError, match="block has at least"):
        ShardWriter(Path("x.tar"), index_header("block"), samples_per_block=0)
    model = ModelRecord(name="e", family="clip", weights_sha256="0" * 64)
    with pytest.raises(ValueError, match="codebook_size"):
        ShardHeader(kind="indices", plan_sha256="0" * 64, model=model)
    header = index_header()
    assert ShardHeader.decode(header.encode(), where="x") == header


def test_an_array_may_change_once_it_is_added(tmp_path: Path) -> None:
    features = np.ones((200, 128), np.float16)  # large, and of the dtype that is stored
    small = np.ones((2, 4), np.float16)
    with ShardWriter(tmp_path / "a.tar", FEATURES) as writer:
        for number in range(3):
            writer.add(Sample(key=f"{number}", features={"whole": features, "thumbnail": small}))
            features += 1
            small += 1
    for number, sample in enumerate(open_shards(tmp_path / "a.tar")):
        assert (sample.features["whole"] == number + 1).all()
        assert (sample.features["thumbnail"] == number + 1).all()
