"""The table of published tokenizers, and how one is fetched."""

from pathlib import Path

import pytest
from checkpoints import llamagen

from vtok.errors import UnknownNameError, WeightsError
from vtok.models import fetching
from vtok.models.building import family_names
from vtok.models.presets import PRESETS
from vtok.models.registry import load_tokenizer, model_names


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


def test_near_names_are_offered() -> None:
    with pytest.raises(UnknownNameError, match="did you mean llamagen-vq16"):
        load_tokenizer("lamagen-vq16")
