"""A signal whose exception foreign code swallows, as decoders may, stops the run all the same."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from vtok.cli.app import app
from vtok.cli.interrupts import Terminated, orderly_interrupts
from vtok.interruption import raise_if_interrupted
from vtok.pipelines import tile
from vtok.records import Failure
from vtok.shards.samples import Sample


def damage(made: Sample | Failure) -> Failure:
    return Failure(
        key=made.key, source="1.png", stage="decode", reason="corrupt", message="the signal's doing"
    )


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_what_was_swallowed_is_raised_again(number: int, kind: type[BaseException]) -> None:
    def swallow() -> None:
        with orderly_interrupts():
            with pytest.raises(kind):
                os.kill(os.getpid(), number)
            with pytest.raises(kind):
                raise_if_interrupted()

    with pytest.raises(kind):
        swallow()
    raise_if_interrupted()  # nothing is left of it


def test_an_image_that_a_signal_seems_to_damage_is_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for number in range(4):
        Image.new("RGB", (32, 32), (40 * number, 0, 0)).save(photos / f"{number}.png")
    plain = tile.TileMaker.samples

    def interrupted(self: Any, outcomes: Any) -> Iterator[Any]:
        for number, made in enumerate(plain(self, outcomes)):
            if number == 1:
                try:
                    os.kill(os.getpid(), signal.SIGTERM)
                except Terminated:
                    made = damage(made)
            yield made

    arguments = ["tile", str(photos), str(out), "--tile-size", "28", "--workers", "0"]
    monkeypatch.setattr(tile.TileMaker, "samples", interrupted)
    assert CliRunner().invoke(app, arguments).exit_code == 143
    assert not list(out.glob("shard-*"))
    monkeypatch.undo()
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert not (out / "failures.jsonl").read_text()
