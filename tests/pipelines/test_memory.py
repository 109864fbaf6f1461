"""`--memory`: what may wait between the stages, whatever the number of images."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import vtok.pipelines.running.shard_worker as shard_worker
from vtok.engine.buffers import MIN_BYTES, Buffers
from vtok.engine.decoding import DecodePool
from vtok.errors import UsageError
from vtok.pipelines.config.commands import TileConfig
from vtok.pipelines.config.parts import ModelConfig, RunConfig
from vtok.pipelines.running.encoding import Placement
from vtok.pipelines.running.shard_thread import EventT, ShardThread
from vtok.pipelines.tile import tile
from vtok.resolution import SchemeOptions, resolve


@given(num_bytes=st.integers(MIN_BYTES, 1 << 40))
def test_shares_add_up_and_more_memory_changes_no_batch(num_bytes: int) -> None:
    shares, usual = Buffers.within(num_bytes), Buffers()
    assert shares.num_bytes == num_bytes
    assert min(shares.prepared, shares.window, shares.unwritten) >= MIN_BYTES // 20
    assert shares.window <= usual.window
    assert (shares.window == usual.window) == (num_bytes >= usual.num_bytes)


def test_the_usual_shares_are_had_without_asking() -> None:
    assert Buffers.within(None) == Buffers() == Buffers.within(Buffers().num_bytes)


def test_every_queue_of_a_run_gets_its_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_to: dict[str, int] = {}

    def pool(preparation: Any, *, max_ahead_bytes: int, **rest: Any) -> DecodePool:
        given_to["prepared"] = max_ahead_bytes
        return DecodePool(preparation, num_workers=0)

    class Thread(ShardThread[EventT]):
        def __init__(self, make: Any, times: Any, max_waiting_bytes: int) -> None:
            given_to["unwritten"] = max_waiting_bytes
            super().__init__(make, times, max_waiting_bytes)

    monkeypatch.setattr(shard_worker, "DecodePool", pool)
    monkeypatch.setattr(shard_worker, "ShardThread", Thread)
    (tmp_path / "in").mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "in" / "a.png")
    run = RunConfig(input=str(tmp_path / "in"), output=tmp_path / "out", memory=100 << 20)
    tile(TileConfig(run=run))
    shares = Buffers.within(100 << 20)
    assert given_to == {"prepared": shares.prepared, "unwritten": shares.unwritten}


def test_batches_stay_as_the_run_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vtok.pipelines.running.encoding.find_batch_pixels", lambda *_: 10**9)
    scheme = resolve("squash", SchemeOptions(tile_size_px=56))

    def placed(memory: int | None) -> Placement:
        run = RunConfig(input="in", output=tmp_path, memory=memory)
        placement = Placement.of(ModelConfig(device="cpu"), "indices")
        return placement.sized(lambda: None, scheme, run)  # type: ignore[arg-type, return-value]

    usual, small = placed(None), placed(100 << 20)
    shares = Buffers.within(100 << 20)
    assert usual.batch_pixels == 10**9
    assert "window_bytes" not in usual.to_json()
    assert small.to_json()["window_bytes"] == shares.window
    assert small.batch_pixels is not None
    assert small.batch_pixels * 3 * 2 <= shares.prepared

    recorded = small.to_json()
    monkeypatch.setattr(
        "vtok.pipelines.running.encoding.recorded_option", lambda output, name: recorded.get(name)
    )
    assert placed(None).to_json() == placed(4 << 30).to_json() == small.to_json()
    recorded = usual.to_json()
    assert placed(100 << 20).to_json() == usual.to_json()


def test_too_little_is_refused() -> None:
    with pytest.raises(UsageError, match="--memory"):
        RunConfig(input="in", output=Path("out"), memory=MIN_BYTES - 1)
