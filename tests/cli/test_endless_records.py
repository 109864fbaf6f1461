"""Files beside shards that claim to go on for ever: judged by what they should hold, not read."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

QUICK = ("--workers", "0", "--tile-size", "28", "--shard-size", "3", "--dedupe", "--quiet")
ENDLESS = 1 << 40
LISTS = ["failures.jsonl", "duplicates.jsonl", "inputs.jsonl.gz", "identical.jsonl.gz"]
Digests = Callable[[Path], dict[str, str]]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_a_tebibyte(
    vtok: Any, photos: Path, tmp_path: Path, digests: Digests, name: str
) -> None:
    out = tmp_path / "out"
    vtok("tile", photos, out, *QUICK)
    whole = digests(out)
    os.truncate(out / name, ENDLESS)
    report = vtok("verify", out, "--repair", "--json", code=8).report
    assert set(report["removed"]) == {"manifest.json", name}
    vtok("tile", photos, out, *QUICK)
    assert digests(out) == whole
    os.truncate(out / name, ENDLESS)
    vtok("tile", photos, out, *QUICK)  # a run that goes on writes it anew
    assert digests(out) == whole


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["inputs.jsonl.gz", "identical.jsonl.gz"])
def test_a_small_file_that_unpacks_to_much(
    vtok: Any, photos: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    vtok("tile", photos, out, *QUICK)
    (out / name).write_bytes(gzip.compress(bytes(64 << 20)))
    report = vtok("verify", out, "--json", code=3).report
    assert report["problems"] == [f"{name} does not say what the records say"]


@pytest.mark.timeout(60)
def test_an_array_of_a_tebibyte(
    vtok: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vtok.pipelines.decoding import index_file

    monkeypatch.setattr(index_file, "MAX_BYTES", 1 << 20)
    with (tmp_path / "a.npy").open("wb") as file:
        file.truncate(ENDLESS)
    arguments = ("decode-vq", tmp_path / "a.npy", tmp_path / "out", "--model", model)
    assert "has more than 1048576 bytes" in vtok(*arguments, code=3).stderr
