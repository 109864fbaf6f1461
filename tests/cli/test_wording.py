"""Every option of a scheme is called by its flag, and nothing else is touched."""

from dataclasses import fields

import pytest

from vtok.cli.wording import in_flags
from vtok.pipelines.config.cut import flag
from vtok.resolution import SchemeOptions

WORDS = {"align", "resample", "thumbnail", "crops", "seed", "flip"}  # ordinary words too


@pytest.mark.parametrize("name", [each.name for each in fields(SchemeOptions)])
def test_options_become_flags(name: str) -> None:
    expected = name if name in WORDS else flag(name)
    assert in_flags(f"{name} 3 is wrong") == f"{expected} 3 is wrong"


def test_other_words_stay() -> None:
    text = "/data/tile_size_px: 3 max_files, configuration.scheme.options.max_tiles: 6 → 4"
    assert in_flags(text) == text


def test_an_ordinary_word_is_a_flag_where_its_value_is_refused() -> None:
    assert in_flags("crops must be a whole number >= 1, not 0").startswith("--crops must be")
    assert in_flags("ten crops, and crops of one size") == "ten crops, and crops of one size"
