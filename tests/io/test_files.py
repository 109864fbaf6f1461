"""Atomic writes, locks and records: whole or absent, whatever goes wrong in between."""

import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vtok.errors import ManifestError, OutputError
from vtok.io import files, json_files

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_counts_hashes_and_leaves_one_file(tmp_path: Path) -> None:
    with files.atomic_writer(tmp_path / "a.tar") as file:
        file.write(b"one")
        file.write(memoryview(b"two"))
        assert names(tmp_path) != ["a.tar"]
    assert file.num_bytes == 6
    assert file.sha256 == hashlib.sha256(b"onetwo").hexdigest()
    assert file.sha256 == files.sha256_file(tmp_path / "a.tar") == files.sha256_bytes(b"onetwo")
    assert names(tmp_path) == ["a.tar"]


def test_large_pieces_are_hashed_beside_in_their_order(tmp_path: Path) -> None:
    large, small = os.urandom(files._BESIDE_BYTES + 1), b"between"
    with files.atomic_writer(tmp_path / "a.tar") as file:
        for piece in (large, small, large[::-1], small):
            mine = bytearray(piece)
            file.write(mine)
            mine[:] = bytes(len(mine))  # no writer's any more
    assert file.sha256 == hashlib.sha256(large + small + large[::-1] + small).hexdigest()
    assert file.sha256 == files.sha256_file(tmp_path / "a.tar")
    assert "vtok-hash" not in {thread.name.rpartition("_")[0] for thread in threading.enumerate()}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_up_leaves_no_thread(tmp_path: Path) -> None:
    def fill() -> None:
        with (
            Path("/dev/full").open("wb", buffering=0) as full,
            files.atomic_writer(tmp_path / "a.tar") as file,
        ):
            file.write(os.urandom(files._BESIDE_BYTES))
            file._file.close()
            file._file = full
            file.write(os.urandom(files._BESIDE_BYTES))

    with pytest.raises(OutputError, match="no space left"):
        fill()
    assert "vtok-hash" not in {thread.name.rpartition("_")[0] for thread in threading.enumerate()}
    assert names(tmp_path) == []


def test_the_umask_decides_the_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_bytes(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, FileNotFoundError])
def test_an_exception_keeps_the_old_file_and_itself(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")

    def interrupted() -> None:
        with files.atomic_writer(target) as file:
            file.write(b"new")
            raise error

    with pytest.raises(error):
        interrupted()
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_failing_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    target = tmp_path / "a"
    target.write_bytes(b"old")

    def write() -> None:
        with files.atomic_writer(target) as file:
            file.write(b"new")

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    elif call == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    if call == "write":
        monkeypatch.setattr(files.HashingWriter, "write", _failing_write(code))
    with pytest.raises(OutputError, match="cannot write") as caught:
        write()
    assert "\n" not in str(caught.value)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def _failing_write(code: int) -> object:
    def write(self: files.HashingWriter, data: bytes) -> int:
        with files._output_errors(self._path):
            raise OSError(code, os.strerror(code))

    return write


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_really_full_disk() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        writer = files.HashingWriter(full, Path("shard.tar"))
        with pytest.raises(OutputError, match=r"cannot write shard\.tar: no space left"):
            writer.write(b"x")


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="its folder does not exist"):
        files.write_bytes(tmp_path / "no" / "a", b"")


def test_make_folder(tmp_path: Path) -> None:
    files.make_folder(tmp_path / "a" / "b")
    files.make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write"):
        files.make_folder(tmp_path / "file")


def test_killed_between_write_and_rename(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from vtok.io import files\n"
        "with files.atomic_writer(sys.argv[1]) as file:\n"
        "    file.write(b'new')\n"
        "    file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    target = tmp_path / "a"
    target.write_bytes(b"old")
    root = str(Path(files.__file__).parents[2])
    subprocess.run([sys.executable, "-c", program, str(target)], check=False, cwd=root)
    assert target.read_bytes() == b"old"
    assert len(names(tmp_path)) == 2
    assert files.remove_partials(tmp_path) == 1
    assert names(tmp_path) == ["a"]


def test_one_lock_per_folder(tmp_path: Path) -> None:
    used = rf"in use by another run \(process {os.getpid()}\)"
    with (
        files.folder_lock(tmp_path),
        pytest.raises(OutputError, match=used),
        files.folder_lock(tmp_path),
    ):
        pass
    with files.folder_lock(tmp_path):
        pass


@given(json_values)
def test_canonical_json_round_trips(value: object) -> None:
    data = json_files.canonical_json({"value": value})
    assert data.endswith(b"}\n")
    assert json_files.parse_json(data, source="x") == {"value": json.loads(json.dumps(value))}
    assert json_files.canonical_json(json_files.parse_json(data, source="x")) == data


def test_key_order_does_not_matter() -> None:
    assert json_files.canonical_json({"b": 1, "a": 2}) == json_files.canonical_json(
        {"a": 2, "b": 1}
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_files.canonical_json({"a": float("nan")})


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"1", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"\xff", b"[" * 100_000, b"{}x"],
)
def test_damaged_records_are_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(data)
    with pytest.raises(ManifestError, match=r"plan\.json is damaged"):
        json_files.read_json(path)


def test_missing_record(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"cannot read .*plan\.json: No such file"):
        json_files.read_json(tmp_path / "plan.json")


def test_an_interrupt_while_a_file_is_opened_stays_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A descriptor closed twice is an error that the file is blamed for, or another file's end."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    opened = open
    closed: list[int] = []
    close = os.close

    def interrupted(*args: Any, **options: Any) -> Any:
        file = opened(*args, **options)
        file.close()  # as the interpreter does with what nobody has a name for yet
        raise KeyboardInterrupt

    def counted(descriptor: int) -> None:
        closed.append(descriptor)
        close(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr("os.close", counted)
        patch.setattr("io.open", interrupted)
        patch.setattr("builtins.open", interrupted)
        with pytest.raises(KeyboardInterrupt):
            files.open_regular(path)
    assert closed == []


def test_a_fifo_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        files.open_regular(tmp_path / "fifo")
