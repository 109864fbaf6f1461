"""The demonstration of a LLaVA-NeXT-shaped checkpoint, which the README names, runs."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="the model's architecture is an extra")

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

import bench_llava

pytestmark = pytest.mark.slow


def test_it_stores_what_is_planned_and_reads_no_language_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("horse.png", "launchpad.webp"):
        (tmp_path / name).write_bytes((bench_llava.SAMPLES / name).read_bytes())
    monkeypatch.setattr(sys, "argv", ["bench_llava.py", "--images", str(tmp_path)])
    bench_llava.main()
    lines = capsys.readouterr().out.splitlines()
    read, whole = (float(word) for word in lines[0].split() if word[0].isdigit())
    assert read < whole / 10
    planned = {line.split()[0]: line for line in lines[1:3]}
    assert "1320 tokens planned, stored (1320, 256)" in planned["horse.png"]
    assert "1360 tokens planned, stored (1360, 256)" in planned["launchpad.webp"]
