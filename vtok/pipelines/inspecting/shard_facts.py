"""All that is known of a place with shards, as records; and the same as JSON.

Knows nothing of how the facts are found or shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vtok.errors import ShardError
from vtok.pipelines.inspecting.identical_samples import IdenticalSamples
from vtok.pipelines.inspecting.shard_fields import FieldFacts
from vtok.shards.header import ShardHeader
from vtok.shards.plan import RunPlan
from vtok.shards.samples import Sample
from vtok.shards.usage import CodebookUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether what is there can be used.

    Attributes:
        num_planned: Shards of the plan; None of tars alone, which have none.
        num_committed: Shards that are whole.
        damaged: One line for everything that is not as it was written: what, and what to do.
        leftovers: Files that an interrupted run left; the next run removes them.
        has_manifest: Whether the run was finished.
        verified: Whether every tar was hashed again.
    """

    num_planned: int | None
    num_committed: int
    damaged: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    has_manifest: bool = False
    verified: bool = False

    @property
    def state(self) -> str:
        """`damaged`, `unfinished`, `finished`, or `no record` of tars alone."""
        if self.damaged:
            return "damaged"
        if self.num_planned is None:
            return "no record"
        return "finished" if self.has_manifest else "unfinished"

    def to_json(self) -> dict[str, Any]:
        """Return the facts in a JSON-ready dict."""
        return {
            "state": self.state,
            "shards_planned": self.num_planned,
            "shards_committed": self.num_committed,
            "shards_remaining": (
                None if self.num_planned is None else self.num_planned - self.num_committed
            ),
            "damaged": list(self.damaged),
            "leftovers": list(self.leftovers),
            "manifest": self.has_manifest,
            "verified": self.verified,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was counted. planned = written + duplicates + failed, of the shards that are there."""

    planned: int = 0
    written: int = 0
    duplicates: int = 0
    num_views: int = 0
    num_tokens: int = 0
    num_bytes: int = 0
    failures_by_reason: Mapping[str, int] = field(default_factory=dict)
    conversions: Mapping[str, int] = field(default_factory=dict)
    codebook_counts: tuple[int, ...] | None = None

    @property
    def failed(self) -> int:
        """Samples that could not be processed."""
        return sum(self.failures_by_reason.values())

    @property
    def bytes_per_sample(self) -> float | None:
        """Length of the tars over their samples; None where there are none."""
        return self.num_bytes / self.written if self.written else None

    def to_json(self) -> dict[str, Any]:
        """Return the counts in a JSON-ready dict."""
        return {
            "planned": self.planned,
            "written": self.written,
            "duplicates": self.duplicates,
            "failed": self.failed,
            "views": self.num_views,
            "tokens": self.num_tokens,
            "bytes": self.num_bytes,
            "bytes_per_sample": _rounded(self.bytes_per_sample, 1),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardsFacts:
    """All that is known of a place with shards.

    Attributes:
        path: As it was given.
        header: What the first shard says of itself; None where no shard can be read.
        plan: The run's plan; None of tars alone.
        tally: Counts.
        health: Whether it can be used.
        fields: What a sample holds, by the first samples.
        first: The first sample, for a picture; None where there is none.
        bits_per_pixel: Bits of the indices over pixels of the originals, of the first samples.
        identical: Samples of identical original files, where they were looked for.
    """

    path: str
    header: ShardHeader | None
    plan: RunPlan | None
    tally: Tally
    health: Health
    fields: tuple[FieldFacts, ...] = ()
    first: Sample | None = None
    bits_per_pixel: float | None = None
    identical: IdenticalSamples | None = None

    @property
    def codebook_use(self) -> CodebookUse | None:
        """The use of the codebook, where indices were counted."""
        counts = self.tally.codebook_counts
        return None if counts is None else CodebookUse.of(counts)

    def raise_if_damaged(self) -> None:
        """Require everything to be as it was written.

        Raises:
            ShardError: it is not; the message has the first thing that is wrong.
        """
        damaged = self.health.damaged
        if damaged:
            more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
            raise ShardError(f"{self.path} is damaged: {damaged[0]}{more}")

    def to_json(self) -> dict[str, Any]:
        """Return the facts in a JSON-ready dict."""
        header, use = self.header, self.codebook_use
        model = header.model if header else None
        return {
            "kind": "shards",
            "path": self.path,
            "holds": header.kind if header else None,
            "layout": header.layout if header else None,
            "fields": [each.to_json() for each in self.fields],
            "counts": {
                **self.tally.to_json(),
                "bits_per_pixel": _rounded(self.bits_per_pixel, 6),
            },
            "codebook": None if use is None else _use_json(use, self.tally.codebook_counts or ()),
            "failures_by_reason": dict(self.tally.failures_by_reason),
            "conversions": dict(self.tally.conversions),
            "duplicates": None if self.identical is None else self.identical.to_json(),
            "health": self.health.to_json(),
            "provenance": {
                "command": self.plan.command if self.plan else None,
                "model": model.to_json() if model else None,
                "scheme": header.scheme if header else None,
                "versions": self.plan.versions if self.plan else None,
                "about": self.plan.about if self.plan else None,
                "plan_sha256": header.plan_sha256 if header else None,
            },
        }


def most_used(counts: Sequence[int]) -> tuple[int, int]:
    """Return the code that occurred most often, the smallest of several, and how often."""
    often = max(counts)
    return counts.index(often), often


def _use_json(use: CodebookUse, counts: Sequence[int]) -> dict[str, Any]:
    code, often = most_used(counts)
    return {
        "size": use.codebook_size,
        "distinct": use.num_distinct,
        "entropy_bits": round(use.entropy_bits, 6),
        "perplexity": round(use.perplexity, 3),
        "most_used": code if often else None,
        "most_used_share": round(often / use.num_indices, 9) if use.num_indices else 0.0,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
