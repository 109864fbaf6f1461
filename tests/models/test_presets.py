"""The table of published tokenizers, and how one is fetched."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoints import llamagen

from vtok.errors import UnknownNameError, WeightsError
from vtok.models.building import family_names
from vtok.models.files import fetching
from vtok.models.finding import model_names
from vtok.models.presets import PRESETS
from vtok.models.registry import load_encoder, load_tokenizer


def test_every_row_is_of_a_family_that_exists() -> None:
    for name, preset in PRESETS.items():
        assert preset.family in family_names(), name
        assert preset.licence
        assert preset.hub_id.count("/") == 1 or preset.page, name
        assert not preset.files[0].endswith((".json", ".yaml")), "the weights come first"
    assert set(PRESETS) < set(model_names())


def test_only_the_files_that_are_needed_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a file of another model is refused: the stored one has 512 codes."""
    asked = []

    def fetch(hub_id: str, file: str) -> str:
        asked.append((hub_id, file))
        return str(llamagen(tmp_path) / file)

    monkeypatch.setattr(fetching, "hf_hub_download", fetch)
    with pytest.raises(WeightsError, match=r"should have 16384 codes at 1/16.*has 512 at 1/16"):
        load_tokenizer("llamagen-vq16")
    assert asked == [("FoundationVision/LlamaGen", "vq_ds16_c2i.pt")]


@pytest.mark.parametrize("load", [load_tokenizer, load_encoder])
@pytest.mark.parametrize(
    "name",
    ["ckpt/vqgan.ckpt", "vq_ds16_c2i.pt", "./tokenizer", "tokenizer/", "/nowhere/at/all"],
)
def test_a_place_that_is_not_there_is_no_hub_id(
    name: str, load: Callable[[str], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fetching, "snapshot_download", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(WeightsError) as caught:
        load(name)
    assert str(caught.value) == f"{name}: no such file or folder"


def test_what_must_be_got_by_hand_is_named() -> None:
    with pytest.raises(WeightsError, match=r"^chameleon: its authors publish vqgan.ckpt"):
        load_tokenizer("chameleon")


def test_near_names_are_offered() -> None:
    with pytest.raises(UnknownNameError, match="did you mean llamagen-vq16"):
        load_tokenizer("lamagen-vq16")


def test_a_tokenizer_inside_of_a_whole_model_is_found_by_its_prefix(tmp_path: Path) -> None:
    """As Janus-Pro's file has it: beside a language model, in bfloat16, LlamaGen's names behind."""
    bare = torch.load(llamagen(tmp_path) / "vq_ds16_c2i.pt", weights_only=True)["model"]
    half = {name: tensor.bfloat16() for name, tensor in bare.items()}
    torch.save(half, tmp_path / "bare.pt")
    whole = {f"gen_vision_model.{name}": tensor for name, tensor in half.items()}
    whole["gen_vision_model.quantize.codebook_used"] = torch.zeros(65536, dtype=torch.bfloat16)
    whole["language_model.model.embed_tokens.weight"] = torch.zeros(8, 4, dtype=torch.bfloat16)
    torch.save(whole, tmp_path / PRESETS["janus-pro-1b"].files[0])
    found = load_tokenizer(str(tmp_path / "pytorch_model.bin"))
    expected = load_tokenizer(str(tmp_path / "bare.pt"))
    assert found.spec.family == PRESETS["janus-pro-1b"].family
    pixels = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    indices = expected.tokenize(pixels)
    assert torch.equal(found.tokenize(pixels), indices)
    assert torch.equal(found.decode_indices(indices), expected.decode_indices(indices))
