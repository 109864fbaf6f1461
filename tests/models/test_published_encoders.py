"""The short names of published vision models, and what one is loaded as."""

import subprocess
import sys
from pathlib import Path

import pytest

from vtok.errors import UnknownNameError, UsageError
from vtok.models import finding
from vtok.models.files.sources import FolderSource
from vtok.models.finding import SHIPPED, model_names
from vtok.models.presets import PRESETS
from vtok.models.registry import load_encoder, load_sequence, load_tokenizer
from vtok.models.vision.published import ENCODERS


def test_a_name_is_of_one_model_and_a_model_has_one_name() -> None:
    assert set(ENCODERS) < set(model_names())
    assert not set(ENCODERS) & {*PRESETS, *SHIPPED}
    hub_ids = [row.hub_id for row in ENCODERS.values()]
    assert len(set(hub_ids)) == len(hub_ids)
    for name, row in ENCODERS.items():
        assert finding._HUB_ID.fullmatch(row.hub_id), name
        assert "/" not in name
        assert name == name.lower()


@pytest.mark.slow
def test_a_name_is_its_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers", reason="the reference models are an extra")
    from vision_models import made, whole_configs

    made(whole_configs()["llava-next"]).save_pretrained(tmp_path)
    asked = []

    def folder_of(hub_id: str) -> FolderSource:
        asked.append(hub_id)
        return FolderSource(tmp_path)

    monkeypatch.setattr(finding, "HubSource", folder_of)
    encoder = load_encoder("llava-next-vicuna-7b", output="projected")
    load_sequence("llava-next-vicuna-7b")
    assert encoder.spec.name == "llava-next-vicuna-7b"
    assert encoder.weights_sha256 == load_encoder(str(tmp_path), output="projected").weights_sha256
    assert set(asked) == {"llava-hf/llava-v1.6-vicuna-7b-hf"}


def test_near_names_are_offered_and_a_tower_is_no_tokenizer() -> None:
    with pytest.raises(UnknownNameError, match="did you mean siglip-so400m-384"):
        load_encoder("siglip-so400m-364")
    with pytest.raises(UsageError, match="clip-l14 gives features, not indices"):
        load_tokenizer("clip-l14")


def test_the_hubs_client_says_nothing_of_its_retries() -> None:
    """In a process of its own: pytest takes log lines before they reach standard error."""
    program = (
        "import vtok.models.files.fetching, vtok.models.files.sources\n"
        "from huggingface_hub.utils import http_backoff\n"
        "http_backoff('GET', 'http://127.0.0.1:9/', max_retries=1, base_wait_time=0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "Connect" in done.stderr.splitlines()[-1]
    assert "Retrying" not in done.stderr
    assert "thrown while requesting" not in done.stderr
