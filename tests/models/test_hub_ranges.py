"""A model behind a hub id: of its weights only the ranges that are needed are fetched."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("transformers", reason="the reference models are an extra")

import torch
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import load_file
from vision_models import made, whole_configs

from vtok.errors import WeightsError
from vtok.models.files import sources
from vtok.models.registry import load_encoder

pytestmark = pytest.mark.slow

HUB_ID = "someone/llava"


class Fake:
    """The parts of the hub's client that are used, over a folder; counts what travels.

    Attributes:
        fetched: Files that were fetched whole.
        num_bytes: That were read of files opened in place.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fetched: list[str] = []
        self.num_bytes = 0
        self.is_down = False

    def download(self, hub_id: str, name: str) -> str:
        assert hub_id == HUB_ID
        if not (self.folder / name).exists():
            raise EntryNotFoundError(f"no {name}")
        self.fetched.append(name)
        return str(self.folder / name)

    def open(self, path: str, mode: str) -> io.BytesIO:
        assert mode == "rb"
        fake, data = self, (self.folder / path.removeprefix(f"{HUB_ID}/")).read_bytes()

        class Stream(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                if fake.is_down and self.tell() > 8:  # in the middle of a file
                    raise OSError("no route to host")
                found = super().read(size)
                fake.num_bytes += len(found)
                return found

        return Stream(data)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    made(whole_configs()["llava-1.5"]).save_pretrained(tmp_path, max_shard_size="40KB")
    fake = Fake(tmp_path)
    monkeypatch.setattr(sources, "hf_hub_download", fake.download)
    monkeypatch.setattr(sources, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(sources, "HfFileSystem", lambda: SimpleNamespace(open=fake.open))
    return fake


def test_only_the_ranges_of_the_tower_travel(hub: Fake) -> None:
    encoder: Any = load_encoder(HUB_ID, output="projected")
    local: Any = load_encoder(str(hub.folder), output="projected")
    assert encoder.spec.name == HUB_ID
    assert encoder.weights_sha256 == local.weights_sha256
    for ours, theirs in zip(encoder.parameters(), local.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert not [name for name in hub.fetched if name.endswith(".safetensors")]
    assert len(set(hub.fetched)) == len(hub.fetched), "asked for once"
    weights = sum(4 * each.numel() for each in encoder.parameters())
    files = sum(path.stat().st_size for path in hub.folder.glob("*.safetensors"))
    assert hub.num_bytes == encoder.num_bytes_read
    headers = hub.num_bytes - weights
    assert 0 < headers < 20_000
    assert hub.num_bytes < files - 20_000


def test_pickles_are_fetched_whole_where_there_is_nothing_else(hub: Fake) -> None:
    index = json.loads((hub.folder / "model.safetensors.index.json").read_text())["weight_map"]
    state: dict[str, torch.Tensor] = {}
    for file in sorted(set(index.values())):
        state |= load_file(hub.folder / file)
    safe = load_encoder(str(hub.folder))
    for path in hub.folder.glob("model*safetensors*"):
        path.unlink()
    torch.save(state, hub.folder / "pytorch_model.bin")
    assert load_encoder(HUB_ID).weights_sha256 == safe.weights_sha256
    assert hub.fetched.count("pytorch_model.bin") == 1
    (hub.folder / "pytorch_model.bin").unlink()
    with pytest.raises(WeightsError, match=r"no model\.safetensors, no pytorch_model\.bin"):
        load_encoder(HUB_ID)


def test_a_file_that_is_here_already_is_not_asked_for(
    hub: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    here: Callable[[str, str], str] = lambda _, name: str(hub.folder / name)  # noqa: E731
    monkeypatch.setattr(sources, "try_to_load_from_cache", here)
    load_encoder(HUB_ID)
    assert hub.num_bytes == 0


def test_a_hub_out_of_reach_is_one_line(hub: Fake) -> None:
    hub.is_down = True
    with pytest.raises(
        WeightsError, match=r"someone/llava: .* cannot be read \(no route to host\)"
    ):
        load_encoder(HUB_ID)
