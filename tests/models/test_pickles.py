"""Checkpoints from strangers: nothing in one is run, and nothing it claims is believed."""

import builtins
import io
import os
import pickle
import re
import subprocess
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vtok.errors import WeightsError
from vtok.models.files.pickles import read_pickle
from vtok.models.files.standins import Inert, module_state

Rewrite = Callable[[bytes], bytes]


class Calls:
    """Pickles as a call of anything."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def hostile(proof: Path) -> dict[str, object]:
    write = f"open({str(proof)!r}, 'w').close()"
    return {
        "os.system": Calls(os.system, f"touch {proof}"),
        "builtins.eval": Calls(builtins.eval, write),
        "builtins.exec": Calls(builtins.exec, write),
        "builtins.getattr": Calls(builtins.getattr, "text", "upper"),
        "builtins.bytearray": Calls(bytearray, 1 << 40),
        "subprocess.call": Calls(subprocess.call, ["touch", str(proof)]),
        "torch.load": Calls(torch.load, str(proof)),
        "torch.hub.load": Calls(torch.hub.load, "someone/something", "model"),
        "inside a tensor's hooks": {"a": torch.ones(2), "b": [{"c": Calls(os.system, "true")}]},
    }


@pytest.mark.parametrize("name", hostile(Path("proof")))
@pytest.mark.parametrize("legacy", [False, True])
def test_calls_are_refused_and_not_made(name: str, legacy: bool, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    path = tmp_path / "model.ckpt"
    payload = {"state_dict": {"weight": torch.ones(3)}, "extra": hostile(proof)[name]}
    torch.save(payload, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(WeightsError, match=r"refused: it asks for \S+, which is not on the list"):
        read_pickle(path)
    assert not proof.exists()


def test_a_plain_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Calls(os.system, f"touch {tmp_path / 'proof'}")))
    with pytest.raises(WeightsError, match="refused"):
        read_pickle(path)
    path.write_bytes(pickle.dumps({"weight": [1.0, 2.0]}))
    with pytest.raises(WeightsError, match="not a torch checkpoint"):
        read_pickle(path)
    assert not (tmp_path / "proof").exists()


def test_arrays_of_numpy_are_stand_ins(tmp_path: Path) -> None:
    """They lie in Lightning's callbacks; `_reconstruct` is not called for them."""
    path = tmp_path / "model.ckpt"
    torch.save({"best": np.ones(3), "score": np.float64(2), "w": torch.arange(3)}, path)
    held = read_pickle(path)
    assert isinstance(held, dict)
    assert isinstance(held["best"], Inert)
    assert isinstance(held["score"], Inert)
    assert torch.equal(held["w"], torch.arange(3))


def test_stand_ins_are_of_one_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    torch.save({"best": np.ones(3)}, path)
    first, second = read_pickle(path), read_pickle(path)
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert type(first["best"]) is not type(second["best"])


def test_names_with_dots_reach_nothing(tmp_path: Path) -> None:
    """STACK_GLOBAL may ask for an attribute of something that is on the list."""
    structure = b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.fromkeys\x93."
    with pytest.raises(WeightsError, match=r"refused.*OrderedDict\.fromkeys"):
        read_pickle(_archive(tmp_path, structure))


@pytest.mark.parametrize(
    ("structure", "what"),
    [
        (b"\x80\x02(cos\nsystem\no.", "OBJ"),
        (b"(ios\nsystem\n.", "INST"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "LONG_BINPUT"),  # a memo of 16 GB
        (b"\x80\x02\x82\x01.", "EXT1"),
    ],
)
def test_opcodes_that_torch_never_writes(structure: bytes, what: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"refused: opcode {what}"):
        read_pickle(_archive(tmp_path, structure))


def test_attributes_cannot_be_set_on_what_is_on_the_list(tmp_path: Path) -> None:
    """BUILD sets attributes: on a shared type or function they would outlive the file."""
    for name in (b"collections\nOrderedDict", b"torch\nSize", b"torch\nfloat32"):
        structure = b"\x80\x02c" + name + b"\nN}X\x01\x00\x00\x00xK\x01s\x86b."
        with pytest.raises(WeightsError, match="damaged"):
            read_pickle(_archive(tmp_path, structure))
    assert not hasattr(OrderedDict, "x")


def test_a_small_file_cannot_claim_a_large_tensor(tmp_path: Path) -> None:
    """1.6 kB that say 2^40 elements, in each place where the number stands."""
    path = tmp_path / "model.pt"
    weight = torch.arange(6.0)
    for view in (weight.expand(1 << 20, 6), weight.as_strided((1 << 40,), (0,))):
        torch.save({"weight": view}, path)
        assert path.stat().st_size < 2000
        with pytest.raises(WeightsError, match="claims more than its 6 elements"):
            read_pickle(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_small_file_cannot_claim_large_data(legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"w": torch.arange(200.0)}, path, _use_new_zipfile_serialization=not legacy)
    number, huge = b"K\xc8", b"\x8a\x06\x00\x00\x00\x00\x00\x01"  # 200, 2^40
    if legacy:
        path.write_bytes(path.read_bytes().replace(number, huge))
    else:
        _rewritten(path, lambda structure: structure.replace(number, huge))
    with pytest.raises(WeightsError, match="claims"):
        read_pickle(path)


def test_one_tensor_named_a_million_times_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    weight = torch.zeros(1 << 18)
    torch.save({f"w{n}": weight.view(1, -1)[0] for n in range(20)}, path)
    with pytest.raises(WeightsError, match="share their data too often"):
        read_pickle(path)


def test_compressed_records_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"w": torch.zeros(1 << 16)}, path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "small.pt", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name), zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="compressed"):
        read_pickle(tmp_path / "small.pt")


def test_an_archive_in_an_archive_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"w": Calls(os.system, "true")}, path)
    with zipfile.ZipFile(tmp_path / "outer.pt", "w") as outer:
        outer.writestr("model/inner.pt", path.read_bytes())
    with pytest.raises(WeightsError, match=r"without \(one\) data.pkl"):
        read_pickle(tmp_path / "outer.pt")


def test_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"w": torch.arange(100.0)}, path)
    whole = path.read_bytes()
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(WeightsError, match=r"model\.pt"):
            read_pickle(path)


def test_a_storage_that_the_list_does_not_have(tmp_path: Path) -> None:
    """Torch before 1.6 lists its storages' keys after the structure; torch asserts that it has."""
    path = tmp_path / "model.pt"
    torch.save({"w": torch.arange(100.0)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    (key,) = re.findall(rb"X.\0\0\0([0-9]+)q\x01a", data)  # in the last pickle: ['key']
    at = data.rindex(key)
    path.write_bytes(data[:at] + b"1" * len(key) + data[at + len(key) :])
    with pytest.raises(WeightsError, match="damaged"):
        read_pickle(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_what_torch_saves_comes_back(legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    base = torch.arange(24.0).view(4, 6)
    saved = {
        "view": base[1:, ::2],
        "half": base.half(),
        "brain": base.bfloat16(),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(3),
        "parameter": torch.nn.Parameter(base.T),
        "nested": OrderedDict(a=[1, (2.5, "x", None, True)]),
    }
    torch.save(saved, path, _use_new_zipfile_serialization=not legacy)
    held = read_pickle(path)
    assert isinstance(held, dict)
    for name, value in saved.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(held[name], value), name
        else:
            assert held[name] == value


def test_a_whole_module_becomes_its_state_dict(tmp_path: Path) -> None:
    """With values, read by the unpickler that has the stand-ins."""
    path = tmp_path / "model.pkl"
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8))
    torch.save(module, path)
    held = read_pickle(path)
    assert isinstance(held, Inert)
    state, expected = module_state(held), module.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def _archive(tmp_path: Path, structure: bytes) -> Path:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", structure)
        archive.writestr("model/version", "3\n")
    return path


def _rewritten(path: Path, rewrite: Rewrite) -> None:
    """Change the description of the tensors in a torch archive."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for name, data in records.items():
            archive.writestr(name, rewrite(data) if name.endswith("data.pkl") else data)
    path.write_bytes(changed.getvalue())
