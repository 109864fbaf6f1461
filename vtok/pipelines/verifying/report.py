"""What `vtok verify` was asked, and what it found.

Frozen records, checked once, for text and JSON alike. Knows nothing of how anything is verified.
"""

import math
from dataclasses import dataclass
from typing import Any

from vtok.errors import ShardError, UnfinishedError, UnreachableError, UsageError
from vtok.pipelines.outputs.outcome import Comparison
from vtok.pipelines.verifying.audit import ShardAudit
from vtok.quantities import counted

DEFAULT_MIN_PSNR_DB = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyConfig:
    """`vtok verify`.

    Attributes:
        path: An output folder, a tar, a range of tars, or a URL of one of these.
        decode: So many samples are decoded and compared with their originals; None for none.
        reference: Where the originals are; None for where the plan says that they were.
        min_psnr_db: What each decoded sample must reach.
        repair: Remove what is damaged.
        workers: Processes that read shards; None for one a core.
        model: The model that decodes, if not under the name that the shards give it.
        device: As in `ModelConfig`.
        allow_torchscript: Whether the code in that model's file may be run.
    """

    path: str
    decode: int | None = None
    reference: str | None = None
    min_psnr_db: float = DEFAULT_MIN_PSNR_DB
    repair: bool = False
    workers: int | None = None
    model: str | None = None
    device: str = "auto"
    allow_torchscript: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        for flag, value in (("--decode", self.decode), ("--workers", self.workers)):
            if value is not None and value < 1:
                raise UsageError(f"{flag} must be at least 1, not {value}")
        if math.isnan(self.min_psnr_db):
            raise UsageError("--min-psnr is a number of decibels, not nan")
        if self.reference is not None and self.decode is None:
            raise UsageError("--reference is what --decode compares with: say how many samples")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What was found.

    Attributes:
        path: As it was given.
        planned: Samples of the plan; None of tars alone.
        shards: Every shard of the plan, in order, or every tar that was named.
        problems: What is wrong with the records of the whole, one line each.
        roll_ups_unreachable: What of them cannot be read just now, one line each.
        leftovers: Files that an interrupted run left.
        has_records: Whether there is a plan; tars alone can only be read.
        is_finished: Whether the manifest is there.
        quality: Decoded samples against their originals, where this was asked for.
        too_unlike: One line for every sample that does not reach the PSNR asked for.
        removed: Files that the repair removed.
    """

    path: str
    planned: int | None
    shards: tuple[ShardAudit, ...]
    problems: tuple[str, ...] = ()
    roll_ups_unreachable: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    has_records: bool = True
    is_finished: bool = False
    quality: Comparison | None = None
    too_unlike: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def damaged(self) -> tuple[str, ...]:
        """One line for everything that is not as it was written."""
        lines = [f"{each.name}: {line}" for each in self.shards for line in each.problems]
        return (*lines, *self.problems, *self.too_unlike)

    @property
    def unreachable(self) -> tuple[str, ...]:
        """One line for everything that cannot be read just now, and may be whole."""
        lines = [f"{each.name}: {each.unreachable}" for each in self.shards if each.unreachable]
        return (*lines, *self.roll_ups_unreachable)

    @property
    def num_missing(self) -> int:
        """Shards that the run has not come to."""
        return sum(each.state == "missing" for each in self.shards)

    @property
    def state(self) -> str:
        """`damaged`, `unreachable`, `repaired`, `unfinished` or `whole`."""
        is_repaired = bool(self.removed) and not self.too_unlike
        if self.damaged and not is_repaired:
            return "damaged"
        if self.unreachable:
            return "unreachable"
        if is_repaired:
            return "repaired"
        return "unfinished" if self.has_records and not self.is_finished else "whole"

    def total(self, name: str) -> int:
        """Return the sum of one count over the shards."""
        return sum(getattr(each, name) for each in self.shards)

    def raise_if_not_whole(self) -> None:
        """Require all that was planned to be there and as it was written.

        Raises:
            ShardError: something is damaged; the message has the first thing.
            UnreachableError: something cannot be read just now; the message has the first thing.
            UnfinishedError: what is there is whole, and something is still to be made.
        """
        state, damaged = self.state, self.damaged
        if state == "damaged":
            more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
            raise ShardError(f"{self.path} is damaged: {damaged[0]}{more}")
        if state == "unreachable":
            first, *others = self.unreachable
            more = f" (and {len(others)} more)" if others else ""
            raise UnreachableError(
                f"{self.path}: {first}{more}: nothing is known of it, and it was left alone: make "
                "it readable and verify again"
            )
        if state == "repaired":
            removed = counted(len(self.removed), "file")
            raise UnfinishedError(
                f"{self.path}: removed {removed}: run the command that made it again, it makes "
                "exactly that"
            )
        if state == "unfinished":
            raise UnfinishedError(
                f"{self.path} is not finished: {counted(self.num_missing, 'shard')} of "
                f"{len(self.shards):,} missing: run the same command again, it resumes"
                if self.num_missing
                else f"{self.path} is not finished: run the same command again, it resumes"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the report for machines."""
        return {
            "command": "verify",
            "path": self.path,
            "state": self.state,
            "finished": self.is_finished,
            "planned": self.planned,
            "samples": self.total("num_samples"),
            "duplicates": self.total("duplicates"),
            "failed": self.total("failed"),
            "views": self.total("num_views"),
            "tokens": self.total("num_tokens"),
            "bytes": self.total("num_bytes"),
            "shards": [each.to_json() for each in self.shards],
            "problems": list(self.problems),
            "unreachable": list(self.unreachable),
            "leftovers": list(self.leftovers),
            "too_unlike": list(self.too_unlike),
            "quality": None if self.quality is None else self.quality.to_json(),
            "removed": list(self.removed),
        }
