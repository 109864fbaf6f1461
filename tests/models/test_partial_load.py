"""Of a whole model only tower and projector are read, and nothing else is ever in memory."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="the reference models are an extra")

import big_checkpoint
from vision_models import made, whole_configs

from vtok.errors import WeightsError
from vtok.models.registry import load_encoder

pytestmark = pytest.mark.slow

MOST = 1.3
HAS_PROC = Path("/proc/self/clear_refs").exists()


@pytest.mark.skipif(not HAS_PROC, reason="reads peak memory from Linux's /proc")
def test_memory_and_bytes_of_a_model_with_a_language_model_ten_times_its_tower(
    tmp_path: Path, table_row: Callable[..., None]
) -> None:
    made(whole_configs()["llava-1.5"]).save_pretrained(tmp_path / "small")
    wanted, language = big_checkpoint.write(tmp_path / "big")
    assert language >= 10 * wanted
    found = measured(tmp_path)
    header = ("of a LLaVA-shaped checkpoint", "MB", "of tower + projector")
    for what, size in (
        ("tower + projector", wanted),
        ("language model, never read", language),
        ("read", found["read_bytes"]),
        ("peak memory", found["peak_bytes"]),
    ):
        cells = (what, f"{size / 1e6:.1f}", f"{size / wanted:.3f}")
        table_row("partial load of a whole model", header, cells)
    assert found["parameter_bytes"] == wanted
    assert found["counted_bytes"] <= found["read_bytes"]
    assert wanted <= found["read_bytes"] <= MOST * wanted
    assert found["peak_bytes"] <= MOST * wanted


def measured(folder: Path) -> dict[str, int]:
    """Return what a process of its own read and held to load the big model."""
    done = subprocess.run(
        [sys.executable, big_checkpoint.__file__, folder / "small", folder / "big"],
        # Without it glibc keeps some freed buffers for later, more in one run than in another.
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "131072"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def small(folder: Path) -> Path:
    made(whole_configs()["llava-1.5"]).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("cut", [4, 100, 20_000])
def test_a_file_that_was_cut_is_one_line(cut: int, tmp_path: Path) -> None:
    file = small(tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(WeightsError, match="damaged"):
        load_encoder(str(tmp_path))


def test_tensors_that_are_missing_are_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = small(tmp_path) / "model.safetensors"
    state = load_file(file)
    gone = next(name for name in state if "q_proj.weight" in name and "vision" in name)
    del state[gone]
    save_file(state, file)
    with pytest.raises(WeightsError, match=r"missing: .*q_proj\.weight"):
        load_encoder(str(tmp_path))


def test_an_index_may_not_name_files_elsewhere(tmp_path: Path) -> None:
    folder = small(tmp_path)
    index = {"weight_map": {"a": "../other.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=r"no \.safetensors file"):
        load_encoder(str(folder))


def test_files_without_its_tensors_need_not_be_there(tmp_path: Path) -> None:
    made(whole_configs()["llava-1.5"]).save_pretrained(tmp_path, max_shard_size="40KB")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    needed = {file for name, file in index.items() if "vision" in name or "projector" in name}
    whole = load_encoder(str(tmp_path), output="projected")
    gone = sorted(set(index.values()) - needed)
    assert gone
    for file in gone:
        (tmp_path / file).unlink()
    assert load_encoder(str(tmp_path), output="projected").weights_sha256 == whole.weights_sha256
    (tmp_path / min(needed)).unlink()
    with pytest.raises(WeightsError, match=min(needed)):
        load_encoder(str(tmp_path), output="projected")


def test_an_index_that_is_wrong_is_one_line(tmp_path: Path) -> None:
    made(whole_configs()["llava-1.5"]).save_pretrained(tmp_path, max_shard_size="40KB")
    path = tmp_path / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    name = next(name for name in index["weight_map"] if "vision" in name)
    index["weight_map"][name] = max(set(index["weight_map"].values()) - {index["weight_map"][name]})
    path.write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=f"has no {name}, and the index says so"):
        load_encoder(str(tmp_path))
    index["weight_map"][name] = ["a"]
    path.write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=r"\['a'\], which is no .safetensors file"):
        load_encoder(str(tmp_path))


def test_the_digest_is_of_what_was_read_whatever_files_it_lay_in(tmp_path: Path) -> None:
    model = made(whole_configs()["llava-1.5"])
    model.save_pretrained(tmp_path / "one")
    model.save_pretrained(tmp_path / "many", max_shard_size="40KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 2
    one, many = (load_encoder(str(tmp_path / name)) for name in ("one", "many"))
    assert one.weights_sha256 == many.weights_sha256
    model.model.language_model.norm.weight.data += 1  # not of the tower
    model.save_pretrained(tmp_path / "other")
    assert load_encoder(str(tmp_path / "other")).weights_sha256 == one.weights_sha256
    model.model.vision_tower.pre_layrnorm.weight.data[0] += 1
    model.save_pretrained(tmp_path / "changed")
    assert load_encoder(str(tmp_path / "changed")).weights_sha256 != one.weights_sha256
