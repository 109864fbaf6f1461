"""As many decode workers as asked for, but never more than there are images."""

from pathlib import Path

import pytest
from PIL import Image

import vtok.pipelines.running.shard_worker as shard_worker
from vtok.engine.decoding import DecodePool
from vtok.pipelines.config.commands import TileConfig
from vtok.pipelines.config.parts import RunConfig
from vtok.pipelines.tile import tile


@pytest.mark.parametrize(("workers", "started"), [(5000, 2), (1, 1), (0, 0)])
def test_no_more_workers_than_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, started: int
) -> None:
    counts: list[int | None] = []

    def pool(preparation, *, num_workers, **rest):
        counts.append(num_workers)
        return DecodePool(preparation, num_workers=0)  # only the number is looked at

    monkeypatch.setattr(shard_worker, "DecodePool", pool)
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (30, 20)).save(tmp_path / "in" / name)
    run = RunConfig(input=str(tmp_path / "in"), output=tmp_path / "out", workers=workers)
    tile(TileConfig(run=run))
    assert counts == [started]
