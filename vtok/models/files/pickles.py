"""Pickled checkpoints from strangers: what is in one, without running any of it.

In: a `.ckpt`, `.pt`, `.pth`, `.bin`, `.pkl` or `.jit` that torch wrote. Out: its dictionaries and
tensors, with stand-ins for the objects of other libraries, and for the modules of a TorchScript
program, whose code is not even read. Every file is first gone through without its
data: each name that it imports must be on a list, and each tensor must lie in bytes that the file
really has, before any are allocated. What passes and needs no stand-in is then read by
`torch.load(weights_only=True)`; the rest by the same unpickler, with the data this time. Knows
nothing of architectures.
"""

import io
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from vtok.errors import WeightsError
from vtok.models.files.standins import Allowed, StorageLabel

_MAX_PICKLE_BYTES = 32 << 20  # of structure, without tensors: Lightning's largest hold some 3 MiB
_MAX_RECORDS = 100_000
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch before 1.6: pickles one after the other
_LEGACY_HEADER_BYTES = 64
_ENCRYPTED = 0x1
_FOREIGN_OPCODES = frozenset(("INST", "OBJ", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER"))
_MEMO_OPCODES = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
_StorageSource = Callable[[str, StorageLabel], Tensor]
# What the unpickler, and a constructor that it is told to call, raise on damaged input.
_DAMAGE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
)


def read_pickle(path: Path) -> object:
    """Return what a torch checkpoint holds, its tensors on the CPU.

    Raises:
        WeightsError: it is damaged, not torch's, imports a name that is not on the list, or claims
            more data than it has. Nothing in it was run.
    """
    with _damage_reported(path), path.open("rb") as file:
        if zipfile.is_zipfile(file):
            return _read_zip(path)
        file.seek(0)
        _survey_legacy(file, path)
        return torch.load(path, map_location="cpu", weights_only=True)


@contextmanager
def _damage_reported(path: Path) -> Iterator[None]:
    try:
        with warnings.catch_warnings():  # about protocols that torch does not write
            warnings.simplefilter("ignore")
            yield
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}") from error
    except _DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{path}: damaged, or not a torch checkpoint ({reason})") from error


def is_program(path: Path) -> bool:
    """Return whether a file is TorchScript, without reading what it holds."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(_is_of_program(name) for name in archive.namelist())
    except (OSError, *_DAMAGE):
        return False


def _read_zip(path: Path) -> object:
    with zipfile.ZipFile(path) as archive:
        records = _checked_records(archive, path)
        root, structure = _structure(archive, records, path)
        scripted = any(_is_of_program(name) for name in records)
        outline = _Reader(
            structure, path, lambda key, label: _on_meta(records, root, key, label), scripted
        )
        outline.load()
        if not (scripted or outline.allowed.stood_in):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        filled = _Reader(
            structure, path, lambda key, label: _in_memory(archive, root, key, label), scripted
        )
        return filled.load()


def _is_of_program(name: str) -> bool:
    return name.partition("/")[2] == "constants.pkl"


def _checked_records(archive: zipfile.ZipFile, path: Path) -> dict[str, int]:
    """Return the size of every record, in bytes; none is larger than its place in the file.

    The code of a TorchScript program, which alone is compressed, is left out: nothing reads it.

    Raises:
        WeightsError: records are compressed, encrypted, repeated, or overlap.
    """
    infos = archive.infolist()
    names = {info.filename for info in infos}
    if len(infos) > _MAX_RECORDS or len(names) != len(infos):
        raise WeightsError(f"{path}: {len(infos)} records under {len(names)} names: not torch's")
    infos = [info for info in infos if not info.filename.partition("/")[2].startswith("code/")]
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & _ENCRYPTED:
            raise WeightsError(f"{path}: {info.filename} is compressed or encrypted: not torch's")
    if sum(info.file_size for info in infos) > path.stat().st_size:
        raise WeightsError(f"{path}: its records claim more bytes than the file has")
    return {info.filename: info.file_size for info in infos}


def _structure(archive: zipfile.ZipFile, records: dict[str, int], path: Path) -> tuple[str, bytes]:
    """Return the folder inside the archive, and the pickle that describes its tensors."""
    roots = [name[: -len("data.pkl")] for name in records if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise WeightsError(f"{path}: an archive without (one) data.pkl is not a torch checkpoint")
    _check_size(records[f"{roots[0]}data.pkl"], path)
    byteorder = f"{roots[0]}byteorder"
    if byteorder in records and archive.read(byteorder) != b"little":
        raise WeightsError(f"{path}: written on a big-endian machine: save it again on this one")
    return roots[0], archive.read(f"{roots[0]}data.pkl")


def _survey_legacy(file: BinaryIO, path: Path) -> None:
    """Go through a file of torch before 1.6; everything it claims is in it, and none is foreign.

    Raises:
        WeightsError: it is not such a file, or not as harmless.
    """
    size = path.stat().st_size
    if not file.read(_LEGACY_HEADER_BYTES).startswith(b"\x80"):
        raise WeightsError(f"{path}: neither an archive nor a pickle: not a torch checkpoint")
    file.seek(0)
    claimed = 0

    def storage(key: str, label: StorageLabel) -> Tensor:
        nonlocal claimed
        claimed += seen.setdefault(key, label.num_bytes)
        if label.num_bytes < 0 or claimed > size:
            raise WeightsError(f"{path}: tensor {key} claims more bytes than the file has")
        return torch.empty(label.num_elements, dtype=label.dtype, device="meta")

    seen: dict[str, int] = {}
    magic = _Reader(_one_pickle(file, path), path, storage).load()
    if magic != _LEGACY_MAGIC:
        raise WeightsError(f"{path}: a pickle, but not a torch checkpoint")
    for _ in range(2):  # the protocol's version, the writer's word sizes
        _Reader(_one_pickle(file, path), path, storage).load()
    outline = _Reader(_one_pickle(file, path), path, storage)
    outline.load()
    if outline.allowed.stood_in:
        raise WeightsError(
            f"{path}: holds {min(outline.allowed.stood_in)} in the format of torch before 1.6: "
            "save its state dict again with a newer torch"
        )


def _one_pickle(file: BinaryIO, path: Path) -> bytes:
    """Return the bytes of the pickle that begins here, and leave the file behind it."""
    start = file.tell()
    for _opcode, _argument, position in pickletools.genops(file):
        _check_size((position or 0) - start, path)
    end = file.tell()
    file.seek(start)
    return file.read(end - start)


def _check_size(num_bytes: int, path: Path) -> None:
    if num_bytes > _MAX_PICKLE_BYTES:
        raise WeightsError(
            f"{path}: {num_bytes} bytes of structure without tensors: more than any model has"
        )


def _on_meta(records: dict[str, int], root: str, key: str, label: StorageLabel) -> Tensor:
    num_bytes = records[f"{root}data/{key}"]
    if label.num_bytes != num_bytes:
        raise WeightsError(f"tensor data {key} claims {label.num_bytes} bytes and has {num_bytes}")
    return torch.empty(label.num_elements, dtype=label.dtype, device="meta")


def _in_memory(archive: zipfile.ZipFile, root: str, key: str, label: StorageLabel) -> Tensor:
    data = bytearray(archive.read(f"{root}data/{key}"))
    if not data:
        return torch.empty(0, dtype=label.dtype)
    return torch.frombuffer(data, dtype=label.dtype)


class _Reader(pickle.Unpickler):
    """Pickle's own machine, which can reach nothing but the list.

    Args:
        structure: The pickle.
        path: Where it is from, for messages.
        storage: (key, label) → the one-dimensional tensor that other tensors are views of.
        scripted: Whether it describes a TorchScript program.
    """

    def __init__(
        self, structure: bytes, path: Path, storage: _StorageSource, scripted: bool = False
    ) -> None:
        _check_opcodes(structure, path)
        super().__init__(io.BytesIO(structure), encoding="utf-8")
        self._path = path
        self._storage = storage
        self._opened: dict[str, Tensor] = {}
        self.allowed = Allowed(max_bytes=4 * path.stat().st_size + 2**20, scripted=scripted)

    def find_class(self, module: str, name: str) -> object:
        """Return what a name stands for here; nothing is imported."""
        found = self.allowed.get(module, name)
        if found is None:
            raise WeightsError(
                f"{self._path}: refused: it asks for {module}.{name}, which is not on the list of "
                "what a checkpoint may hold. Nothing in it was run"
            )
        return found

    def persistent_load(self, pid: object) -> Tensor:
        """Return the storage that a tensor lies in."""
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise WeightsError(f"{self._path}: {pid!r} is no tensor data")
        _, kind, key, _location, num_elements = pid[:5]
        label = StorageLabel(kind, num_elements)
        if not isinstance(key, str):
            raise WeightsError(f"{self._path}: {pid!r} is no tensor data")
        if key not in self._opened:
            self._opened[key] = self._storage(key, label)
        if self._opened[key].dtype != label.dtype:
            raise WeightsError(f"{self._path}: tensor data {key} has two dtypes")
        return self._opened[key]


def _check_opcodes(structure: bytes, path: Path) -> None:
    """Refuse what torch never writes: old-style calls, and memo places that cost memory.

    Raises:
        WeightsError: it has such an opcode.
    """
    for count, (opcode, argument, _position) in enumerate(pickletools.genops(structure), start=1):
        too_far = opcode.name in _MEMO_OPCODES and int(argument or 0) > count
        if opcode.name in _FOREIGN_OPCODES or too_far:
            raise WeightsError(f"{path}: refused: opcode {opcode.name} {argument or ''}".rstrip())
