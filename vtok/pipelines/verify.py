"""`vtok verify`: is everything that a run says it wrote there, whole and true?

In: a `VerifyConfig`. Out: a `VerifyReport`. In an output folder every shard is hashed, read sample
by sample and held against its commit record, the commit records against the plan, the manifest and
the lists of failures against the commit records. Tars alone are read through. With `repair`, what
is damaged is removed, so that the command that made the folder makes exactly that again.
"""

import itertools
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vtok.engine.decoding import default_num_workers
from vtok.errors import (
    InputError,
    ManifestError,
    ShardError,
    UnfinishedError,
    UnreachableError,
    UsageError,
)
from vtok.io.files import folder_lock
from vtok.io.places import Place, is_folder, names_in, place_of
from vtok.pipelines.audit import AuditTask, ShardAudit, audit_shard
from vtok.pipelines.outcome import Comparison
from vtok.pipelines.progress import Progress, Silence
from vtok.pipelines.repair import find_leftovers, repair
from vtok.pipelines.roll_up_audit import audit_roll_ups
from vtok.quantities import counted
from vtok.shards.commit import CommitRecord, read_commit
from vtok.shards.plan import RunPlan, commit_name, read_plan, shard_name
from vtok.shards.shardset import open_shards

if TYPE_CHECKING:
    from vtok.shards.samples import Sample

DEFAULT_MIN_PSNR_DB = 12.0
MIN_SAMPLES_FOR_PROCESSES = 2000
"""Fewer samples are read before the first process has started."""


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


def verify(config: VerifyConfig, progress: Progress | None = None) -> VerifyReport:
    """Verify an output folder or some tars, and repair the folder if asked to.

    Raises:
        InputError: there are no shards, or no originals to compare with.
        ManifestError: the plan itself is damaged: nothing can be held against it.
        UsageError: tars alone cannot be repaired; features cannot be decoded.
        OutputError: a damaged file cannot be removed, or a run is at work in the folder.
    """
    progress = progress or Silence()
    place = place_of(config.path)
    try:
        plan = read_plan(place) if is_folder(place) else None
        if plan is None:
            return _verify_tars(config, progress)
        if plan.command == "decode-vq" and "output_format" not in plan.configuration:
            raise InputError(f"{config.path} holds decoded images, not shards: nothing to verify")
        if not config.repair:
            return _verify_folder(place, plan, config, progress)
        if not isinstance(place, Path):
            raise UsageError(f"{place}: --repair is for local folders: remove the objects by hand")
        with folder_lock(place):  # from before the first look: nothing removed has changed since
            return _verify_folder(place, read_plan(place) or plan, config, progress)
    except OSError as error:
        raise InputError(f"cannot read {error.filename or place}: {error.strerror}") from error


def _verify_tars(config: VerifyConfig, progress: Progress) -> VerifyReport:
    if config.repair:
        raise UsageError(
            f"{config.path}: --repair is for output folders: tars alone do not say what made them"
        )
    shards = open_shards(config.path).shards
    counts = [0] * len(shards)
    if config.decode is not None:
        counts = [shard.num_samples for shard in shards]
    picks = _spread(counts, config.decode)
    tasks = [
        AuditTask(path=shard.path, picks=picked)
        for shard, picked in zip(shards, picks, strict=True)
    ]
    progress.begin(num_shards=len(tasks), num_images=sum(counts))
    audits = tuple(_audit(tasks, sum(counts), config.workers, progress))
    report = VerifyReport(
        path=config.path, planned=None, shards=audits, has_records=False, is_finished=True
    )
    return _with_quality(report, None, tasks, config)


def _verify_folder(
    folder: Place, plan: RunPlan, config: VerifyConfig, progress: Progress
) -> VerifyReport:
    names = set(names_in(folder))
    found: dict[int, ShardAudit] = {}
    commits: dict[int, CommitRecord] = {}
    for shard in range(plan.num_shards):
        name = shard_name(shard)
        if commit_name(shard) not in names:
            found[shard] = ShardAudit(name=name, state="missing")
            continue
        try:
            commit = read_commit(folder, shard)
            assert commit is not None  # its name is there
            commit.check_plan(plan)
        except ManifestError as error:
            line = str(error).replace(f"{folder / commit_name(shard)}: ", "its commit: ")
            found[shard] = (
                ShardAudit(name=name, state="unreachable", unreachable=line)
                if isinstance(error, UnreachableError)
                else ShardAudit(name=name, state="damaged", problems=(line,))
            )
            continue
        if name not in names:
            lost = ("it is gone, though its commit is there",)
            found[shard] = ShardAudit(name=name, state="damaged", problems=lost)
            continue
        commits[shard] = commit
    counts = [commit.written for commit in commits.values()]
    picks = _spread(counts, config.decode)
    referred: dict[int, dict[str, str]] = {}
    for commit in commits.values():
        for each in commit.references:
            referred.setdefault(each.of_shard, {})[each.of] = each.sha256
    tasks = [
        AuditTask(
            path=folder / shard_name(shard),
            commit=commit,
            plan=plan,
            picks=picked,
            referred=referred.get(shard, {}),
        )
        for (shard, commit), picked in zip(commits.items(), picks, strict=True)
    ]
    progress.begin(num_shards=len(tasks), num_images=sum(counts))
    audits = _audit(tasks, sum(counts), config.workers, progress)
    found |= dict(zip(commits, audits, strict=True))
    shards = tuple(found[shard] for shard in range(plan.num_shards))
    unread = found.keys() - commits.keys()
    are_all_read = all(found[shard].state != "unreachable" for shard in unread)
    roll_ups = audit_roll_ups(folder, plan, commits, are_all_read=are_all_read)
    report = VerifyReport(
        path=config.path,
        planned=plan.num_samples,
        shards=shards,
        problems=roll_ups.problems,
        roll_ups_unreachable=roll_ups.unreachable,
        leftovers=find_leftovers(names, found),
        is_finished=roll_ups.is_finished,
    )
    report = _with_quality(report, plan, tasks, config)
    if config.repair:
        assert isinstance(folder, Path)
        broken = [shard for shard, audit in found.items() if audit.state == "damaged"]
        removed = repair(folder, broken, roll_ups.spoiled, report.leftovers)
        report = replace(report, removed=removed)
    return report


def _audit(
    tasks: Sequence[AuditTask], num_samples: int, workers: int | None, progress: Progress
) -> Iterator[ShardAudit]:
    """Yield the audit of every shard, in order, as many at once as there are workers."""
    wanted = default_num_workers() if workers is None else workers
    num_workers = min(wanted, len(tasks))
    if num_workers <= 1 or (workers is None and num_samples < MIN_SAMPLES_FOR_PROCESSES):
        yield from _told(map(audit_shard, tasks), progress)
        return
    # Not forked: torch and its threads may be in this process already.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_leave_interrupts)
    try:
        yield from _told(pool.map(audit_shard, tasks), progress)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _told(audits: Iterator[ShardAudit], progress: Progress) -> Iterator[ShardAudit]:
    for audit in audits:
        for _ in range(audit.num_samples):
            progress.written()
        progress.shard_done()
        yield audit


def _leave_interrupts() -> None:
    """Leave Ctrl-C to the parent, which then ends this process in good order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _spread(counts: Sequence[int], num_picked: int | None) -> list[frozenset[int]]:
    """Return, for every shard, which of its samples are picked: as far apart as they can be."""
    starts = [0, *itertools.accumulate(counts)]
    total = starts[-1]
    wanted = 0 if num_picked is None else min(num_picked, total)
    positions = [(2 * i + 1) * total // (2 * wanted) for i in range(wanted)]
    return [
        frozenset(each - start for each in positions if start <= each < start + count)
        for start, count in zip(starts, counts, strict=False)
    ]


def _with_quality(
    report: VerifyReport, plan: RunPlan | None, tasks: Sequence[AuditTask], config: VerifyConfig
) -> VerifyReport:
    """Return the report with what decoding the picked samples tells."""
    if config.decode is None:
        return report
    from vtok.pipelines.verify_quality import compare_samples  # brings torch, where it is needed
    from vtok.shards.reader import Shard

    picked: list[Sample] = [sample for shard in report.shards for sample in shard.picked]
    if not picked:
        raise InputError(f"{config.path}: no sample could be read that could be decoded")
    readable = next(
        task.path for task, audit in zip(tasks, _of(report, tasks), strict=True) if audit.picked
    )
    comparison = compare_samples(picked, Shard(readable).header, plan, config)
    low = [each for each in comparison.images if each.psnr_db < config.min_psnr_db]
    return replace(
        report,
        quality=comparison,
        too_unlike=tuple(
            f"{each.source}: {each.psnr_db:.2f} dB against its original, less than --min-psnr "
            f"{config.min_psnr_db:g}"
            for each in low
        ),
    )


def _of(report: VerifyReport, tasks: Sequence[AuditTask]) -> list[ShardAudit]:
    by_name: Callable[[str], ShardAudit] = {each.name: each for each in report.shards}.__getitem__
    return [by_name(task.path.name) for task in tasks]
