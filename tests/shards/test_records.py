"""The records of a run: they round-trip, add up, and refuse whatever was changed in them."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shard_samples import MODEL, run_plan, write_run

from vtok.errors import ManifestError, PlanMismatchError, ShardError
from vtok.records import Failure
from vtok.shards.commit import CommitRecord, read_commit
from vtok.shards.fields import decode_json
from vtok.shards.manifest import Manifest, finish_run, read_manifest, roll_up
from vtok.shards.plan import RunPlan, begin_run, commit_name, read_plan, shard_name
from vtok.shards.strict import StrictObject

DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
COUNTS = st.dictionaries(NAMES, st.integers(1, 10**6), max_size=3)
FAILURES = st.lists(
    st.builds(
        Failure,
        key=NAMES,
        source=NAMES,
        stage=st.sampled_from(["read", "decode", "plan", "model", "write"]),
        reason=NAMES,
        message=NAMES,
    ),
    max_size=3,
).map(tuple)


@st.composite
def commits(draw: st.DrawFn) -> CommitRecord:
    written, duplicates = draw(st.integers(0, 10**7)), draw(st.integers(0, 99))
    failures = draw(FAILURES)
    counts = draw(st.none() | st.lists(st.integers(0, 2**40), min_size=1, max_size=9).map(tuple))
    return CommitRecord(
        shard=draw(st.integers(0, 999_999)),
        plan_sha256=draw(DIGESTS),
        sha256=draw(DIGESTS),
        num_bytes=draw(st.integers(0, 2**40)),
        planned=written + duplicates + len(failures),
        written=written,
        duplicates=duplicates,
        failures=failures,
        first_key=draw(NAMES) if written else None,
        last_key=draw(NAMES) if written else None,
        num_views=draw(st.integers(0, 10**9)),
        num_tokens=draw(st.integers(0, 10**9)) if counts is None else sum(counts),
        conversions=draw(COUNTS),
        codebook_counts=counts,
    )


def through_json(value: dict[str, Any]) -> StrictObject:
    return StrictObject(json.loads(json.dumps(value)), "x.json")


@given(commit=commits())
def test_commits_come_back(commit: CommitRecord) -> None:
    assert CommitRecord.read(through_json(commit.to_json())) == commit


@given(
    num_samples=st.integers(0, 10**6),
    shard_size=st.integers(1, 10**6),
    configuration=st.dictionaries(NAMES, st.none() | st.integers() | NAMES, max_size=3),
    versions=st.dictionaries(NAMES, NAMES, max_size=3),
    model=st.sampled_from([None, MODEL]),
)
def test_plans_come_back(
    num_samples: int, shard_size: int, configuration: Any, versions: Any, model: Any
) -> None:
    plan = run_plan(
        num_samples, shard_size, configuration=configuration, versions=versions, model=model
    )
    again = RunPlan.read(through_json(plan.to_json()))
    assert again == plan
    assert again.sha256 == plan.sha256
    assert plan.difference(again) == ()


def test_every_input_is_in_one_shard() -> None:
    plan = run_plan(10, 4)
    assert plan.num_shards == 3
    assert [list(plan.shard_range(shard)) for shard in range(3)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
    assert run_plan(0, 4).num_shards == 0
    with pytest.raises(ValueError, match="not one of"):
        plan.shard_range(3)
    with pytest.raises(ValueError, match="are not a plan"):
        run_plan(10**7, 1)


def test_only_what_bytes_depend_on_is_identity(tmp_path: Path) -> None:
    plan = run_plan()
    assert not begin_run(tmp_path, plan)
    assert begin_run(tmp_path, run_plan(about={"workers": "64"}))
    other = run_plan(versions={"torch": "2.14"}, configuration={"scheme": "navit", "max_tokens": 9})
    assert other.sha256 != plan.sha256
    with pytest.raises(PlanMismatchError) as caught:
        begin_run(tmp_path, other)
    for line in (
        "configuration.max_tokens: nothing → 9",
        'configuration.scheme: "closest" → "navit"',
        "configuration.tile_size: 336 → nothing",
        'versions.torch: "2.13" → "2.14"',
        "--overwrite",
    ):
        assert line in str(caught.value)
    assert read_plan(tmp_path) == plan


@pytest.mark.parametrize(
    "changes",
    [
        {"command": "tile"},
        {"inputs_sha256": "34" * 32},
        {"num_samples": 11},
        {"shard_size": 5},
        {"model": None},
        {"configuration": {}},
        {"versions": {}},
    ],
)
def test_each_field_of_the_identity_counts(changes: dict[str, Any]) -> None:
    other = run_plan(**changes)
    assert other.sha256 != run_plan().sha256
    assert run_plan().difference(other)


def test_a_run_adds_up(tmp_path: Path) -> None:
    plan = run_plan(10, 4)
    records = write_run(tmp_path, plan)
    manifest = finish_run(tmp_path, plan, records[::-1])
    assert read_manifest(tmp_path) == manifest
    assert Manifest.read(through_json(manifest.to_json())) == manifest
    assert (manifest.planned, manifest.written, manifest.failed) == (10, 9, 1)
    assert manifest.failures_by_reason == {"corrupt": 1}
    assert manifest.conversions == {"exif-orientation": 6}
    assert manifest.num_tokens == 9 * 12
    assert manifest.codebook_counts is not None
    assert sum(manifest.codebook_counts) == 9 * 12
    assert [entry.name for entry in manifest.shards] == [shard_name(shard) for shard in range(3)]
    assert manifest.num_bytes == sum(path.stat().st_size for path in tmp_path.glob("*.tar"))
    assert read_commit(tmp_path, 1) == records[1]
    assert read_commit(tmp_path, 7) is None


def test_a_run_that_is_not_whole_has_no_manifest(tmp_path: Path) -> None:
    plan = run_plan(10, 4)
    records = write_run(tmp_path, plan)
    for wrong in (records[:2], [*records[:2], records[1]], []):
        with pytest.raises(ManifestError, match="not one for each"):
            roll_up(plan, wrong)
    with pytest.raises(ManifestError, match="another plan"):
        roll_up(run_plan(10, 4, command="tile"), records)
    assert read_manifest(tmp_path) is None


def commit_of(**changes: Any) -> CommitRecord:
    fields: dict[str, Any] = {
        "shard": 0,
        "plan_sha256": "0" * 64,
        "sha256": "0" * 64,
        "num_bytes": 9,
        "planned": 2,
        "written": 2,
        "first_key": "a",
        "last_key": "b",
    }
    return CommitRecord(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"planned": 3}, "3 samples planned, but 2 written"),
        ({"duplicates": 1}, "accounted for"),
        ({"first_key": None}, "first and last key"),
        ({"last_key": None}, "first and last key"),
        ({"codebook_counts": (1, 2), "num_tokens": 4}, "codebook counts"),
    ],
)
def test_counts_that_do_not_add_up_are_refused(changes: dict[str, Any], problem: str) -> None:
    commit_of()
    with pytest.raises(ManifestError, match=problem):
        commit_of(**changes)


def set_to(field: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda record: record.update({field: value})


CHANGES = [
    (set_to("written", "9"), "field 'written' should be an integer, not a text"),
    (set_to("written", True), "should be an integer, not True"),
    (set_to("written", 2.0), "should be an integer"),
    (set_to("num_tokens", -1), r"'num_tokens' is -1, not in \[0"),
    (set_to("num_views", 2**70), "not in"),
    (set_to("plan_sha256", "AB" * 32), "not a sha256"),
    (set_to("version", 2), "format version 2, this vtok reads 1"),
    (set_to("format", "other"), "'other', not one of"),
    (set_to("conversions", {"a": 0}), "conversions.a"),
    (set_to("codebook_counts", [1, -1]), "codebook_counts"),
    (set_to("codebook_counts", "1 2"), "should be a list"),
    (set_to("failed", 7), "'failed' is 7"),
    (set_to("surprise", 1), "unknown field 'surprise'"),
    (lambda record: record.pop("duplicates"), "field 'duplicates' is missing"),
]


@pytest.mark.parametrize(("change", "problem"), CHANGES)
@pytest.mark.parametrize("name", [commit_name(2), "manifest.json"])
def test_a_changed_record_is_refused_by_file_and_field(
    tmp_path: Path, name: str, change: Callable[[dict[str, Any]], None], problem: str
) -> None:
    plan = run_plan(10, 4)
    finish_run(tmp_path, plan, write_run(tmp_path, plan))
    record = json.loads((tmp_path / name).read_bytes())
    change(record)
    (tmp_path / name).write_text(json.dumps(record))
    with pytest.raises(ManifestError, match=problem) as caught:
        _ = read_manifest(tmp_path) if name == "manifest.json" else read_commit(tmp_path, 2)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (set_to("shard_size", 5), "it was edited"),
        (set_to("shard_size", 0), "'shard_size' is 0"),
        (set_to("inputs", []), "inputs: expected an object"),
        (set_to("versions", {"torch": 2}), "versions.torch"),
        (set_to("model", {"name": "x"}), "model: field"),
        (set_to("surprise", 1), "unknown field"),
    ],
)
def test_a_changed_plan_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], problem: str
) -> None:
    begin_run(tmp_path, run_plan())
    path = tmp_path / "plan.json"
    record = json.loads(path.read_bytes())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(ManifestError, match=problem) as caught:
        read_plan(tmp_path)
    assert "plan.json" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b'{"a":1,"a":2}', b"[" * 10**5])
def test_a_record_that_is_not_json_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(data)
    with pytest.raises(ManifestError, match=r"manifest\.json"):
        read_manifest(tmp_path)


@given(at=st.integers(0, 10**4), bit=st.integers(0, 7))
def test_a_flipped_bit_never_ends_in_another_error(at: int, bit: int) -> None:
    data = bytearray(json.dumps(commit_of().to_json()).encode())
    data[at % len(data)] ^= 1 << bit
    with suppress(ManifestError, ShardError):
        CommitRecord.read(StrictObject(decode_json(bytes(data)), "x.json"))
