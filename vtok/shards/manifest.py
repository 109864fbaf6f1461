"""The manifest: all commits of a run in one file, written last. Where it is, the run is done.

In: the commit records of every shard. Out: `manifest.json`, and the record again, read strictly.
Knows nothing of tars.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vtok.errors import ManifestError
from vtok.io.places import Place
from vtok.quantities import counted
from vtok.shards.commit import CommitRecord
from vtok.shards.header import FORMAT_VERSION, check_version
from vtok.shards.plan import MANIFEST_NAME, RunPlan, shard_name
from vtok.shards.recordfile import read_record, write_record
from vtok.shards.strict import JsonObject, StrictObject


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry:
    """One line of the manifest: a tar, its digest, its length and its samples."""

    name: str
    sha256: str
    num_bytes: int
    written: int

    def to_json(self) -> JsonObject:
        """Return the fields in a JSON-ready dict."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "num_bytes": self.num_bytes,
            "written": self.written,
        }

    @classmethod
    def read(cls, record: StrictObject, shard: int) -> "ShardEntry":
        """Return the entry of a strict object, which must be that of this shard."""
        entry = cls(
            name=record.text("name", among=(shard_name(shard),)),
            sha256=record.digest("sha256"),
            num_bytes=record.integer("num_bytes"),
            written=record.integer("written"),
        )
        record.close()
        return entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The roll-up of a finished run. planned = written + duplicates + failed.

    Attributes:
        command: The command that was run.
        plan_sha256: Digest of its plan.
        planned: Samples of the plan.
        written: Samples in the shards.
        duplicates: Samples left out because an identical one is written.
        failures_by_reason: Reason → samples that could not be processed.
        num_views: Views in the shards.
        num_tokens: Indices or feature vectors in the shards.
        conversions: Kind of conversion → images that it was done to.
        codebook_counts: How often each index occurs, for indices.
        shards: Every tar, in order.
    """

    command: str
    plan_sha256: str
    planned: int
    written: int
    duplicates: int
    failures_by_reason: Mapping[str, int] = field(default_factory=dict)
    num_views: int = 0
    num_tokens: int = 0
    conversions: Mapping[str, int] = field(default_factory=dict)
    codebook_counts: tuple[int, ...] | None = None
    shards: tuple[ShardEntry, ...] = ()

    def __post_init__(self) -> None:
        if self.planned != self.written + self.duplicates + self.failed:
            raise ManifestError(
                f"manifest: {counted(self.planned, 'sample')} planned, but {self.written} written "
                f"+ {counted(self.duplicates, 'duplicate')} + {self.failed} failed are "
                "accounted for"
            )
        if self.written != sum(entry.written for entry in self.shards):
            raise ManifestError("manifest: field 'written' is not the sum over the shards")
        if self.codebook_counts is not None and sum(self.codebook_counts) != self.num_tokens:
            raise ManifestError("manifest: field 'codebook_counts' is not of its tokens")

    @property
    def failed(self) -> int:
        """Samples that could not be processed."""
        return sum(self.failures_by_reason.values())

    @property
    def num_bytes(self) -> int:
        """Length of all tars together."""
        return sum(entry.num_bytes for entry in self.shards)

    def to_json(self) -> JsonObject:
        """Return what `manifest.json` holds."""
        return {
            "format": "vtok-manifest",
            "version": FORMAT_VERSION,
            "command": self.command,
            "plan_sha256": self.plan_sha256,
            "planned": self.planned,
            "written": self.written,
            "duplicates": self.duplicates,
            "failed": self.failed,
            "failures_by_reason": dict(self.failures_by_reason),
            "num_views": self.num_views,
            "num_tokens": self.num_tokens,
            "conversions": dict(self.conversions),
            "codebook_counts": self.codebook_counts and list(self.codebook_counts),
            "shards": [entry.to_json() for entry in self.shards],
        }

    @classmethod
    def read(cls, record: StrictObject) -> "Manifest":
        """Return the manifest of a strict object.

        Raises:
            ManifestError: a field is missing, wrong, unknown or contradicts another.
        """
        record.text("format", among=("vtok-manifest",))
        check_version(record)
        failed = record.integer("failed")
        manifest = cls(
            command=record.text("command"),
            plan_sha256=record.digest("plan_sha256"),
            planned=record.integer("planned"),
            written=record.integer("written"),
            duplicates=record.integer("duplicates"),
            failures_by_reason=record.counts("failures_by_reason"),
            num_views=record.integer("num_views"),
            num_tokens=record.integer("num_tokens"),
            conversions=record.counts("conversions"),
            codebook_counts=record.optional_integers("codebook_counts"),
            shards=tuple(
                ShardEntry.read(item, shard) for shard, item in enumerate(record.children("shards"))
            ),
        )
        record.close()
        if manifest.failed != failed:
            raise record.fault(f"field 'failed' is {failed}, the reasons sum to {manifest.failed}")
        return manifest


def roll_up(plan: RunPlan, commits: Sequence[CommitRecord]) -> Manifest:
    """Return the manifest of a run's commits, in any order.

    Raises:
        ManifestError: a shard of the plan is missing or there twice, or is of another plan.
    """
    ordered = sorted(commits, key=lambda commit: commit.shard)
    if [commit.shard for commit in ordered] != list(range(plan.num_shards)):
        raise ManifestError(
            f"{counted(len(ordered), 'commit')}: not one for each of the plan's "
            f"{counted(plan.num_shards, 'shard')}"
        )
    reasons: Counter[str] = Counter()
    conversions: Counter[str] = Counter()
    for commit in ordered:
        commit.check_plan(plan)
        reasons.update(commit.failures_by_reason)
        conversions.update(commit.conversions)
    counts = [commit.codebook_counts for commit in ordered if commit.codebook_counts is not None]
    return Manifest(
        command=plan.command,
        plan_sha256=plan.sha256,
        planned=sum(commit.planned for commit in ordered),
        written=sum(commit.written for commit in ordered),
        duplicates=sum(commit.duplicates for commit in ordered),
        failures_by_reason=dict(reasons),
        num_views=sum(commit.num_views for commit in ordered),
        num_tokens=sum(commit.num_tokens for commit in ordered),
        conversions=dict(conversions),
        codebook_counts=(
            tuple(map(sum, zip(*counts, strict=True)))
            if counts and len(counts) == len(ordered)
            else None
        ),
        shards=tuple(
            ShardEntry(
                name=shard_name(commit.shard),
                sha256=commit.sha256,
                num_bytes=commit.num_bytes,
                written=commit.written,
            )
            for commit in ordered
        ),
    )


def finish_run(folder: Path, plan: RunPlan, commits: Sequence[CommitRecord]) -> Manifest:
    """Write and return the manifest of a run whose shards are all committed.

    Raises:
        ManifestError: as `roll_up` does.
        OutputError: the manifest cannot be written.
    """
    manifest = roll_up(plan, commits)
    write_record(folder / MANIFEST_NAME, manifest.to_json())
    return manifest


def read_manifest(folder: Place) -> Manifest | None:
    """Return the manifest of an output folder, None if its run is not finished.

    Raises:
        ManifestError: `manifest.json` is damaged.
    """
    record = read_record(folder / MANIFEST_NAME)
    return None if record is None else Manifest.read(record)
