"""What was planned is written or a failure with a reason; and what failed comes again."""

import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vtok as library

QUICK = ("--workers", "0", "--tile-size", "28", "--shard-size", "2")
Digests = Callable[[Path], dict[str, str]]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_failures_are_listed_as_the_commits_have_them(
    vtok: Any, photos_and_broken: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = vtok("tile", photos_and_broken, out, *QUICK)
    assert "failed: not-an-image 2, corrupt 1" in outcome.stdout
    listed = lines(out / "failures.jsonl")
    assert [(each["source"], each["stage"], each["reason"]) for each in listed] == [
        ("cut.png", "decode", "corrupt"),
        ("empty.png", "decode", "not-an-image"),
        ("text.jpg", "decode", "not-an-image"),
    ]
    for each in listed:
        commit = json.loads((out / f"shard-{each.pop('shard'):06d}.json").read_text())
        assert each in commit["failures"]
    for path in out.glob("shard-*.json"):
        commit = json.loads(path.read_text())
        assert commit["planned"] == commit["written"] + commit["duplicates"] + commit["failed"]
    assert vtok("verify", out, "--json").report["failed"] == 3


def test_a_list_of_failures_that_lies_is_damage(
    vtok: Any, photos_and_broken: Path, tmp_path: Path, digests: Digests
) -> None:
    out = tmp_path / "out"
    vtok("tile", photos_and_broken, out, *QUICK)
    whole = digests(out)
    for name in ("failures.jsonl", "inputs.jsonl.gz"):
        (out / name).write_bytes(b"")
        assert name in vtok("verify", out, code=3).stderr
        report = vtok("verify", out, "--repair", "--json", code=8).report
        assert report["removed"] == ["manifest.json", name]
        vtok("tile", photos_and_broken, out, *QUICK)
        assert digests(out) == whole


def test_what_failed_for_a_moment_is_made_again(
    vtok: Any, photos: Path, tmp_path: Path, digests: Digests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be opened in the first call, and can in the second."""
    from vtok.errors import UnreadableImageError
    from vtok.io.sources.folders import FileItem

    out, arguments = tmp_path / "out", ("tile", photos, tmp_path / "out", *QUICK)
    real_read = FileItem.read

    def read(self: Any, **rest: Any) -> bytes:
        if self.source == "c.webp":
            raise UnreadableImageError("stale file handle")
        return real_read(self, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(FileItem, "read", read)
        vtok(*arguments, "--quiet")
    assert [each["reason"] for each in lines(out / "failures.jsonl")] == ["unreadable"]
    assert vtok(*arguments, "--json").report["failed"] == 1  # a plain run does not come back to it
    kept = (out / "shard-000000.tar").stat().st_ino
    report = vtok(*arguments, "--retry-failed", "--json").report
    assert (report["failed"], report["images"], report["resumed_shards"]) == (0, 2, 3)
    assert (out / "shard-000000.tar").stat().st_ino == kept
    assert (out / "failures.jsonl").read_bytes() == b""
    vtok("tile", photos, tmp_path / "quiet", *QUICK, "--quiet")
    assert digests(out) == digests(tmp_path / "quiet")


def test_failures_of_a_run_that_was_ended_are_listed(
    vtok: Any, photos_and_broken: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    vtok("tile", photos_and_broken, out, *QUICK, "--on-error", "fail", code=6)
    (only,) = lines(out / "failures.jsonl")
    assert (only["source"], only["shard"]) == ("cut.png", None)


def test_a_rate_that_was_asked_for_holds_at_the_end(
    vtok: Any, photos_and_broken: Path, tmp_path: Path
) -> None:
    out, arguments = tmp_path / "out", ("--max-failure-rate", 0.2, "--json")
    for _ in range(2):
        outcome = vtok("tile", photos_and_broken, out, *QUICK, *arguments, code=7)
        assert "3 of 7 images failed, more than --max-failure-rate 0.2" in outcome.stderr
        assert outcome.report["too_many_failures"] in outcome.stderr
    assert (out / "manifest.json").exists()
    vtok("tile", photos_and_broken, out, *QUICK, "--max-failure-rate", 0.5)
    vtok("verify", out)


def test_the_record_of_inputs_is_the_plans(vtok: Any, photos: Path, tmp_path: Path) -> None:
    vtok("tile", photos, tmp_path, *QUICK, "--quiet")
    data = gzip.decompress((tmp_path / "inputs.jsonl.gz").read_bytes())
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert hashlib.sha256(data).hexdigest() == plan["inputs"]["sha256"]
    sizes = {json.loads(line)[0]: json.loads(line)[1] for line in data.splitlines()}
    assert sizes == {
        str(path.relative_to(photos)): path.stat().st_size
        for path in photos.rglob("*")
        if path.is_file() and path.suffix not in {".txt", ".json"}
    }


def later(path: Path) -> None:
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 10**9))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "longer": (
        lambda folder: (folder / "a.png").write_bytes((folder / "a.png").read_bytes() + b"x"),
        "1 changed (a.png: {a} → {a1} bytes)",
    ),
    "younger": (lambda folder: later(folder / "f.png"), "1 changed (f.png: modified "),
    "a caption": (
        lambda folder: (folder / "a.txt").write_text("another"),
        "1 changed (a.png: what goes with it)",
    ),
    "new and gone": (
        lambda folder: (folder / "f.png").rename(folder / "g.png"),
        "1 new (g.png); 1 gone (f.png)",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_inputs_that_changed_are_named(
    vtok: Any, photos: Path, tmp_path: Path, digests: Digests, change: str
) -> None:
    folder, out = Path(shutil.copytree(photos, tmp_path / "in")), tmp_path / "out"
    vtok("tile", folder, out, *QUICK, "--quiet")
    before = digests(out)
    num_bytes = (folder / "a.png").stat().st_size
    action, said = CHANGES[change]
    action(folder)
    outcome = vtok("tile", folder, out, *QUICK, code=3)
    assert outcome.stderr.count("\n") == 1
    assert said.format(a=num_bytes, a1=num_bytes + 1) in outcome.stderr
    assert digests(out) == before


def test_limits_are_obeyed_and_part_of_the_plan(vtok: Any, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = vtok("tile", photos, out, *QUICK, "--max-image-pixels", 2000, "--json").report
    assert report["failures_by_reason"] == {"too-large": 4}  # 1,683 of WebP weigh more than 2,000
    assert "limits.max_image_pixels" in vtok("tile", photos, out, *QUICK, code=3).stderr
    more = ("--max-image-pixels", 2000, "--decode-timeout", 60, "--decode-memory", 3 << 30)
    assert vtok("tile", photos, out, *QUICK, *more, "--json").report["images"] == 0
    for flag, value in (("--max-image-side", 50), ("--max-aspect", 2), ("--max-file-bytes", 900)):
        report = vtok("tile", photos, tmp_path / flag, *QUICK, flag, value, "--json").report
        assert report["failures_by_reason"].keys() == {"too-large"}, flag
    assert "--decode-memory" in vtok("tile", photos, out, "--decode-memory", 1, code=2).stderr


def test_a_format_that_is_allowed_is_read(vtok: Any, photos: Path, tmp_path: Path) -> None:
    from PIL import Image

    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(photos / "a.png", folder)
    with Image.open(photos / "a.png") as image:
        image.save(folder / "b.ppm")
    assert vtok("tile", folder, tmp_path / "one", *QUICK, "--json").report["planned"] == 1
    allowed = ("--allow-format", "ppm")
    report = vtok("tile", folder, tmp_path / "two", *QUICK, *allowed, "--json").report
    assert (report["planned"], report["written"]) == (2, 2)
    first, second = library.open_shards(tmp_path / "two")
    assert {name: image.data for name, image in first.images.items()} == {
        name: image.data for name, image in second.images.items()
    }
    outcome = vtok("tile", folder, tmp_path / "x", "--allow-format", "webpp", code=2)
    assert "did you mean WEBP?" in outcome.stderr
