"""Vision models whose weights are torch's pickles: the same encoder as of safetensors."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the reference models are an extra")

import torch
from safetensors.torch import load_file
from vision_models import made, whole_configs

from vtok.errors import WeightsError
from vtok.models.files.partial import open_weights
from vtok.models.files.sources import FolderSource
from vtok.models.registry import load_encoder

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made(whole_configs()["llava-1.5"]).save_pretrained(tmp_path)
    return tmp_path


def pickled(folder: Path, num_files: int) -> dict[str, Any]:
    """Put pickles in the place of the safetensors; return the tensors."""
    file = folder / "model.safetensors"
    state = load_file(file)
    file.unlink()
    if num_files == 1:
        torch.save(state, folder / "pytorch_model.bin")
        return state
    index = {}
    for number in range(num_files):
        part = {name: state[name] for name in sorted(state)[number::num_files]}
        name = f"pytorch_model-{number + 1:05d}-of-{num_files:05d}.bin"
        torch.save(part, folder / name)
        index |= dict.fromkeys(part, name)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}))
    return state


@pytest.mark.parametrize("num_files", [1, 3])
def test_a_pickled_checkpoint_is_what_it_is_in_safetensors(folder: Path, num_files: int) -> None:
    safe = load_encoder(str(folder), output="projected")
    pickled(folder, num_files)
    encoder: Any = load_encoder(str(folder), output="projected")
    assert encoder.weights_sha256 == safe.weights_sha256
    assert encoder.num_bytes_read > 0
    pixels = torch.randn(1, 3, 28, 28)
    with torch.no_grad():
        assert torch.equal(encoder.features(pixels), safe.features(pixels))


def test_rows_of_the_language_model_are_read(folder: Path) -> None:
    state = pickled(folder, 3)
    name = next(name for name in state if name.endswith("embed_tokens.weight"))
    files = open_weights(FolderSource(folder))
    assert torch.equal(files.read_rows(name, [3, 0]), state[name][[3, 0]])
    with pytest.raises(WeightsError, match=r"has no row \[100000\]"):
        files.read_rows(name, [100_000])


def test_a_pickle_that_would_run_something_is_refused(folder: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (folder / "done",))

    pickled(folder, 1)
    torch.save({"a": torch.ones(1), "b": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin"):
        load_encoder(str(folder))
    assert not (folder / "done").exists()


def test_no_weights_at_all_are_one_line(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"no model\.safetensors, no pytorch_model\.bin"):
        load_encoder(str(folder))
    torch.save([torch.ones(2)], folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="holds no tensors by name"):
        load_encoder(str(folder))
