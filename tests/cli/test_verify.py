"""`vtok verify`: what is whole passes, and every kind of damage is named and can be repaired."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vtok.codeshape import CodeShape
from vtok.records import Grid
from vtok.shards.commit import read_commit
from vtok.shards.fields import encode_json
from vtok.shards.layouts import BlockLayout, SampleLayout

QUICK = ("--workers", "0", "--tile-size", "28", "--shard-size", "3", "--quiet")
Digests = Callable[[Path], dict[str, str]]


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of tiles."""
    from typer.testing import CliRunner

    from vtok.cli.app import app

    folder = tmp_path_factory.mktemp("finished") / "out"
    result = CliRunner().invoke(app, ["tile", str(photos), str(folder), *QUICK])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "out"))


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_what_a_run_wrote_is_whole(vtok: Any, out: Path) -> None:
    report = vtok("verify", out, "--json").report
    manifest = json.loads((out / "manifest.json").read_text())
    assert (report["state"], report["finished"]) == ("whole", True)
    assert (report["planned"], report["samples"], report["failed"]) == (7, 7, 0)
    assert report["views"] == manifest["num_views"]
    assert report["bytes"] == sum(path.stat().st_size for path in out.glob("*.tar"))
    lines = vtok("verify", out).stdout.splitlines()
    assert lines[-1] == f"{out}: whole"
    assert [line.split()[:2] for line in lines[1:4]] == [
        [f"shard-00000{n}.tar", "whole"] for n in range(3)
    ]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "one bit of a tar": lambda out: flip(out / "shard-000001.tar", 2000),
    "the last byte of a tar": lambda out: flip(out / "shard-000001.tar", -1),
    "a cut tar": lambda out: (out / "shard-000001.tar").write_bytes(
        (out / "shard-000001.tar").read_bytes()[:-512]
    ),
    "a lost tar": lambda out: (out / "shard-000001.tar").unlink(),
    "a cut commit": lambda out: (out / "shard-000001.json").write_bytes(b'{"format"'),
    "another shard's commit": lambda out: shutil.copy(
        out / "shard-000000.json", out / "shard-000001.json"
    ),
    "another shard's tar": lambda out: shutil.copy(
        out / "shard-000000.tar", out / "shard-000001.tar"
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_repaired(
    vtok: Any, out: Path, photos: Path, digests: Digests, damage: str
) -> None:
    whole = digests(out)
    DAMAGES[damage](out)
    outcome = vtok("verify", out, code=3)
    assert re.search(r"^shard-000001\.tar +damaged", outcome.stdout, re.MULTILINE)
    assert outcome.stderr.startswith(f"vtok: error: {out} is damaged: shard-000001.tar: ")
    repaired = vtok("verify", out, "--repair", "--json", code=8).report
    assert set(repaired["removed"]) <= {"manifest.json", "shard-000001.json", "shard-000001.tar"}
    assert vtok("verify", out, "--json", code=8).report["state"] == "unfinished"
    kept = {name: (out / name).stat().st_ino for name in ("shard-000000.tar", "shard-000002.tar")}
    vtok("tile", photos, out, *QUICK)
    assert digests(out) == whole
    assert {name: (out / name).stat().st_ino for name in kept} == kept
    assert vtok("verify", out, "--json").report["state"] == "whole"


def test_a_commit_that_counts_wrongly_is_found(vtok: Any, out: Path) -> None:
    """Sealed with the right digest, so that only reading every sample can tell."""
    path = out / "shard-000002.json"
    record = json.loads(path.read_text())
    record["num_views"] += 1
    path.write_bytes(encode_json(record) + b"\n")
    report = vtok("verify", out, "--json", code=3).report
    assert report["shards"][2]["problems"] == [
        f"views: {record['num_views'] - 1}, its commit says {record['num_views']}"
    ]
    assert report["problems"] == ["manifest.json does not say what the commit records say"]


def test_a_wrong_manifest_alone_is_removed_alone(vtok: Any, out: Path, photos: Path) -> None:
    path = out / "manifest.json"
    before = path.read_bytes()
    record = json.loads(before)
    record["conversions"] = {"grey": 99}
    path.write_bytes(encode_json(record) + b"\n")
    assert vtok("verify", out, "--repair", "--json", code=8).report["removed"] == ["manifest.json"]
    vtok("tile", photos, out, *QUICK)
    assert path.read_bytes() == before


def test_leftovers_are_no_damage_and_go_with_a_repair(vtok: Any, out: Path) -> None:
    (out / ".shard-000001.tar.0123.partial").write_bytes(b"half")
    report = vtok("verify", out, "--json").report
    assert report["leftovers"] == [".shard-000001.tar.0123.partial"]
    vtok("verify", out, "--repair", code=8)
    assert not (out / ".shard-000001.tar.0123.partial").exists()
    vtok("verify", out)


def test_a_repair_waits_for_no_run(vtok: Any, out: Path) -> None:
    from vtok.io.files import folder_lock

    flip(out / "shard-000001.tar", 2000)
    with folder_lock(out):
        outcome = vtok("verify", out, "--repair", code=3)
    assert "in use by another run" in outcome.stderr
    assert (out / "shard-000001.tar").exists()


def test_a_damaged_plan_ends_it(vtok: Any, out: Path) -> None:
    (out / "plan.json").write_bytes((out / "plan.json").read_bytes()[:-20])
    assert "plan.json" in vtok("verify", out, "--repair", code=3).stderr
    assert (out / "shard-000000.tar").exists()


def test_tars_alone_are_read_through(vtok: Any, out: Path) -> None:
    pattern = out / "shard-{000000..000002}.tar"
    report = vtok("verify", pattern, "--json").report
    assert (report["samples"], report["planned"], report["state"]) == (7, None, "whole")
    vtok("verify", pattern, "--repair", code=2)
    tar = out / "shard-000001.tar"
    tar.write_bytes(tar.read_bytes()[:-1024])
    assert "truncated" in vtok("verify", pattern, code=3).stderr


def test_tiles_are_compared_with_a_new_cut(
    vtok: Any, out: Path, photos: Path, tmp_path: Path
) -> None:
    quality = vtok("verify", out, "--decode", 7, "--json").report["quality"]
    assert quality["compared"] == 7
    assert all(each["psnr_db"] is None for each in quality["images"])  # infinite: png keeps all
    moved = Path(shutil.copytree(photos, tmp_path / "moved"))
    shutil.copy(moved / "f.png", moved / "a.png")
    quality = vtok("verify", out, "--decode", 7, "--reference", moved, "--json").report["quality"]
    assert quality["not_compared"] == {"the original has changed since": 1}


def test_indices_are_decoded_and_compared(
    vtok: Any, photos: Path, model: Path, tmp_path: Path
) -> None:
    out, arguments = tmp_path / "out", ("--model", model, "--workers", 0, "--shard-size", 3)
    vtok("encode-vq", photos, out, *arguments, "--quiet")
    images = tmp_path / "images"
    expected = vtok("decode-vq", out, images, "--reference", photos, "--json").report["quality"]
    found = vtok("verify", out, "--decode", 99, "--min-psnr", 0, "--json").report["quality"]
    assert found["images"] == expected["images"]
    two = vtok("verify", out, "--decode", 2, "--min-psnr", 0, "--json").report["quality"]
    assert [each["key"] for each in two["images"]] == ["000000000001", "000000000005"]
    outcome = vtok("verify", out, "--decode", 2, "--min-psnr", 90, code=3)
    assert "less than --min-psnr 90" in outcome.stderr


def test_crops_are_compared_with_what_the_model_saw(
    vtok: Any, photos: Path, model: Path, tmp_path: Path
) -> None:
    out, arguments = tmp_path / "out", ("--model", model, "--workers", 0)
    vtok("encode-vq", photos, out, *arguments, "--size", 24, "--flip", "--quiet")
    images = tmp_path / "images"
    views = vtok("decode-vq", out, images, "--reference", photos, "--json").report["quality"]
    worst: dict[str, float] = {}
    for each in views["images"]:
        worst[each["key"]] = min(each["psnr_db"], worst.get(each["key"], 1e9))
    found = vtok("verify", out, "--decode", 99, "--min-psnr", 0, "--json").report["quality"]
    assert {each["key"]: each["psnr_db"] for each in found["images"]} == worst
    assert len(views["images"]) == 2 * len(worst) == 14


def test_features_have_no_decoder(vtok: Any, photos: Path, model: Path, tmp_path: Path) -> None:
    vtok("encode-continuous", photos, tmp_path, "--model", model, "--workers", 0, "--quiet")
    vtok("verify", tmp_path)
    assert "nothing decodes features" in vtok("verify", tmp_path, "--decode", 1, code=2).stderr


def test_many_processes_say_the_same(vtok: Any, out: Path) -> None:
    flip(out / "shard-000001.tar", 2000)
    alone = vtok("verify", out, "--workers", 1, "--json", code=3).report
    assert vtok("verify", out, "--workers", 2, "--json", code=3).report == alone


def test_a_folder_of_images_holds_no_shards(vtok: Any, photos: Path) -> None:
    assert "holds no shards" in vtok("verify", photos, code=3).stderr


@pytest.mark.parametrize("layout", [SampleLayout, BlockLayout])
def test_what_only_reading_can_tell(tmp_path: Path, layout: type) -> None:
    """A sample whose metadata contradicts its indices, in a tar that no record speaks of."""
    from vtok.pipelines.verifying.audit import AuditTask, audit_shard
    from vtok.shards.header import ModelRecord, ShardHeader
    from vtok.shards.samples import Sample
    from vtok.shards.writer import ShardWriter

    model = ModelRecord(name="m", family="f", weights_sha256="ab" * 32, codebook_size=9)
    name = "block" if layout is BlockLayout else "sample"
    header = ShardHeader(kind="indices", layout=name, plan_sha256="cd" * 32, model=model)
    path = tmp_path / "a.tar"
    with ShardWriter(path, header) as writer:
        for key, rows in (("k0", 2), ("k1", 3)):
            meta = {"token_grids": {"whole": {"rows": rows, "cols": 3}}}
            indices = {"whole": np.arange(6).reshape(2, 3)}
            writer.add(Sample(key=key, meta=meta, indices=indices))
    audit = audit_shard(AuditTask(path=path))
    assert audit.state == "damaged"
    assert audit.problems == (
        "sample 'k1': view whole has indices of shape (2, 3), its grid is (3, 3)",
    )


CELLS = CodeShape(kind="codebooks", num_codebooks=2)
SCALES = CodeShape(kind="scales", scales=(Grid(rows=1, cols=1), Grid(rows=2, cols=3)))


@pytest.mark.parametrize(
    ("codes", "sound", "other"),
    [
        (CodeShape(kind="deep-grid", depth=2), (2, 3, 2), (3, 2, 2)),
        (CELLS, (2, 6), (2, 7)),
        (SCALES, (7,), None),
    ],
)
def test_grids_are_held_against_the_models_shape(
    tmp_path: Path, codes: CodeShape, sound: tuple[int, ...], other: tuple[int, ...] | None
) -> None:
    from vtok.pipelines.verifying.audit import AuditTask, audit_shard
    from vtok.shards.header import ModelRecord, ShardHeader
    from vtok.shards.samples import Sample
    from vtok.shards.writer import ShardWriter

    model = ModelRecord(
        name="m", family="f", weights_sha256="ab" * 32, codebook_size=9, codes=codes
    )
    header = ShardHeader(kind="indices", plan_sha256="cd" * 32, model=model)
    path = tmp_path / "a.tar"
    grid: dict[str, object] = {"rows": 2, "cols": 3}
    with ShardWriter(path, header) as writer:
        meta = {"token_grids": {"whole": grid}}
        writer.add(Sample(key="k0", meta=meta, indices={"whole": np.zeros(sound, np.int64)}))
        bad = grid if other else {"rows": "2", "cols": 3}
        meta = {"token_grids": {"whole": bad}}
        indices = {"whole": np.zeros(other or sound, np.int64)}
        writer.add(Sample(key="k1", meta=meta, indices=indices))
    audit = audit_shard(AuditTask(path=path))
    assert [each.partition(":")[0] for each in audit.problems] == ["sample 'k1'"]
    assert "its grid is" in audit.problems[0]


def test_the_counts_are_those_of_the_commit(out: Path) -> None:
    from vtok.pipelines.verifying.audit import AuditTask, audit_shard

    commit = read_commit(out, 1)
    assert commit is not None
    audit = audit_shard(AuditTask(path=out / "shard-000001.tar", commit=commit))
    assert (audit.num_samples, audit.num_views) == (commit.written, commit.num_views)
