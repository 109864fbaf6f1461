"""Shards, records and weights as somebody would make them who means harm.

In: good ones. Out: spoiled copies, by what is wrong with them. Nothing is as large as it claims.
"""

import hashlib
import io
import json
import pickle
import re
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

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
        "patches of 2^31": {"config.json": json.dumps({**config, "patch_px": 2**31 - 1}).encode()},
        "a million layers": {
            "config.json": json.dumps({**config, "encoder_layers": "c" * 10**6}).encode()
        },
        "config of nested lists": {"config.json": b"[" * 100_000},
        "config that is no object": {"config.json": b"[1, 2]"},
    }


def forged(good: Path, folder: Path, tar: bytes) -> Path:
    """Return a copy of an output folder with this shard, and a commit record that says so too."""
    shutil.copytree(good, folder)
    (folder / "shard-000000.tar").write_bytes(tar)
    path = folder / "shard-000000.json"
    commit = json.loads(path.read_bytes())
    commit |= {"sha256": hashlib.sha256(tar).hexdigest(), "num_bytes": len(tar)}
    path.write_text(json.dumps(commit))
    (folder / "manifest.json").unlink()
    return folder


def hostile_records(good: Path) -> dict[str, dict[str, bytes | None]]:
    """Return files to put into an output folder, by what is wrong; None for a FIFO."""
    found: dict[str, dict[str, bytes | None]] = {}
    for name in ("plan.json", "shard-000000.json", "manifest.json"):
        text = (good / name).read_bytes()
        record = json.loads(text)
        number = next(key for key, value in record.items() if isinstance(value, int))
        found |= {
            f"{name}: {what}": {name: data}
            for what, data in {
                "nested lists": b"[" * 100_000,
                "not a number": json.dumps({**record, number: float("nan")}).encode(),
                "a number of 10,000 digits": re.sub(
                    rb": ?\d+", b": " + b"9" * 10_000, text, count=1
                ),
                "a key twice": text.replace(b"{", b'{"format": "other",', 1),
                "an unknown key": json.dumps({**record, "other": 1}).encode(),
                "a negative number": json.dumps({**record, number: -1}).encode(),
                "no UTF-8": text.replace(b'"', b'"\xff', 1),
                "cut": text[: len(text) // 2],
                "a FIFO": None,
            }.items()
        }
    commit = json.loads((good / "shard-000000.json").read_bytes())
    for what, change in {
        "a name that climbs": {"name": "../shard-000000.tar"},
        "more than was planned": {"written": 10**9, "planned": 10**9},
        "another plan": {"plan_sha256": "0" * 64},
        "counts of another codebook": {"codebook_counts": [commit["num_tokens"]]},
    }.items():
        data = json.dumps({**commit, **change}).encode()
        found[f"shard-000000.json: {what}"] = {"shard-000000.json": data}
    return found
