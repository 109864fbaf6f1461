"""Tar headers against GNU tar's own bytes and Python's reader."""

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from vtok.errors import ShardError
from vtok.shards.ustar import END_OF_ARCHIVE, MAX_MEMBER_BYTES, member_header, padding

NAMES = ["a.json", "000000000001.whole.indices.npy", "é.txt", "x" * 100]
LONG_NAMES = ["d" * 99 + "/" + "n" * 40, "a/" + "b" * 152 + "/" + "c" * 100]


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs GNU tar to compare with")
@pytest.mark.parametrize("name", NAMES + LONG_NAMES)
@pytest.mark.parametrize("num_bytes", [0, 1, 512, 777])
def test_bytes_are_those_of_gnu_tar(tmp_path: Path, name: str, num_bytes: int) -> None:
    data = b"q" * num_bytes
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    options = ["--format=ustar", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"]
    result = subprocess.run(
        ["tar", *options, "--mode=644", "--blocking-factor=1", "-cf", "-", name],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert member_header(name, num_bytes) + data + padding(num_bytes) + END_OF_ARCHIVE == (
        result.stdout
    )


@pytest.mark.parametrize("name", NAMES + LONG_NAMES)
def test_python_reads_every_name(name: str) -> None:
    archive = member_header(name, 3) + b"abc" + padding(3) + END_OF_ARCHIVE
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        (member,) = tar
        assert member.name == name
        assert member.mtime == member.uid == member.gid == 0


@pytest.mark.parametrize("name", ["x" * 101, "d/" + "n" * 101, "d" * 156 + "/n", "/" + "x" * 100])
def test_names_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(ShardError, match="does not fit a tar header"):
        member_header(name, 0)


def test_the_largest_size() -> None:
    assert len(member_header("a", MAX_MEMBER_BYTES)) == 512
    with pytest.raises(ShardError, match="below 8 GiB"):
        member_header("a", MAX_MEMBER_BYTES + 1)
