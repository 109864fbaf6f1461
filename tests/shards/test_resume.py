"""What is trusted after an interruption, what is removed, and what an output folder opens as."""

import dataclasses
import json
from pathlib import Path

import pytest
from shard_samples import index_header, index_samples, run_plan, write_run, write_shard

from vtok.errors import InputError, ManifestError, ShardError, UsageError
from vtok.shards.manifest import finish_run
from vtok.shards.plan import RunPlan
from vtok.shards.resume import committed_shards, remove_leftovers
from vtok.shards.shardset import expand_braces, open_shards


def finished(folder: Path) -> RunPlan:
    plan = run_plan(10, 4)
    finish_run(folder, plan, write_run(folder, plan))
    return plan


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_quiet_run_is_trusted_whole(tmp_path: Path) -> None:
    plan = finished(tmp_path)
    before = files(tmp_path)
    for verify in (False, True):
        state = committed_shards(tmp_path, plan, verify=verify)
        assert sorted(state.committed) == [0, 1, 2]
        assert not state.distrusted
    assert remove_leftovers(tmp_path, state) == ()
    assert files(tmp_path) == before


def test_leftovers_of_a_kill_are_removed(tmp_path: Path) -> None:
    plan = finished(tmp_path)
    (tmp_path / "shard-000001.json").unlink()
    (tmp_path / ".shard-000001.tar.0123.partial").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "mine.tar").write_text("mine")
    state = committed_shards(tmp_path, plan)
    assert sorted(state.committed) == [0, 2]
    assert remove_leftovers(tmp_path, state) == ("shard-000001.tar",)
    assert files(tmp_path) == [
        "mine.tar",
        "notes.txt",
        "plan.json",
        "shard-000000.json",
        "shard-000000.tar",
        "shard-000002.json",
        "shard-000002.tar",
    ]


@pytest.mark.parametrize("damage", ["cut tar", "no tar", "cut record", "other plan", "other count"])
def test_a_commit_that_does_not_fit_is_not_trusted(tmp_path: Path, damage: str) -> None:
    plan = finished(tmp_path)
    tar, record = tmp_path / "shard-000001.tar", tmp_path / "shard-000001.json"
    if damage == "cut tar":
        tar.write_bytes(tar.read_bytes()[:-512])
    elif damage == "no tar":
        tar.unlink()
    elif damage == "cut record":
        record.write_bytes(record.read_bytes()[:-9])
    else:
        value = json.loads(record.read_bytes())
        if damage == "other plan":
            value["plan_sha256"] = "0" * 64
        else:
            value["planned"] += 1
            value["duplicates"] += 1
        record.write_text(json.dumps(value))
    state = committed_shards(tmp_path, plan)
    assert sorted(state.committed) == [0, 2]
    assert "shard-000001" in state.distrusted[1]
    with pytest.raises(ManifestError, match="shard-000001"):
        open_shards(tmp_path)
    remove_leftovers(tmp_path, state)
    assert not any("000001" in name or name == "manifest.json" for name in files(tmp_path))
    assert len(open_shards(tmp_path)) == 5


def test_a_flipped_bit_is_found_by_verifying(tmp_path: Path) -> None:
    plan = finished(tmp_path)
    tar = tmp_path / "shard-000000.tar"
    data = bytearray(tar.read_bytes())
    data[-1100] ^= 1  # padding: nobody reads it
    tar.write_bytes(data)
    assert 0 in committed_shards(tmp_path, plan).committed
    assert "sha256 differs" in committed_shards(tmp_path, plan, verify=True).distrusted[0]
    shards = open_shards(tmp_path)
    assert len(list(shards)) == 9
    with pytest.raises(ShardError, match=r"shard-000000\.tar: its sha256 is not that"):
        shards.verify()


@pytest.mark.parametrize("layout", ["sample", "block"])
def test_an_output_folder_opens_whole(tmp_path: Path, layout: str) -> None:
    plan = run_plan(10, 4)
    records = write_run(tmp_path, plan, layout=layout)  # type: ignore[arg-type]
    shards = open_shards(tmp_path)
    assert shards.manifest is None
    finish_run(tmp_path, plan, records)
    shards = open_shards(str(tmp_path))
    assert shards.plan == plan
    assert shards.commits == tuple(records)
    assert shards.manifest is not None
    assert len(shards) == 9
    assert [sample.key for sample in shards] == [f"{i:012d}" for i in range(9)]
    assert shards.header == index_header(layout, plan.sha256)  # type: ignore[arg-type]
    shards.verify()
    assert [sample.key for sample in shards.shards[1]] == [f"{i:012d}" for i in range(4, 8)]


def test_only_committed_shards_count(tmp_path: Path) -> None:
    write_run(tmp_path, run_plan(10, 4))
    (tmp_path / "shard-000000.json").unlink()
    assert [sample.key for sample in open_shards(tmp_path)] == [f"{i:012d}" for i in range(4, 9)]


def test_a_manifest_must_fit_its_commits(tmp_path: Path) -> None:
    finished(tmp_path)
    (tmp_path / "shard-000000.json").unlink()
    with pytest.raises(ManifestError, match=r"manifest\.json does not fit"):
        open_shards(tmp_path)


def test_a_shard_of_another_run_is_refused(tmp_path: Path) -> None:
    finished(tmp_path / "a")
    tar = tmp_path / "a" / "shard-000000.tar"
    alien = write_shard(tmp_path / "x.tar", index_header(), index_samples(4))
    record = json.loads((tmp_path / "a" / "shard-000000.json").read_bytes())
    (tmp_path / "x.tar").replace(tar)
    record.update(num_bytes=alien.num_bytes, sha256=alien.sha256)
    (tmp_path / "a" / "shard-000000.json").write_text(json.dumps(record))
    (tmp_path / "a" / "manifest.json").unlink()
    with pytest.raises(ShardError, match="another plan than its folder"):
        list(open_shards(tmp_path / "a"))


def test_tars_without_their_folder(tmp_path: Path) -> None:
    write_run(tmp_path / "run", run_plan(10, 4))
    names = [f"{i:012d}" for i in range(9)]
    for path in (
        f"{tmp_path}/run/shard-{{000000..000002}}.tar",
        [f"{tmp_path}/run/shard-{{000000,000001}}.tar", tmp_path / "run" / "shard-000002.tar"],
    ):
        shards = open_shards(path)
        assert [sample.key for sample in shards] == names
        assert len(shards) == 9
        assert shards.plan is None
    for record in (tmp_path / "run").glob("*.json"):
        record.unlink()
    assert [sample.key for sample in open_shards(tmp_path / "run")] == names


def test_shards_of_two_models_are_not_one_set(tmp_path: Path) -> None:
    header = index_header()
    assert header.model is not None
    other = dataclasses.replace(
        header, model=dataclasses.replace(header.model, weights_sha256="cd" * 32)
    )
    write_shard(tmp_path / "a.tar", header, index_samples(1))
    write_shard(tmp_path / "b.tar", other, index_samples(1))
    with pytest.raises(ShardError, match="another kind or model"):
        list(open_shards(tmp_path))


def test_what_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no shards"):
        open_shards(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        open_shards(tmp_path / "x-{0..1}.tar")
    with pytest.raises(InputError, match="no shard has been committed"):
        _ = open_shards([]).header


def test_braces() -> None:
    assert expand_braces("a-{08..11}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
    assert expand_braces("{a,b}/{0..1}") == ["a/0", "a/1", "b/0", "b/1"]
    assert expand_braces("plain{x}.tar") == ["plain{x}.tar"]
    for bad in ("{5..4}", "{0..9999999}", "{0..1999}{0..1999}"):
        with pytest.raises(UsageError, match="not a range"):
            expand_braces(bad)
