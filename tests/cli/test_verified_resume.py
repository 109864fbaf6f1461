"""A rerun with `--verify` hashes what is there, and makes again what has changed in place."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from vtok.io import retries
from vtok.shards import resume

QUICK = ("--workers", "0", "--tile-size", "28", "--shard-size", "2")
CHANGED = "shard-000001.tar"
Digests = Callable[[Path], dict[str, str]]


def flipped(data: bytes) -> bytes:
    """Return the same number of bytes, one of them changed."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def test_a_changed_shard_is_made_again(
    vtok: Any, photos: Path, tmp_path: Path, digests: Digests
) -> None:
    out = tmp_path / "out"
    vtok("tile", photos, out, *QUICK, "--quiet")
    whole = digests(out)
    kept = (out / "shard-000000.tar").stat().st_ino
    (out / CHANGED).write_bytes(flipped((out / CHANGED).read_bytes()))
    assert vtok("tile", photos, out, *QUICK, "--json").report["images"] == 0
    assert digests(out) != whole  # a length says nothing of this
    again = vtok("tile", photos, out, *QUICK, "--verify", "--json")
    assert (again.report["images"], again.report["resumed_shards"]) == (2, 3)
    assert digests(out) == whole
    assert (out / "shard-000000.tar").stat().st_ino == kept
    assert vtok("tile", photos, out, *QUICK, "--verify", "--json").report["images"] == 0


def test_a_changed_object_is_made_again(vtok: Any, photos: Path) -> None:
    url, store = "memory://verified/out", MemoryFileSystem.store
    try:
        vtok("tile", photos, url, *QUICK, "--quiet")
        whole = {name: file.getvalue() for name, file in store.items()}
        (name,) = [name for name in store if name.endswith(CHANGED)]
        MemoryFileSystem().pipe_file(name, flipped(whole[name]))
        assert vtok("tile", photos, url, *QUICK, "--json").report["images"] == 0
        assert vtok("tile", photos, url, *QUICK, "--verify", "--json").report["images"] == 2
        assert {name: file.getvalue() for name, file in store.items()} == whole
    finally:
        store.clear()
        MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.mark.parametrize("lost", [CHANGED, "shard-000001.json"])
def test_a_store_that_is_away_loses_nothing(
    vtok: Any, photos: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """An object that cannot be read may be whole: it is neither removed nor made again."""
    url, store = "memory://verified/out", MemoryFileSystem.store
    read = MemoryFileSystem.cat_file

    def refuse(self: Any, path: str, **rest: Any) -> Any:
        if path.endswith(lost):
            raise ConnectionError("503 slow down")
        return read(self, path, **rest)

    try:
        vtok("tile", photos, url, *QUICK, "--quiet")
        whole = {name: file.getvalue() for name, file in store.items()}
        with monkeypatch.context() as patch:
            patch.setattr(retries, "WAITS_S", (0.0, 0.0, 0.0))
            patch.setattr(MemoryFileSystem, "cat_file", refuse)
            outcome = vtok("tile", photos, url, *QUICK, "--verify", code=3)
        assert f"{lost}: cannot be read: 503 slow down" in outcome.stderr
        assert {name: file.getvalue() for name, file in store.items()} == whole
    finally:
        store.clear()
        MemoryFileSystem.pseudo_dirs[:] = [""]


def test_no_more_descriptors_are_no_damage(
    vtok: Any, photos: Path, tmp_path: Path, digests: Digests, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    vtok("tile", photos, out, *QUICK, "--quiet")
    whole = digests(out)

    def refuse(place: Path) -> str:
        raise OSError(errno.EMFILE, "too many open files", str(place))

    monkeypatch.setattr(resume, "sha256_of", refuse)
    outcome = vtok("tile", photos, out, *QUICK, "--verify", code=3)
    assert "too many open files" in outcome.stderr
    assert digests(out) == whole


@pytest.mark.parametrize("command", ["tile", "encode-vq", "encode-continuous"])
def test_nothing_is_verified_that_is_written_over(
    vtok: Any, photos: Path, tmp_path: Path, command: str
) -> None:
    outcome = vtok(command, photos, tmp_path / "out", "--overwrite", "--verify", code=2)
    assert "leave out --verify" in outcome.stderr
