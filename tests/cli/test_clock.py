"""No byte of any output depends on the clock or the time zone."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TINY = ("--workers", "0", "--shard-size", "3", "--quiet")


@pytest.fixture
def another_day(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Move the clock to the year 2096, and the machine across the date line."""

    def move() -> None:
        monkeypatch.setattr(time, "time", lambda: 4e9)
        monkeypatch.setattr(time, "time_ns", lambda: 4 * 10**18)
        monkeypatch.setenv("TZ", "Pacific/Kiritimati")
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


def test_all_that_is_written_is_the_same_on_another_day(
    vtok: Any,
    photos: Path,
    model: Path,
    tmp_path: Path,
    digests: Callable[[Path], dict[str, str]],
    another_day: Callable[[], None],
) -> None:
    def everything(out: Path) -> dict[str, str]:
        indices = tmp_path / "indices"  # plans name their inputs
        small = ("--model", model, *TINY)
        vtok("encode-vq", photos, out / "indices", *small)
        vtok("encode-continuous", photos, out / "features", *small)
        vtok("tile", photos, out / "tiles", "--tile-size", 28, "--dedupe", *TINY)
        if not indices.exists():
            vtok("encode-vq", photos, indices, *small)
        decoded = ("--model", model, "--format", "webp", "--quiet", "--workers", 1)
        vtok("decode-vq", indices, out / "images", *decoded)
        vtok("decode-vq", indices, out / "shards", *decoded, "--output-format", "webdataset")
        vtok("models", "convert", model, out / "model")
        return digests(out)

    first = everything(tmp_path / "first")
    zone = time.tzname
    another_day()
    assert (time.tzname, time.gmtime(time.time()).tm_year) != (zone, 2026)
    assert everything(tmp_path / "second") == first
    assert {Path(name).parts[0] for name in first} == {
        *("indices", "features", "tiles", "images", "shards", "model")
    }
