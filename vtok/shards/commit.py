"""The commit record of a shard: written after the tar is in place, it says that all is there.

In: what became of every sample that was planned. Out: `shard-000000.json`, and the record again,
read strictly. A shard without one does not count. Knows nothing of tars.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args

from vtok.errors import ManifestError
from vtok.io.places import Place
from vtok.quantities import counted
from vtok.records import Failure, Stage
from vtok.shards.header import FORMAT_VERSION, check_version
from vtok.shards.plan import RunPlan, commit_name, shard_name
from vtok.shards.recordfile import read_record, write_record
from vtok.shards.references import Reference
from vtok.shards.strict import JsonObject, StrictObject
from vtok.shards.writer import WrittenShard


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRecord:
    """What one shard holds and what it does not, and why. planned = written + duplicates + failed.

    Attributes:
        shard: The shard's position in the plan.
        plan_sha256: Digest of the plan that it belongs to.
        sha256: Digest of the tar.
        num_bytes: Length of the tar.
        planned: Samples that the plan gave to this shard.
        written: Samples in the tar.
        duplicates: Samples left out because an identical one is written.
        failures: Samples that could not be processed, in order.
        references: What is kept of the duplicates, in order.
        first_key: Key of the first sample in the tar, None if it has none.
        last_key: Key of the last one.
        num_views: Views in the tar.
        num_tokens: Indices or feature vectors in the tar.
        conversions: Kind of conversion → images that it was done to.
        codebook_counts: How often each index occurs, for indices.
    """

    shard: int
    plan_sha256: str
    sha256: str
    num_bytes: int
    planned: int
    written: int
    duplicates: int = 0
    failures: tuple[Failure, ...] = ()
    references: tuple[Reference, ...] = ()
    first_key: str | None = None
    last_key: str | None = None
    num_views: int = 0
    num_tokens: int = 0
    conversions: Mapping[str, int] = field(default_factory=dict)
    codebook_counts: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.planned != self.written + self.duplicates + self.failed:
            raise ManifestError(
                f"shard {self.shard}: {counted(self.planned, 'sample')} planned, but "
                f"{self.written} written + {counted(self.duplicates, 'duplicate')} + "
                f"{self.failed} failed are accounted for"
            )
        if self.references and len(self.references) != self.duplicates:
            raise ManifestError(
                f"shard {self.shard}: {counted(self.duplicates, 'duplicate')}, but "
                f"{counted(len(self.references), 'reference')}"
            )
        if (self.written == 0) != (self.first_key is None) or (
            (self.first_key is None) != (self.last_key is None)
        ):
            raise ManifestError(
                f"shard {self.shard}: its first and last key are not of its samples"
            )
        if self.codebook_counts is not None and sum(self.codebook_counts) != self.num_tokens:
            raise ManifestError(f"shard {self.shard}: the codebook counts are not of its tokens")

    @property
    def failed(self) -> int:
        """Samples that could not be processed."""
        return len(self.failures)

    @property
    def failures_by_reason(self) -> dict[str, int]:
        """Reason → number of failures."""
        return dict(Counter(failure.reason for failure in self.failures))

    def to_json(self) -> JsonObject:
        """Return what the file holds."""
        return {
            "format": "vtok-commit",
            "version": FORMAT_VERSION,
            "shard": self.shard,
            "name": shard_name(self.shard),
            "plan_sha256": self.plan_sha256,
            "sha256": self.sha256,
            "num_bytes": self.num_bytes,
            "planned": self.planned,
            "written": self.written,
            "duplicates": self.duplicates,
            "failed": self.failed,
            "failures": [failure.to_json() for failure in self.failures],
            "first_key": self.first_key,
            "last_key": self.last_key,
            "num_views": self.num_views,
            "num_tokens": self.num_tokens,
            "conversions": dict(self.conversions),
            "codebook_counts": self.codebook_counts and list(self.codebook_counts),
            **(
                {"references": [each.to_json() for each in self.references]}
                if self.references
                else {}
            ),
        }

    @classmethod
    def read(cls, record: StrictObject) -> "CommitRecord":
        """Return the commit of a strict object.

        Raises:
            ManifestError: a field is missing, wrong, unknown or contradicts another.
        """
        record.text("format", among=("vtok-commit",))
        check_version(record)
        shard = record.integer("shard", maximum=10**6 - 1)
        record.text("name", among=(shard_name(shard),))
        failed = record.integer("failed")
        commit = cls(
            shard=shard,
            plan_sha256=record.digest("plan_sha256"),
            sha256=record.digest("sha256"),
            num_bytes=record.integer("num_bytes"),
            planned=record.integer("planned"),
            written=record.integer("written"),
            duplicates=record.integer("duplicates"),
            failures=tuple(_read_failure(item) for item in record.children("failures")),
            references=tuple(map(Reference.read, record.optional_children("references"))),
            first_key=record.optional_text("first_key"),
            last_key=record.optional_text("last_key"),
            num_views=record.integer("num_views"),
            num_tokens=record.integer("num_tokens"),
            conversions=record.counts("conversions"),
            codebook_counts=record.optional_integers("codebook_counts"),
        )
        record.close()
        if commit.failed != failed:
            raise record.fault(f"field 'failed' is {failed}, but {commit.failed} are listed")
        return commit

    def check_plan(self, plan: RunPlan) -> None:
        """Require the record to be of this plan.

        Raises:
            ManifestError: another plan's digest, or other samples than the plan gives the shard.
        """
        name = commit_name(self.shard)
        if self.plan_sha256 != plan.sha256:
            raise ManifestError(f"{name}: belongs to another plan")
        if self.shard >= plan.num_shards:
            raise ManifestError(f"{name}: the plan has only {counted(plan.num_shards, 'shard')}")
        if self.planned != len(plan.shard_range(self.shard)):
            raise ManifestError(f"{name}: field 'planned' is {self.planned}, the plan says other")
        size = plan.model.codebook_size if plan.model else None
        if self.codebook_counts is not None and len(self.codebook_counts) != size:
            raise ManifestError(f"{name}: field 'codebook_counts' is not of the plan's codebook")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a shard's writing counted beside the tar; all of it is in `CommitRecord`."""

    references: tuple[Reference, ...] = ()
    failures: tuple[Failure, ...] = ()
    num_views: int = 0
    num_tokens: int = 0
    conversions: Mapping[str, int] = field(default_factory=dict)
    codebook_counts: tuple[int, ...] | None = None


def commit_shard(
    folder: Path, plan: RunPlan, shard: int, written: WrittenShard, tally: Tally
) -> CommitRecord:
    """Write and return the commit record of a tar that is in place.

    Raises:
        ManifestError: the counts do not add up to what the plan gives the shard.
        OutputError: the record cannot be written.
    """
    commit = CommitRecord(
        shard=shard,
        plan_sha256=plan.sha256,
        sha256=written.sha256,
        num_bytes=written.num_bytes,
        planned=len(plan.shard_range(shard)),
        written=written.num_samples,
        duplicates=len(tally.references),
        failures=tally.failures,
        references=tally.references,
        first_key=written.first_key,
        last_key=written.last_key,
        num_views=tally.num_views,
        num_tokens=tally.num_tokens,
        conversions=tally.conversions,
        codebook_counts=tally.codebook_counts,
    )
    commit.check_plan(plan)
    write_record(folder / commit_name(shard), commit.to_json())
    return commit


def read_commit(folder: Place, shard: int) -> CommitRecord | None:
    """Return the commit record of a shard, None if there is none.

    Raises:
        ManifestError: it is damaged, or of another shard.
    """
    path = folder / commit_name(shard)
    record = read_record(path)
    if record is None:
        return None
    commit = CommitRecord.read(record)
    if commit.shard != shard:
        raise ManifestError(f"{path}: field 'shard' is {commit.shard}: the file was renamed")
    return commit


def _read_failure(record: StrictObject) -> Failure:
    failure = Failure(
        key=record.text("key"),
        source=record.text("source"),
        stage=cast(Stage, record.text("stage", among=get_args(Stage))),
        reason=record.text("reason"),
        message=record.text("message"),
    )
    record.close()
    return failure
