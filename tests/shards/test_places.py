"""Shards behind URLs are read as local ones are, over a store that stalls and cuts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from shard_samples import run_plan, write_run

import vtok.io.retries
from vtok.errors import InputError, ManifestError, ShardError
from vtok.io.places import (
    RemotePath,
    exists,
    local_copy,
    names_in,
    num_bytes_of,
    open_place,
    place_of,
    sha256_of,
)
from vtok.shards.shardset import open_shards


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    monkeypatch.setattr(vtok.io.retries, "WAITS_S", (0.0, 0.0, 0.0))
    file_system = MemoryFileSystem()
    yield file_system
    file_system.store.clear()
    file_system.pseudo_dirs[:] = [""]


@pytest.fixture
def run(memory: MemoryFileSystem, tmp_path: Path) -> tuple[str, Path]:
    """The same run in memory and on the disk."""
    folder = tmp_path / "run"
    write_run(folder, run_plan())
    for path in folder.iterdir():
        memory.pipe_file(f"/bucket/run/{path.name}", path.read_bytes())
    return "memory://bucket/run", folder


def test_a_place_is_a_path_or_a_url() -> None:
    assert place_of("a/b") == Path("a/b")
    place = place_of("s3://bucket/a/")
    assert isinstance(place, RemotePath)
    assert (str(place / "b"), place.name, str(place.parent)) == (
        "s3://bucket/a/b",
        "a",
        "s3://bucket",
    )
    assert place.parent.parent == place.parent


def test_samples_are_the_same(run: tuple[str, Path]) -> None:
    url, folder = run
    for near, far in ((folder, url), (folder / "shard-000001.tar", f"{url}/shard-000001.tar")):
        ours, theirs = list(open_shards(near)), list(open_shards(str(far)))
        assert [each.key for each in ours] == [each.key for each in theirs]
        for one, two in zip(ours, theirs, strict=True):
            assert one.meta == two.meta
            np.testing.assert_array_equal(one.array, two.array)
    open_shards(url).verify()
    assert len(open_shards([f"{url}/shard-{{000000..000001}}.tar"])) == 8


def test_places_are_listed_hashed_and_copied(run: tuple[str, Path]) -> None:
    url, folder = run
    far, near = place_of(url), folder
    assert names_in(far) == names_in(near)
    name = "shard-000000.tar"
    assert num_bytes_of(far / name) == num_bytes_of(near / name)
    assert sha256_of(far / name) == sha256_of(near / name)
    with local_copy(far / name) as copy:
        assert copy.read_bytes() == (near / name).read_bytes()
    assert not copy.exists()
    assert exists(far / name)
    assert not exists(far / "nothing")
    with pytest.raises(FileNotFoundError):
        open_place(far / "nothing")


def test_what_is_missing_is_said_at_once(run: tuple[str, Path], memory: MemoryFileSystem) -> None:
    url, _ = run
    with pytest.raises(InputError, match="does not exist"):
        open_shards("memory://bucket/none.tar")
    with pytest.raises(InputError, match="holds no shards"):
        open_shards("memory://bucket/none")
    memory.rm("/bucket/run/shard-000001.tar")
    with pytest.raises(ManifestError, match="though its commit is there"):
        open_shards(url)


def test_a_bad_moment_is_waited_out(run: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every read fails or comes short twice before it comes whole."""
    url, folder = run
    whole = MemoryFileSystem.cat_file
    tries: dict[Any, int] = {}

    def cut(self: Any, path: str, start: int | None = None, end: int | None = None) -> bytes:
        number = tries[path, start] = tries.get((path, start), 0) + 1
        if number == 1:
            raise ConnectionResetError("the peer hung up")
        data: bytes = whole(self, path, start=start, end=end)
        return data[:-1] if number == 2 else data

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cut)
    assert [each.key for each in open_shards(url)] == [each.key for each in open_shards(folder)]
    assert min(tries.values()) == 3


def test_a_store_that_stays_away_is_an_error_of_one_line(
    run: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, _ = run
    shards = open_shards(url)

    def refuse(*rest: Any, **more: Any) -> bytes:
        raise RuntimeError("503\nslow down")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", refuse)
    with pytest.raises(ShardError, match="503 slow down"):
        list(shards)
