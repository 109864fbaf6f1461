"""What has changed since it was listed fails: a plan speaks of the files that it has seen."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vtok.errors import UnreadableImageError
from vtok.io.sources import SourceItem, open_source

CHANGES: dict[str, Callable[[Path], object]] = {
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"more"),
    "other bytes of the same length": lambda path: path.write_bytes(path.read_bytes()[::-1]),
    "another file under its name": lambda path: replace(path, b"other"),
    "younger": lambda path: os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**6)),
}


def replace(path: Path, data: bytes) -> None:
    (path.parent / "new").write_bytes(data)
    (path.parent / "new").replace(path)


def only_item(text: Path) -> SourceItem:
    (item,) = open_source(str(text)).list()
    return item


def age(path: Path) -> None:
    """Let a later write show in the time of a file, however coarse the clock is."""
    os.utime(path, ns=(0, 10**18))


@pytest.mark.parametrize("change", CHANGES)
def test_a_file(tmp_path: Path, change: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"content")
    age(path)
    item = only_item(tmp_path)
    assert item.read() == item.read(max_bytes=3) + b"ent" == b"content"
    CHANGES[change](path)
    for max_bytes in (None, 3):
        with pytest.raises(UnreadableImageError, match=r"a\.jpg has changed since it was listed"):
            item.read(max_bytes=max_bytes)


@pytest.mark.parametrize("change", CHANGES)
def test_what_lies_beside_it(tmp_path: Path, change: str) -> None:
    (tmp_path / "a.jpg").write_bytes(b"content")
    caption = tmp_path / "a.txt"
    caption.write_bytes(b"a caption")
    age(caption)
    item = only_item(tmp_path)
    assert item.read_sidecars() == {"txt": b"a caption"}
    CHANGES[change](caption)
    assert item.read() == b"content"
    with pytest.raises(UnreadableImageError, match=r"a\.txt has changed since it was listed"):
        item.read_sidecars()


def tar_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_an_archive(tmp_path: Path) -> None:
    """Where one picture lay, another lies now: its bytes would be taken for those of the first."""
    path = tmp_path / "a.tar"
    path.write_bytes(tar_of({"0.jpg": b"first", "0.txt": b"its caption"}))
    age(path)
    item = only_item(path)
    assert (item.read(), item.read_sidecars()) == (b"first", {"txt": b"its caption"})
    path.write_bytes(tar_of({"1.jpg": b"other", "1.txt": b"and another"}))
    for read in (item.read, item.read_sidecars):
        with pytest.raises(UnreadableImageError, match=r"a\.tar has changed since it was listed"):
            read()


def test_a_file_that_could_not_be_looked_at_is_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "link.jpg").symlink_to("later.jpg")
    item = only_item(tmp_path)
    (tmp_path / "later.jpg").write_bytes(b"content")
    assert item.read() == b"content"
