"""Identical files are encoded once, every key is kept, and no interruption changes a byte."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vtok as library
from vtok.pipelines.running import shard_worker

QUICK = ("--workers", "0", "--shard-size", "3")
TILES = (*QUICK, "--tile-size", "28")
Digests = Callable[[Path], dict[str, str]]


@pytest.fixture
def repeated(photos: Path, tmp_path: Path) -> Path:
    """Nine files, of which c repeats a, f repeats b, and g repeats a; two are as long as others."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, source in (
        ("a.png", "a.png"), ("b.png", "f.png"), ("c.png", "a.png"), ("d.png", "deep/a.png"),
        ("e.png", "deep/e.png"), ("f.png", "f.png"), ("g.png", "a.png"), ("h.bmp", "deep/d.bmp"),
    ):  # fmt: skip
        shutil.copy(photos / source, folder / name)
    same_length = bytearray((photos / "deep" / "d.bmp").read_bytes())
    same_length[-1] ^= 255
    (folder / "i.bmp").write_bytes(same_length)
    (folder / "a.txt").write_text("the first caption", encoding="utf-8")
    (folder / "c.txt").write_text("the second caption", encoding="utf-8")
    (folder / "g.json").write_text('{"rating": 1}', encoding="utf-8")
    return folder


def test_identical_files_are_written_once_and_every_key_is_kept(
    vtok: Any, repeated: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    report = vtok("tile", repeated, out, *TILES, "--dedupe", "--json").report
    counts = (report["planned"], report["written"], report["duplicates"], report["failed"])
    assert counts == (9, 6, 3, 0)
    listed = [json.loads(line) for line in (out / "duplicates.jsonl").read_text().splitlines()]
    assert [(each["source"], each["of"], each["of_shard"], each["shard"]) for each in listed] == [
        ("c.png", "000000000000", 0, 0),
        ("f.png", "000000000001", 0, 1),
        ("g.png", "000000000000", 0, 2),
    ]
    shards = library.open_shards(out)
    plain = {each.key: each for each in shards}
    both = {each.key: each for each in shards.with_duplicates()}
    assert sorted(both) == [f"{position:012d}" for position in range(9)]
    copy = both["000000000002"]
    assert (copy.meta["source"], copy.sidecars) == ("c.png", {"txt": b"the second caption"})
    assert both["000000000006"].meta["metadata"] == {"rating": 1}
    assert copy.images == plain["000000000000"].images
    vtok("tile", repeated, tmp_path / "all", *TILES, "--quiet")
    for sample in library.open_shards(tmp_path / "all"):
        twin = both[sample.key]
        assert (twin.meta, twin.images, twin.sidecars) == (
            sample.meta,
            sample.images,
            sample.sidecars,
        )
    assert vtok("verify", out, "--json").report["duplicates"] == 3


@pytest.mark.parametrize("layout", ["sample", "block"])
def test_indices_of_a_duplicate_are_its_own(
    vtok: Any, repeated: Path, model: Path, tmp_path: Path, layout: str
) -> None:
    arguments = ("--model", model, "--layout", layout, "--batch-size", 1, *QUICK)
    vtok("encode-vq", repeated, tmp_path / "one", *arguments, "--dedupe", "--quiet")
    vtok("encode-vq", repeated, tmp_path / "all", *arguments, "--quiet")
    both = {each.key: each for each in library.open_shards(tmp_path / "one").with_duplicates()}
    for sample in library.open_shards(tmp_path / "all"):
        np.testing.assert_array_equal(both[sample.key].array, sample.array)
        assert both[sample.key].meta == sample.meta
    vtok("verify", tmp_path / "one")


@pytest.mark.parametrize("layout", ["sample", "block"])
def test_a_duplicate_has_the_random_crops_of_the_first(
    vtok: Any, repeated: Path, model: Path, tmp_path: Path, digests: Digests, layout: str
) -> None:
    """Drawn for the first's source, and true of its own pixels too: the bytes are the same."""
    crops = ("--crops", 3, "--flip", "--seed", 5, "--min-crop-scale", 0.2, "--size", 16)
    arguments = ("--model", model, "--layout", layout, "--shard-size", 3, *crops, "--quiet")
    one = tmp_path / "one"
    vtok("encode-vq", repeated, one, *arguments, "--workers", 0, "--dedupe")
    vtok("encode-vq", repeated, tmp_path / "two", *arguments, "--workers", 2, "--dedupe")
    assert digests(tmp_path / "two") == digests(one)
    vtok("encode-vq", repeated, tmp_path / "all", *arguments, "--workers", 0)
    alone = {each.key: each for each in library.open_shards(tmp_path / "all")}
    shards = library.open_shards(one)
    first_of = {
        each["key"]: each["of"]
        for each in map(json.loads, (one / "duplicates.jsonl").read_text().splitlines())
    }
    both = {each.key: each for each in shards.with_duplicates()}
    assert len(first_of) == 3
    assert both.keys() == alone.keys()
    for key, sample in both.items():
        twin = alone[first_of.get(key, key)]
        assert sample.meta["views"] == twin.meta["views"]
        assert sample.meta["source"] == alone[key].meta["source"]
        assert list(sample.indices) == list(twin.indices)
        for view, indices in sample.indices.items():
            np.testing.assert_array_equal(indices, twin.indices[view])
    drawn = {key: [view["box"] for view in alone[key].meta["views"]] for key in alone}
    assert any(drawn[key] != drawn[first] for key, first in first_of.items())
    assert vtok("verify", one, "--json").report["duplicates"] == 3
    made = vtok("decode-vq", one, tmp_path / "images", "--reference", repeated, "--json").report
    assert len(made["quality"]["images"]) == 6 * 3


def test_no_worker_and_no_interruption_changes_a_byte(
    vtok: Any, repeated: Path, tmp_path: Path, digests: Digests, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet, out = tmp_path / "quiet", tmp_path / "out"
    vtok("tile", repeated, quiet, *TILES, "--dedupe", "--quiet")
    vtok("tile", repeated, tmp_path / "two", *TILES[2:], "--workers", 2, "--dedupe", "--quiet")
    assert digests(tmp_path / "two") == digests(quiet)
    real = shard_worker.commit_shard
    for num_done in (0, 1, 1):  # ended after so many commits of each call
        left = iter(range(num_done))

        def commit(*arguments: Any, left: Any = left) -> Any:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return real(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(shard_worker, "commit_shard", commit)
            vtok("tile", repeated, out, *TILES, "--dedupe", "--quiet", code=130)
    vtok("tile", repeated, out, *TILES, "--dedupe", "--quiet")
    assert digests(out) == digests(quiet)


def test_what_was_compared_is_not_read_again(
    vtok: Any, repeated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vtok.pipelines.inputs import dedupe

    out = tmp_path / "out"
    assert "identical files" in vtok("tile", repeated, out, *TILES, "--dedupe").stderr
    monkeypatch.setattr(dedupe, "find_twins", lambda *rest: pytest.fail("compared again"))
    (out / "shard-000001.json").unlink()
    vtok("tile", repeated, out, *TILES, "--dedupe")


def test_a_first_file_that_fails_takes_no_other_with_it(
    vtok: Any, repeated: Path, tmp_path: Path, digests: Digests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of three identical files cannot be read while it is encoded."""
    from vtok.engine.preparation import Preparation

    real = Preparation.prepare

    def prepare(self: Any, task: Any) -> Any:
        if task.key == "000000000000":
            return task.failure("read", "unreadable", "stale file handle")
        return real(self, task)

    out, arguments = tmp_path / "out", ("tile", repeated, tmp_path / "out", *TILES, "--dedupe")
    with monkeypatch.context() as patch:
        patch.setattr(Preparation, "prepare", prepare)
        report = vtok(*arguments, "--json").report
        assert (report["written"], report["duplicates"], report["failed"]) == (7, 1, 1)
        assert sum(commit["written"] for commit in commits(out)) == 7
    vtok("verify", out)
    report = vtok(*arguments, "--retry-failed", "--json").report
    assert (report["written"], report["duplicates"], report["failed"]) == (6, 3, 0)
    vtok("tile", repeated, tmp_path / "quiet", *TILES, "--dedupe", "--quiet")
    assert digests(out) == digests(tmp_path / "quiet")


def commits(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("shard-*.json"))]


def test_whole_shards_of_references(vtok: Any, photos: Path, tmp_path: Path) -> None:
    """A shard whose files are all duplicates has no samples, in the middle and at the end."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, source in zip("abcdefg", ("a", "f", "a", "f", "deep/a", "a", "f"), strict=True):
        shutil.copy(photos / f"{source}.png", folder / f"{name}.png")
    for workers in (0, 2):
        out = tmp_path / f"out{workers}"
        arguments = ("--workers", workers, "--shard-size", 2, "--tile-size", 28, "--dedupe")
        report = vtok("tile", folder, out, *arguments, "--json").report
        assert (report["written"], report["duplicates"]) == (3, 4)
        assert [each["written"] for each in commits(out)] == [2, 0, 1, 0]
        vtok("verify", out)


def test_identical_broken_files_all_fail(vtok: Any, repeated: Path, tmp_path: Path) -> None:
    for name in ("x.png", "y.png", "z.png"):
        (repeated / name).write_bytes((repeated / "a.png").read_bytes()[:200])
    report = vtok("tile", repeated, tmp_path / "out", *TILES, "--dedupe", "--json").report
    assert (report["written"], report["duplicates"], report["failed"]) == (6, 3, 3)
    vtok("verify", tmp_path / "out")


def test_a_reference_to_nothing_is_damage(vtok: Any, repeated: Path, tmp_path: Path) -> None:
    from vtok.shards.fields import encode_json

    out = tmp_path / "out"
    vtok("tile", repeated, out, *TILES, "--dedupe", "--quiet")
    path = out / "shard-000002.json"
    record = json.loads(path.read_text())
    record["references"][0]["of"] = "000000000099"
    path.write_bytes(encode_json(record) + b"\n")
    assert "'000000000099' is not written" in vtok("verify", out, code=3).stderr


def test_inspect_reports_identical_originals(
    vtok: Any, repeated: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    vtok("tile", repeated, out, *TILES, "--quiet")
    found = vtok("inspect", out, "--json").report["duplicates"]
    assert {name: found[name] for name in ("samples", "distinct")} == {"samples": 9, "distinct": 6}
    assert (found["within_shards"], found["across_shards"]) == (1, 2)
    assert [(each["samples"], each["keys"][0]["key"]) for each in found["groups"]] == [
        (3, "000000000000"),
        (2, "000000000001"),
    ]
    tars = out / "shard-{000000..000002}.tar"
    assert vtok("inspect", tars, "--json").report["duplicates"] == found
    assert "6 of 9 files" in vtok("inspect", out, "--duplicates").stdout
    once = tmp_path / "once"
    vtok("tile", repeated, once, *TILES, "--dedupe", "--quiet")
    assert vtok("inspect", once, "--json").report["duplicates"] == found  # by reference or not
    assert "--duplicates is for shards" in vtok("inspect", photos, "--duplicates", code=2).stderr


def test_dedupe_is_part_of_the_plan(vtok: Any, repeated: Path, tmp_path: Path) -> None:
    vtok("tile", repeated, tmp_path / "out", *TILES, "--quiet")
    outcome = vtok("tile", repeated, tmp_path / "out", *TILES, "--dedupe", code=3)
    assert "configuration.dedupe" in outcome.stderr
