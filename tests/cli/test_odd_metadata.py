"""What comes with an image and is no metadata to keep: said, or carried as it is, never lost."""

import json
from pathlib import Path
from typing import Any

import pytest

import vtok as library

QUICK = ("--workers", "0", "--tile-size", "28", "--quiet")


def nested(depth: int) -> str:
    return '{"x": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


@pytest.mark.parametrize(
    ("text", "is_kept"),
    [
        (nested(200), True),
        (nested(201), False),
        (nested(965), False),  # Python reads it where its stack is empty, and not everywhere
        ('"' + "[" * 1000 + '"', False),
        ('{"x": "' + "[" * 1000 + '"}', True),
        ('{"x": 1e400}', False),
        ('{"x": 1, "x": 2}', False),
    ],
)
@pytest.mark.parametrize("layout", ["sample", "block"])
def test_json_beside_an_image(
    vtok: Any, photos: Path, model: Path, tmp_path: Path, text: str, is_kept: bool, layout: str
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "a.png").write_bytes((photos / "deep" / "a.png").read_bytes())
    (folder / "a.json").write_text(text)
    small = ("--model", model, "--layout", layout, "--workers", "0", "--quiet")
    vtok("encode-vq", folder, out, *small)
    (sample,) = library.open_shards(out)
    if is_kept:
        assert sample.meta["metadata"] == json.loads(text)
        assert not sample.sidecars
    else:
        assert "metadata" not in sample.meta
        assert sample.sidecars == {"json-text": text.encode()}
    assert vtok("verify", out, "--json").report["state"] == "whole"


@pytest.mark.parametrize("value", ["1e400", "[" * 300 + "]" * 300, "9" * 5000])
def test_a_list_with_values_that_no_json_keeps(
    vtok: Any, photos: Path, tmp_path: Path, value: str
) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text(f'{{"path": "{photos / "a.png"}", "x": {value}}}\n')
    stderr = vtok("tile", path, tmp_path / "out", *QUICK, code=3).stderr
    assert f"{path}, line 1: not valid JSON" in stderr
    assert stderr.count("\n") == 1
