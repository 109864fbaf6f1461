"""TorchScript files: their tensors are read, their code is run only where the user says so."""

import io
import os
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from programs import Program, levels_of, save_program, traced
from torch import Tensor, nn

from vtok.errors import ShardError, UsageError, WeightsError
from vtok.models.files.checkpoint import model_state
from vtok.models.files.pickles import read_pickle
from vtok.models.files.torchscript import FAMILY
from vtok.models.registry import convert_tokenizer, load_tokenizer


class Brightness(nn.Module):
    """A tokenizer of no known architecture: 4 px a cell, the index is the mean brightness."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        mean = nn.functional.avg_pool2d(pixels * self.scale, 4).mean(1)
        indices = ((mean + 1) / 2 * (self.levels - 1)).round().int()
        return indices, mean


class Flat(nn.Module):
    """Its decoder."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, indices: Tensor) -> Tensor:
        gray = (indices / (self.levels - 1) * 2 - 1).repeat_interleave(4, 1).repeat_interleave(4, 2)
        return torch.stack((gray, gray, gray), dim=1)


class Hostile(nn.Module):
    """Writes a file as soon as it is loaded, by its own way of setting its state."""

    def __init__(self, proof: str) -> None:
        super().__init__()
        self.proof = proof
        self.weight = nn.Parameter(torch.ones(2))

    @torch.jit.export
    def __getstate__(self) -> tuple[str, Tensor, bool]:
        return self.proof, self.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, Tensor, bool]) -> None:
        self.proof = state[0]
        self.weight = state[1]
        self.training = state[2]
        torch.save(state[1], state[0])

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels


class Calls:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("false",)


@pytest.fixture
def unknown(tmp_path: Path) -> Path:
    folder = tmp_path / "unknown"
    folder.mkdir()
    traced(Brightness(200), torch.zeros(1, 3, 32, 32), folder / "encoder.jit")
    traced(Flat(200), torch.zeros(1, 8, 8, dtype=torch.int32), folder / "decoder.jit")
    (folder / "config.json").write_text('{"codebook_size": 200}')
    return folder


def test_tensors_are_read_under_their_names(tmp_path: Path) -> None:
    tensors = {
        "a.0.weight": torch.arange(6.0).view(2, 3).T,
        "a.1.brain": torch.ones(2).bfloat16(),
        "b": torch.tensor(3),
    }
    path = save_program(tensors, tmp_path / "model.jit")
    held = model_state(read_pickle(path))
    assert held.keys() == tensors.keys()
    assert all(torch.equal(held[name], tensor) for name, tensor in tensors.items())
    path.rename(tmp_path / "model.pt")  # it is recognised by what is in it
    assert model_state(read_pickle(tmp_path / "model.pt")).keys() == tensors.keys()


def test_scripted_modules_keep_lists_and_numbers_beside_tensors(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Upsample(scale_factor=2.0))
    _scripted(module, tmp_path / "model.jit")
    held = model_state(read_pickle(tmp_path / "model.jit"))
    assert held.keys() == module.state_dict().keys()


def test_code_that_runs_on_loading_is_not_run(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    path = tmp_path / "model.jit"
    _scripted(Hostile(str(proof)), path)
    proof.unlink(missing_ok=True)
    with pytest.raises(WeightsError):
        load_tokenizer(str(path))
    with pytest.raises(WeightsError):
        convert_tokenizer(str(path), tmp_path / "out")
    with pytest.raises(UsageError, match="--allow-torchscript"):
        load_tokenizer(str(path), FAMILY)
    assert not proof.exists()
    (tmp_path / "config.json").write_text('{"codebook_size": 200}')
    with pytest.raises(WeightsError, match="gives no"):
        load_tokenizer(str(path), allow_torchscript=True)
    assert proof.exists(), "or this test could not fail"


def test_what_is_pickled_is_not_called(unknown: Path, tmp_path: Path) -> None:
    """Not with the flag either: torch's own reader of programs imports nothing."""
    path = unknown / "encoder.jit"
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for name, data in records.items():
            hostile = name.endswith("/data.pkl")
            archive.writestr(name, pickle.dumps(Calls(), protocol=2) if hostile else data)
    path.write_bytes(changed.getvalue())
    with pytest.raises(
        WeightsError, match=r"refused: it asks for \S+\.system.*Nothing in it"
    ) as it:
        load_tokenizer(str(unknown))
    assert "--allow-torchscript" not in str(it.value)
    with pytest.raises(WeightsError, match="cannot be run here"):
        load_tokenizer(str(unknown), allow_torchscript=True)


def test_its_classes_are_of_programs_alone(tmp_path: Path) -> None:
    structure = b"\x80\x02c__torch__.a\nB\n)\x81}X\x01\x00\x00\x00xK\x01sb."
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("model/data.pkl", structure)
    with pytest.raises(WeightsError, match=r"refused: it asks for __torch__\.a\.B"):
        read_pickle(tmp_path / "model.pt")


def test_a_module_inside_itself_ends(tmp_path: Path) -> None:
    """q<n> remembers the object, h<n> puts it into its own attributes."""
    structure = b"\x80\x02c__torch__.a\nB\n)\x81q\x01}X\x01\x00\x00\x00xh\x01sb."
    with zipfile.ZipFile(tmp_path / "model.jit", "w") as archive:
        archive.writestr("model/data.pkl", structure)
        archive.writestr("model/constants.pkl", pickle.dumps((), protocol=2))
    with pytest.raises(WeightsError, match="inside each other"):
        model_state(read_pickle(tmp_path / "model.jit"))


def test_damage_is_told_in_a_line(tmp_path: Path) -> None:
    """Cut files, and bytes changed anywhere or in what describes the tensors."""
    path = save_program({"a.weight": torch.ones(4, 3), "b": torch.ones(2)}, tmp_path / "a.jit")
    whole = path.read_bytes()
    start = whole.index(b"data.pkl")
    random = np.random.default_rng(3)
    messages = []
    for turn in range(150):
        data = bytearray(whole)
        low, high = (start, start + 600) if turn % 3 else (0, len(data))
        for place in random.integers(low, high, 1 + turn % 4):
            data[place] = random.integers(256)
        path.write_bytes(data[: random.integers(len(data))] if turn % 10 == 0 else data)
        try:
            model_state(read_pickle(path))
        except WeightsError as error:
            messages.append(str(error))
    assert len(messages) > 75
    assert not any("\n" in message for message in messages)


def test_an_unknown_architecture_names_the_flag(unknown: Path) -> None:
    with pytest.raises(WeightsError, match=r"no known family.*--allow-torchscript runs that") as it:
        load_tokenizer(str(unknown))
    assert "\n" not in str(it.value)


def test_an_unknown_program_runs_where_it_may(unknown: Path) -> None:
    tokenizer = load_tokenizer(str(unknown), allow_torchscript=True)
    spec = tokenizer.spec
    assert (spec.family, spec.downsample, spec.codebook_size) == (FAMILY, 4, 200)
    assert spec.can_decode
    pixels = torch.linspace(-1, 1, 6).repeat_interleave(4).expand(2, 3, 8, 24)
    with torch.inference_mode():
        indices = tokenizer.tokenize(pixels)
        assert indices.dtype == torch.int64
        assert indices[0, 0].tolist() == [0, 40, 80, 119, 159, 199]
        decoded = tokenizer.decode_indices(indices)
    assert (decoded - pixels).abs().max() < 1 / 199
    with pytest.raises(ShardError, match="outside a codebook of 200"):
        tokenizer.lookup(torch.tensor([[[200]]]))


def test_indices_outside_of_the_codebook_are_not_passed_on(unknown: Path) -> None:
    (unknown / "config.json").write_text('{"codebook_size": 150}')
    tokenizer = load_tokenizer(str(unknown), allow_torchscript=True)
    with torch.inference_mode(), pytest.raises(WeightsError, match="gives indices from 199 to 199"):
        tokenizer.tokenize(torch.ones(1, 3, 8, 8))


def test_an_encoder_alone_cannot_decode(unknown: Path) -> None:
    tokenizer = load_tokenizer(str(unknown / "encoder.jit"), allow_torchscript=True)
    assert not tokenizer.spec.can_decode
    with pytest.raises(WeightsError, match=r"no decoder\.jit beside it"):
        tokenizer.decode_indices(torch.zeros(1, 2, 2, dtype=torch.int64))


def test_known_tensors_are_never_run(tmp_path: Path) -> None:
    """The flag is leave, not an order; the family is an order."""
    tensors = {"scale": torch.tensor(1.0)} | levels_of((5, 5, 8), "quantizer")
    program = Brightness(200)
    for name, child in Program(tensors).named_children():
        program.add_module(name, child)
    path = traced(program, torch.zeros(1, 3, 32, 32), tmp_path / "encoder.jit")
    with pytest.raises(WeightsError, match=r"missing: the encoder's first.*--allow-torchscript"):
        load_tokenizer(str(path))
    tokenizer = load_tokenizer(str(path), FAMILY, allow_torchscript=True)
    assert tokenizer.spec.codebook_size == 200, "of the quantizer's levels"


def test_what_is_no_tokenizer_is_said(unknown: Path) -> None:
    (unknown / "config.json").unlink()
    with pytest.raises(WeightsError, match="does not say how many codes"):
        load_tokenizer(str(unknown), allow_torchscript=True)
    (unknown / "config.json").write_text('{"codebook_size": 200}')
    (unknown / "decoder.jit").unlink()
    save_program({"w": torch.ones(1)}, unknown / "decoder.jit")
    with pytest.raises(WeightsError, match=r"decoder\.jit: its program gives no \(B, 3, H, W\)"):
        load_tokenizer(str(unknown), allow_torchscript=True)
    torch.save({"w": torch.ones(1)}, unknown / "encoder.jit")
    with pytest.raises(WeightsError, match="no known family"):
        load_tokenizer(str(unknown), allow_torchscript=True)


def _scripted(module: nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit")
        torch.jit.script(module.eval()).save(str(path))
