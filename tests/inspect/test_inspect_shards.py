import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vtok.errors import ShardError, UsageError
from vtok.pipelines.inspect import kind_of
from vtok.pipelines.inspecting.shards import inspect_shards
from vtok.pipelines.inspecting.shards_text import shards_text


def test_text_is_as_it_was(build_run, check_golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(build_run().parent)
    check_golden("inspect_shards.txt", shards_text(inspect_shards("out"), width=80).plain)
    build_run("part", num_done=2)
    check_golden("inspect_unfinished.txt", shards_text(inspect_shards("part"), width=80).plain)
    tar = "out/shard-000000.tar"
    check_golden("inspect_tar.txt", shards_text(inspect_shards(tar), width=80).plain)


def test_long_names_keep_their_distance_from_their_numbers(build_run) -> None:
    facts = inspect_shards(str(build_run()))
    tally = replace(facts.tally, conversions={"alpha-ffffff": 12, "a-very-long-conversion": 3})
    text = shards_text(replace(facts, tally=tally), width=80).plain
    assert "  alpha-ffffff            12\n  a-very-long-conversion  3\n" in text


@pytest.mark.parametrize("layout", ["sample", "block"])
def test_counts_and_codebook(build_run, layout: str) -> None:
    facts = inspect_shards(str(build_run(layout=layout)))
    tally = facts.tally
    assert (tally.planned, tally.written, tally.failed) == (7, 6, 1)
    assert tally.planned == tally.written + tally.duplicates + tally.failed
    assert (tally.num_views, tally.num_tokens) == (6, 6 * 54)
    assert facts.bits_per_pixel == 54 * 10 / (48 * 72)
    (indices,) = [each for each in facts.fields if each.shapes]
    assert (indices.name, indices.dtype, indices.shapes) == (
        "whole.indices.npy", "uint16", ((6, 9),),
    )  # fmt: skip
    counts = np.array(tally.codebook_counts)
    shares = counts[counts > 0] / counts.sum()
    assert facts.codebook_use is not None
    assert facts.codebook_use.entropy_bits == pytest.approx(-(shares * np.log2(shares)).sum())
    assert facts.health.state == "finished"


def test_tars_alone_are_counted(build_run) -> None:
    folder = build_run()
    whole = inspect_shards(str(folder))
    ranged = inspect_shards(str(folder / "shard-{000000..000002}.tar"))
    for name in ("plan.json", "manifest.json"):
        (folder / name).unlink()
    alone = inspect_shards(str(folder))
    for facts in (ranged, alone):
        assert facts.health.state == "no record"
        assert facts.tally.codebook_counts == whole.tally.codebook_counts
        assert facts.tally.num_tokens == whole.tally.num_tokens
        assert facts.tally.num_bytes == whole.tally.num_bytes
        assert facts.tally.conversions == whole.tally.conversions


def test_unfinished_runs_say_what_remains(build_run) -> None:
    folder = build_run(num_done=2)
    facts = inspect_shards(str(folder))
    assert facts.health.state == "unfinished"
    assert facts.to_json()["health"]["shards_remaining"] == 1
    facts.raise_if_damaged()
    (folder / "shard-000002.tar").write_bytes(b"begun")
    (folder / ".shard-000002.tar.0123.partial").write_bytes(b"begun")
    assert inspect_shards(str(folder)).health.leftovers == (
        ".shard-000002.tar.0123.partial", "shard-000002.tar",
    )  # fmt: skip


def test_a_run_without_any_shard_is_unfinished(build_run) -> None:
    facts = inspect_shards(str(build_run(num_done=0)))
    assert facts.health.state == "unfinished"
    assert "3 shards remain" in shards_text(facts, width=80).plain


def damage(folder: Path, how: str) -> str:
    """Damage a finished run; return a word that the report must have."""
    tar = folder / "shard-000001.tar"
    if how == "cut":
        tar.write_bytes(tar.read_bytes()[:-512])
    elif how == "gone":
        tar.unlink()
    elif how == "record":
        (folder / "shard-000001.json").write_text("{")
        return "shard-000001.json"
    elif how == "no record":
        (folder / "shard-000001.json").unlink()
        return "no commit record"
    elif how == "manifest":
        (folder / "manifest.json").write_text("{}")
        return "manifest.json"
    elif how == "other manifest":
        path = folder / "manifest.json"
        path.write_text(path.read_text().replace('"grey":6', '"grey":5'))
        return "manifest.json"
    elif how == "first tar":
        tar = folder / "shard-000000.tar"
        data = bytearray(tar.read_bytes())
        data[700] ^= 0xFF
        tar.write_bytes(data)
    return tar.name


@pytest.mark.parametrize(
    "how", ["cut", "gone", "record", "no record", "manifest", "other manifest", "first tar"]
)
def test_damage_is_found_and_named(build_run, how: str) -> None:
    folder = build_run()
    word = damage(folder, how)
    facts = inspect_shards(str(folder))
    assert facts.health.state == "damaged"
    assert any(word in line for line in facts.health.damaged)
    assert word in shards_text(facts, width=None).plain
    with pytest.raises(ShardError, match="is damaged"):
        facts.raise_if_damaged()


def test_changed_bytes_are_found_by_hashing(build_run) -> None:
    folder = build_run()
    tar = folder / "shard-000002.tar"
    data = bytearray(tar.read_bytes())
    data[-1500] ^= 1
    tar.write_bytes(data)
    assert inspect_shards(str(folder)).health.state == "finished"
    checked = inspect_shards(str(folder), verify=True)
    assert checked.health.state == "damaged"
    assert "shard-000002.tar" in checked.health.damaged[0]


def test_a_damaged_tar_alone_is_damaged(build_run) -> None:
    tar = build_run() / "shard-000000.tar"
    tar.write_bytes(tar.read_bytes()[:-1024])
    facts = inspect_shards(str(tar))
    assert facts.health.state == "damaged"


def test_json_has_the_facts(build_run) -> None:
    answer = json.loads(json.dumps(inspect_shards(str(build_run())).to_json()))
    assert answer["kind"] == "shards"
    assert answer["counts"]["tokens"] == 324
    assert answer["codebook"]["size"] == 1024
    assert answer["failures_by_reason"] == {"corrupt": 1}
    assert answer["provenance"]["model"]["weights_sha256"] == "ab" * 32
    assert answer["provenance"]["command"] == "encode-vq"


def test_paths_are_told_apart(build_run, images: Path) -> None:
    folder = build_run()
    assert kind_of([str(folder)]) == "shards"
    assert kind_of([str(folder / "shard-000000.tar")]) == "shards"
    assert kind_of([str(folder / "shard-{000000..000002}.tar")]) == "shards"
    assert kind_of([str(images), str(images / "a-landscape.jpg")]) == "images"
    assert kind_of(["nowhere.tar"]) == "images"
    with pytest.raises(UsageError, match="images and shards"):
        kind_of([str(folder), str(images)])
    with pytest.raises(UsageError, match="at once"):
        kind_of([str(folder), str(folder)])
