"""A rerun with `--verify` hashes what is there, and makes again what has changed in place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

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


@pytest.mark.parametrize("command", ["tile", "encode-vq", "encode-continuous"])
def test_nothing_is_verified_that_is_written_over(
    vtok: Any, photos: Path, tmp_path: Path, command: str
) -> None:
    outcome = vtok(command, photos, tmp_path / "out", "--overwrite", "--verify", code=2)
    assert "leave out --verify" in outcome.stderr
