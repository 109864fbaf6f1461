"""Inputs listed by another process: the same list, the same errors, and no process left."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from vtok.errors import InputError
from vtok.io.sources import Source, folders, open_source
from vtok.pipelines.config.commands import TileConfig
from vtok.pipelines.config.parts import RunConfig
from vtok.pipelines.inputs import lister
from vtok.pipelines.inputs.items import Inputs, list_inputs
from vtok.pipelines.inputs.listing import Listing
from vtok.pipelines.running.head_start import HeadStart
from vtok.pipelines.tile import tile


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Seven images in three folders, one with a caption, one with a name that is not UTF-8."""
    root = tmp_path / "tree"
    for name in ("b/1.png", "b/2.png", "a/1.jpg", "a/c/9.png", "z.png", "y.v2.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), f"#{len(name):02d}{ord(name[0]):02x}00").save(root / name)
    (root / "z.txt").write_text("the last letter", encoding="utf-8")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.png")).write_bytes((root / "z.png").read_bytes())
    return root


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every folder count as long."""
    monkeypatch.setattr(folders, "_LONG_IMAGES", -1)


def facts(inputs: Inputs) -> list[tuple[str, str, bytes, dict[str, bytes]]]:
    return [
        (inputs.key(i), item.source, item.digest_line(), item.read_sidecars())
        for i, item in enumerate(inputs.items)
    ]


@pytest.mark.parametrize("limit", [None, 1, 3, 100])
def test_another_process_lists_the_same(tree: Path, long: None, limit: int | None) -> None:
    here = list_inputs(str(tree), limit)
    with Listing(str(tree), limit) as listing:
        assert listing._child is not None
        there = listing.wait()
    assert facts(there) == facts(here)
    assert (there.sha256, there.record) == (here.sha256, here.record)
    again = pickle.loads(pickle.dumps(there))
    assert facts(again) == facts(here)
    assert [item.source for item in there.items[1:]] == [item.source for item in here.items[1:]]
    with pytest.raises(IndexError):
        there.items[len(here.items)]


def test_pieces_are_of_one_size_but_the_last(tree: Path) -> None:
    items = list(open_source(str(tree)).list())
    numbers = [0, 1, lister.ITEMS_AT_ONCE - 1, lister.ITEMS_AT_ONCE, 2 * lister.ITEMS_AT_ONCE + 1]
    for number in numbers:
        chunks, count = lister.pack(iter((items * number)[:number]))
        lengths = [len(pickle.loads(chunk)) for chunk in chunks]
        assert sum(lengths) == count == number
        assert set(lengths[:-1]) <= {lister.ITEMS_AT_ONCE}


def test_what_listing_ends_with_is_raised_here(tmp_path: Path, long: None) -> None:
    (tmp_path / "film.mp4").write_bytes(b"x")
    with pytest.raises(InputError) as here:
        list_inputs(str(tmp_path))
    with Listing(str(tmp_path)) as listing:
        assert listing._child is not None
        assert listing._child.connection.poll(60)
        with pytest.raises(InputError) as there:
            listing.check()
    assert str(there.value) == str(here.value)
    with pytest.raises(InputError, match="No such file"):
        Listing(str(tmp_path / "nothing"))


def test_a_lister_that_dies_is_made_up_for(tree: Path, long: None) -> None:
    with Listing(str(tree)) as listing:
        assert listing._child is not None
        listing._child.process.kill()
        assert facts(listing.wait()) == facts(list_inputs(str(tree)))


def test_nothing_is_left_of_a_list_that_nobody_waits_for(tree: Path, long: None) -> None:
    with Listing(str(tree)) as listing:
        assert listing._child is not None
        process = listing._child.process
    assert process.returncode is not None


def test_what_is_short_or_not_here_is_not_long(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def source(name: str, num_bytes: int) -> Source:
        with (tmp_path / name).open("wb") as file:
            file.truncate(num_bytes)
        return open_source(str(tmp_path / name))

    assert not open_source(str(tree)).is_long()
    monkeypatch.setattr(folders, "_LONG_IMAGES", 6)
    monkeypatch.setattr(folders, "_LONG_OTHERS", 1)
    assert open_source(str(tree)).is_long()  # seven images
    assert not open_source(str(tree / "b")).is_long()
    for name in ("1.md", "2.md", "3.md"):
        assert open_source(str(tree / "b")).is_long() == (name == "3.md")
        (tree / "b" / name).touch()
    assert not open_source(str(tree / "z.png")).is_long()
    assert not open_source("memory://bucket/a.tar").is_long()
    for name in ("a.tar", "a.txt", "a.csv", "a.parquet"):
        assert not source(name, 1000).is_long()
        assert source(name, 65 << 20).is_long()


def test_a_run_whose_list_was_long_has_the_same_bytes(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outcome(name: str) -> dict[str, bytes]:
        out = tmp_path / name
        tile(TileConfig(run=RunConfig(input=str(tree), output=out, shard_size=3, workers=0)))
        return {path.name: path.read_bytes() for path in out.iterdir() if path.name[0] != "."}

    short = outcome("short")
    monkeypatch.setattr(folders, "_LONG_IMAGES", -1)
    assert outcome("long") == short
    assert "inputs.jsonl.gz" in short


def test_workers_start_for_a_fresh_run_and_are_never_left(tree: Path, tmp_path: Path) -> None:
    config = RunConfig(input=str(tree), output=tmp_path / "out", workers=2)
    with HeadStart(config) as head_start:
        first, second = head_start.workers
        processes = [each._child.process for each in (first, second)]
    assert all(process.returncode is not None for process in processes)
    with HeadStart(RunConfig(input=str(tree / "b"), output=tmp_path / "out", workers=9)) as few:
        assert len(few.workers) == 2  # as there are images
    tile(TileConfig(run=config))
    with HeadStart(config) as resumed:
        assert resumed.workers == []  # there may be nothing left to do


def test_a_worker_that_died_in_waiting_is_replaced(tree: Path, tmp_path: Path) -> None:
    config = RunConfig(input=str(tree), output=tmp_path / "out", workers=2)
    with HeadStart(config) as head_start:
        head_start.workers[0]._child.process.kill()
        report = tile(TileConfig(run=config), head_start=head_start)
        assert head_start.workers == []
    assert report.manifest.written == 7


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_bad_inputs_are_said_before_torch_is_loaded(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    code = (
        "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); "
        "from vtok.cli.app import main; main()"
    )
    arguments = ["encode-vq", str(tmp_path / name), str(tmp_path / "out")]
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (3, "False\n")
    assert ended.stderr.count("\n") == 1
