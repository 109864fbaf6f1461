"""Hostile shards and weights through whole commands: one line, the right exit code, little memory.

The readers have their own tests; here every command that reads somebody else's files is given each
of them, in a process of its own whose memory is measured. Nothing may be written outside of the
output folder, and nothing in a file may run.
"""

import io
import json
import pickle
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sweeps import Program

MAX_GROWTH_BYTES = 256 << 20
TITLE = "Hostile shards and weights"
HEADER = ("file and command", "tried", "survived")
KEY = b"000000000000"

Members = list[tuple[tarfile.TarInfo, bytes]]


def npy(descr: str, shape: str, content: bytes = b"", version: int = 1) -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(text)) + text + content


def saved(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


class Marks:
    """Unpickled, it leaves a file: the proof that something ran."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return (open, (str(self._path), "w"))


def read_members(shard: Path) -> Members:
    with tarfile.open(shard) as tar:
        found = []
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            found.append((member, file.read()))
        return found


def tar_of(members: Members) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, data in members:
            if member.isreg():
                member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def member(name: str, data: bytes = b"", **facts: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    for key, value in facts.items():
        setattr(info, key, value)
    return info, data


def hostile_tars(shard: Path, marker: Path) -> dict[str, bytes]:
    """Return spoiled copies of a good shard of indices, by what is wrong with them."""
    good = read_members(shard)
    field = next(info.name for info, _ in good if info.name.endswith(".npy"))

    def with_field(data: bytes) -> bytes:
        return tar_of([(info, data if info.name == field else body) for info, body in good])

    def with_member(*extra: tuple[tarfile.TarInfo, bytes]) -> bytes:
        return tar_of([*good, *extra])

    whole = shard.read_bytes()
    at = whole.index(field.encode()) - whole.index(field.encode()) % 512

    def with_size(text: bytes) -> bytes:
        header = bytearray(whole[at : at + 512])
        header[124:136] = text
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        return whole[:at] + bytes(header) + whole[at + 512 :]

    pax = b"x" * 300
    record = b"%d comment=%s\n" % (len(pax) + 13, pax)
    endless, _ = member("x", type=b"x")
    endless.size = len(record)
    chain = (endless.tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0")) * 2000
    return {
        "path that climbs": with_member(member("../../escaped.txt", b"x")),
        "absolute path": with_member(member(str(marker), b"x")),
        "symbolic link": with_member(member("l", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
        "hard link": with_member(member("l", type=tarfile.LNKTYPE, linkname="/etc/passwd")),
        "device": with_member(member("d", type=tarfile.CHRTYPE, devmajor=1, devminor=5)),
        "FIFO": with_member(member("f", type=tarfile.FIFOTYPE)),
        "sparse file": with_member(member("s", type=tarfile.GNUTYPE_SPARSE)),
        "size of 8 EiB": with_size(b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7),
        "negative size": with_size(b"\xff" * 12),
        "endless headers": whole[:-1024] + chain + bytes(1024),
        "duplicate key": with_member(*[each for each in good if each[0].name == field]),
        "npy of 14 TiB": with_field(npy("<u2", "(1000000, 8000000)")),
        "npy of negative size": with_field(npy("<u2", "(-1, 4)")),
        "npy of objects": with_field(saved(np.array([Marks(marker)], object))),
        "npy that is a pickle": with_field(pickle.dumps(Marks(marker))),
        "npy of structures": with_field(saved(np.zeros(4, [("a", "<u2")]))),
        "npy of version 3": with_field(npy("<u2", "(1,)", b"\0\0", version=3)),
        "index past the codebook": with_field(saved(np.full((3, 4), 60_000, np.uint16))),
        "negative index": with_field(saved(np.full((3, 4), -1, np.int16))),
        "index of wrong dtype": with_field(saved(np.zeros((3, 4), np.float32))),
        "cut": whole[: len(whole) // 2],
        "no tar": b"\0" * 10_000,
        "empty": b"",
    }


def hostile_weights(model: Path, marker: Path) -> dict[str, dict[str, bytes]]:
    """Return files to put into a model folder, by what is wrong with them."""
    config = json.loads((model / "config.json").read_bytes())
    weights = (model / "model.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", weights)
    header = json.loads(weights[8 : 8 + length])

    def spoiled(change: Callable[[dict[str, Any]], None]) -> bytes:
        copy = json.loads(json.dumps(header))
        change(copy)
        text = json.dumps(copy).encode()
        return struct.pack("<Q", len(text)) + text + weights[8 + length :]

    name = next(key for key in header if key != "__metadata__")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("model/data.pkl", pickle.dumps(Marks(marker), 2))
        file.writestr("model/version", b"3\n")
    none = {"model.safetensors": b""}
    return {
        "pickle with code as .pt": {"model.pt": archive.getvalue()},
        "pickle with code as .bin": {"model.bin": pickle.dumps(Marks(marker), 2)},
        "safetensors that is a pickle": {"model.safetensors": pickle.dumps(Marks(marker), 2)},
        "header of 2^60 bytes": {"model.safetensors": struct.pack("<Q", 1 << 60) + b"{}"},
        "tensor of 2^40 elements": {
            "model.safetensors": spoiled(lambda h: h[name].update(shape=[1 << 40]))
        },
        "offsets past the end": {
            "model.safetensors": spoiled(lambda h: h[name].update(data_offsets=[0, 1 << 50]))
        },
        "negative offsets": {
            "model.safetensors": spoiled(lambda h: h[name].update(data_offsets=[-8, 8]))
        },
        "shape of another model": {
            "model.safetensors": spoiled(lambda h: h[name].update(shape=[1, *h[name]["shape"]]))
        },
        "no weights": none,
        "codebook of 2^50": {
            "config.json": json.dumps({**config, "codebook_size": 1 << 50}).encode()
        },
        "width of 10^9": {"config.json": json.dumps({**config, "width": 10**9}).encode()},
        "a million layers": {
            "config.json": json.dumps({**config, "encoder_layers": "c" * 10**6}).encode()
        },
        "config of nested lists": {"config.json": b"[" * 100_000},
        "config that is no object": {"config.json": b"[1, 2]"},
    }


def complaint(ending: Any, codes: tuple[int, ...], baseline: int, marker: Path) -> str | None:
    """Return what is wrong with an ending, None if nothing is."""
    if ending.status not in codes:
        return f"exit {ending.status}: {ending.words[-1500:]}"
    last = ending.words.rstrip().rpartition("\n")[2]
    if "Traceback" in ending.words or (ending.status and not last.startswith("vtok: error: ")):
        return f"no line that says what is wrong: {ending.words[-1500:]}"
    if ending.max_bytes > baseline + MAX_GROWTH_BYTES:
        return f"{ending.max_bytes >> 20} MiB, {baseline >> 20} MiB without"
    if marker.exists():
        marker.unlink()
        return "something in the file ran, or was extracted"
    return None


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_shards(
    tmp_path: Path,
    photos: Path,
    model: Path,
    program: Program,
    in_full: bool,
    table_row: Callable[..., Any],
) -> None:
    good, marker = tmp_path / "good", tmp_path / "marker"
    small = ["--model", str(model), "--workers", "0", "--quiet"]
    assert program.run(["encode-vq", str(photos), str(good), *small]).status == 0
    decode = ["--model", str(model), "--workers", "1", "--quiet"]
    whole = program.run(["decode-vq", str(good), str(tmp_path / "back"), *decode])
    assert whole.status == 0, whole.words
    tars = hostile_tars(good / "shard-000000.tar", marker)
    wrong = []
    for number, (what, data) in enumerate(tars.items()):
        shard = tmp_path / f"{number}" / "shard-000000.tar"
        shard.parent.mkdir()
        shard.write_bytes(data)
        out = tmp_path / f"{number}-out"
        commands = {
            "decode-vq": (["decode-vq", str(shard), str(out), *decode], (3,)),
            # As a source of images it is an archive like any other, and may just hold none.
            "tile": (["tile", str(shard), str(out), "--workers", "0", "--quiet"], (3, 6, 7)),
            "inspect": (["inspect", str(shard)], (0, 3)),
            "verify": (["verify", str(shard), "--workers", "1"], (3,)),
        }
        for command in commands if in_full else ("decode-vq", "verify"):
            arguments, codes = commands[command]
            ending = program.run(arguments)
            problem = complaint(ending, codes, whole.max_bytes, marker)
            table_row(TITLE, HEADER, (f"{what}: {command}", "1", str(int(problem is None))))
            if problem:
                wrong.append(f"{what}, {command}: {problem}")
    assert not list(tmp_path.parent.glob("escaped*")) + list(tmp_path.glob("escaped*"))
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_weights(
    tmp_path: Path, photos: Path, model: Path, program: Program, table_row: Callable[..., Any]
) -> None:
    marker = tmp_path / "marker"
    command = ["encode-vq", str(photos), "--workers", "0", "--quiet"]
    whole = program.run([*command, str(tmp_path / "good"), "--model", str(model)])
    assert whole.status == 0, whole.words
    wrong = []
    for number, (what, files) in enumerate(hostile_weights(model, marker).items()):
        folder = tmp_path / f"model-{number}"
        shutil.copytree(model, folder)
        for name, data in files.items():
            (folder / name).write_bytes(data)
            if Path(name).suffix in {".pt", ".bin"}:
                (folder / "model.safetensors").unlink()
        ending = program.run([*command, str(tmp_path / f"{number}"), "--model", str(folder)])
        problem = complaint(ending, (2, 4), whole.max_bytes, marker)
        table_row(TITLE, HEADER, (f"weights: {what}", "1", str(int(problem is None))))
        if problem:
            wrong.append(f"{what}: {problem}")
    assert not wrong, "\n".join(wrong)
