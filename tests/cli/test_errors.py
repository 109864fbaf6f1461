"""Whatever is wrong: one line on standard error, the right code, nothing half-written."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from vtok.io import files

QUICK = ("--workers", "0")


def check_one_line(outcome: Any, *fragments: str) -> None:
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("vtok: error: ")
    assert outcome.stderr.count("\n") == 1
    for fragment in fragments:
        assert fragment in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "fragments"),
    [
        (["tile", "{tmp}/nothing", "{out}"], 3, ["{tmp}/nothing"]),
        (["tile", "{empty}", "{out}"], 3, ["no images", "{empty}", ".txt"]),
        (["tile", "{empty}/notes.txt.mp4", "{out}"], 3, ["notes.txt.mp4"]),
        (["tile", "{photos}", "{photos}"], 2, ["input", "output"]),
        (["tile", "{photos}", "{photos}/a.png"], 3, ["is a file"]),
        (["tile", "{photos}", "nosuch://bucket/out"], 3, ["nosuch"]),
        (["decode-vq", "{photos}", "s3://bucket/out"], 2, ["URL"]),
        (["tile", "{photos}", "{out}", "--scheme", "closset"], 2, ["closset", "closest"]),
        (["tile", "{photos}", "{out}", "--tile-size", "0"], 2, ["--tile-size"]),
        (["tile", "{photos}", "{out}", "--tile-size", "337"], 2, ["337", "14"]),
        (["tile", "{photos}", "{out}", "--scheme", "native", "--max-tiles", "3"], 2, ["--max-t"]),
        (["tile", "{photos}", "{out}", "--quality", "80"], 2, ["--quality", "png"]),
        (["tile", "{photos}", "{out}", "--format", "gif"], 2, ["--format", "gif"]),
        (["tile", "{photos}", "{out}", "--shard-size", "0"], 2, ["--shard-size"]),
        (["tile", "{photos}", "{out}", "--max-failure-rate", "7"], 2, ["--max-failure-rate"]),
        (["tile", "{photos}", "{out}", "--quiet", "--verbose"], 2, ["--quiet"]),
        (["tile", "{photos}", "{out}", "--scheme", ""], 2, ["no scheme is called ''"]),
        (["verify", "{photos}", "--decode", "1", "--min-psnr", "nan"], 2, ["--min-psnr"]),
        (["decode-vq", "{empty}", "{out}", "--nonsense"], 2, ["--nonsense", "decode-vq --help"]),
        (["tile", "{photos}", "{out}", "--nonsense"], 2, ["--nonsense", "vtok tile --help"]),
        (["tile", "{photos}"], 2, ["OUTPUT"]),
        (["encode-vq", "{photos}", "{out}", "--model", "vtok-bass"], 2, ["vtok-bass", "vtok-base"]),
        (["encode-vq", "{photos}", "{out}", "--model", "{empty}"], 4, ["model.safetensors"]),
        (["encode-vq", "{photos}", "{out}", "--model", "{model}", "--device", "tpu"], 2, ["tpu"]),
        (["encode-vq", "{photos}", "{out}", "--device", "cuda:99"], 5, ["cuda:99"]),
        (
            ["encode-vq", "{photos}", "{out}", "--model", "{model}", "--scheme", "closest",
             "--tile-size", "100"],
            2, ["--tile-size"],
        ),
        (["decode-vq", "{tmp}/nothing", "{out}"], 3, ["{tmp}/nothing"]),
        (["decode-vq", "{empty}", "{out}"], 3, ["{empty}"]),
    ],
)  # fmt: skip
def test_mistakes(
    vtok: Any,
    photos: Path,
    model: Path,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    fragments: list[str],
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt.mp4").write_bytes(b"x")
    (empty / "notes.txt").write_bytes(b"x")
    out = tmp_path / "out"
    names = {"tmp": tmp_path, "empty": empty, "out": out, "photos": photos, "model": model}
    before = sorted(photos.iterdir())
    outcome = vtok(*[each.format(**names) for each in arguments], code=code)
    check_one_line(outcome, *[each.format(**names) for each in fragments])
    assert not out.exists()
    assert sorted(photos.iterdir()) == before


def test_another_plan_is_refused_with_the_difference(
    vtok: Any, photos: Path, tmp_path: Path, digests: Any
) -> None:
    out = tmp_path / "out"
    vtok("tile", photos, out, *QUICK)
    before = digests(out)
    outcome = vtok("tile", photos, out, *QUICK, "--max-tiles", 4, code=3)
    check_one_line(outcome, "scheme.options.max_tiles: 6 → 4", "--overwrite")
    assert digests(out) == before
    vtok("tile", photos, out, *QUICK, "--max-tiles", 4, "--overwrite")
    assert digests(out) != before


def test_changed_input_is_refused(vtok: Any, photos_and_broken: Path, tmp_path: Path) -> None:
    vtok("tile", photos_and_broken, tmp_path / "out", *QUICK)
    (photos_and_broken / "a.png").touch()
    outcome = vtok("tile", photos_and_broken, tmp_path / "out", *QUICK, code=3)
    check_one_line(outcome, "inputs.sha256")


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_strangers_shards_are_not_touched(
    vtok: Any, photos: Path, tmp_path: Path, overwrite: list[str]
) -> None:
    stranger = tmp_path / "out" / "shard-000000.tar"
    stranger.parent.mkdir()
    stranger.write_bytes(b"a year's work")
    outcome = vtok("tile", photos, tmp_path / "out", *QUICK, *overwrite, code=3)
    check_one_line(outcome, str(stranger))
    assert stranger.read_bytes() == b"a year's work"


def test_disk_full_leaves_no_partial(
    vtok: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digests: Any
) -> None:
    real_write = files.HashingWriter.write

    def full_after_8_kb(self: Any, data: Any) -> int:
        if self.num_bytes + len(data) > 8192:
            with files._output_errors(self._path):
                raise OSError(28, os.strerror(28))
        return real_write(self, data)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(files.HashingWriter, "write", full_after_8_kb)
        check_one_line(
            vtok("tile", photos, out, *QUICK, code=3), "no space left", "shard-000000.tar"
        )
    names = sorted(path.name for path in out.iterdir())
    assert names == [".vtok.lock", "inputs.jsonl.gz", "plan.json"]
    vtok("tile", photos, out, *QUICK)
    vtok("tile", photos, tmp_path / "quiet", *QUICK)
    assert digests(out) == digests(tmp_path / "quiet")


@pytest.fixture
def indices(vtok: Any, photos: Path, model: Path, tmp_path: Path) -> Path:
    vtok("encode-vq", photos, tmp_path / "indices", "--model", model, *QUICK, "--shard-size", 4)
    return tmp_path / "indices"


def test_damaged_shard_is_found_before_an_image_is_written(
    vtok: Any, indices: Path, tmp_path: Path
) -> None:
    shard = indices / "shard-000001.tar"
    data = bytearray(shard.read_bytes())
    data[512 + 256] ^= 1
    shard.write_bytes(data)
    outcome = vtok("decode-vq", indices, tmp_path / "images", code=3)
    check_one_line(outcome, str(shard))
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize("written", ["files", "webdataset"])
def test_other_weights_are_refused_and_leave_nothing(
    vtok: Any, indices: Path, other_model: Path, tmp_path: Path, digests: Any, written: str
) -> None:
    out, refused = tmp_path / "images", ("--model", other_model)
    command = ("decode-vq", indices, out, "--output-format", written)
    check_one_line(vtok(*command, *refused, code=4), "weights")
    assert not out.exists()
    vtok(*command)
    before = digests(out)
    check_one_line(vtok(*command, *refused, "--overwrite", code=4), "weights")
    assert digests(out) == before


def test_model_that_is_gone_can_be_named(
    vtok: Any, photos: Path, model: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(model, moved)
    vtok("encode-vq", photos, tmp_path / "indices", "--model", moved, *QUICK)
    moved.rename(tmp_path / "elsewhere")
    outcome = vtok("decode-vq", tmp_path / "indices", tmp_path / "images", code=4)
    check_one_line(outcome, "--model")
    vtok("decode-vq", tmp_path / "indices", tmp_path / "images", "--model", tmp_path / "elsewhere")


def test_tiles_are_not_decoded(vtok: Any, photos: Path, tmp_path: Path) -> None:
    vtok("tile", photos, tmp_path / "tiles", *QUICK)
    outcome = vtok("decode-vq", tmp_path / "tiles", tmp_path / "images", code=3)
    check_one_line(outcome, "tiles")


def test_images_of_others_are_not_written_over(vtok: Any, indices: Path, tmp_path: Path) -> None:
    out = tmp_path / "images"
    (out / "deep").mkdir(parents=True)
    (out / "deep" / "d.png").write_bytes(b"mine")
    for overwrite in ([], ["--overwrite"]):
        check_one_line(vtok("decode-vq", indices, out, *overwrite, code=3), str(out / "deep/d.png"))
    assert (out / "deep" / "d.png").read_bytes() == b"mine"


def test_a_link_does_not_lead_out_of_the_output(vtok: Any, indices: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "deep").symlink_to(outside)
    check_one_line(vtok("decode-vq", indices, tmp_path / "images", code=3), "link")
    assert not list(outside.iterdir())
