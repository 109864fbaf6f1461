"""`vtok verify`: is everything that a run says it wrote there, whole and true?

In: a `VerifyConfig`. Out: a `VerifyReport`. In an output folder every shard is hashed, read sample
by sample and held against its commit record, the commit records against the plan, the manifest and
the lists of failures against the commit records. Tars alone are read through. With `repair`, what
is damaged is removed, so that the command that made the folder makes exactly that again.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vtok.errors import InputError, ManifestError, UnreachableError, UsageError
from vtok.io.files import folder_lock
from vtok.io.places import Place, is_folder, names_in, place_of
from vtok.pipelines.outputs.progress import Progress, Silence
from vtok.pipelines.verifying.audit import AuditTask, ShardAudit
from vtok.pipelines.verifying.audits import audit_all, spread
from vtok.pipelines.verifying.repair import find_leftovers, repair
from vtok.pipelines.verifying.report import VerifyConfig, VerifyReport
from vtok.pipelines.verifying.roll_up_audit import audit_roll_ups
from vtok.shards.commit import CommitRecord, read_commit
from vtok.shards.plan import RunPlan, commit_name, read_plan, shard_name
from vtok.shards.shardset import open_shards

if TYPE_CHECKING:
    from vtok.shards.samples import Sample


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
    picks = spread(counts, config.decode)
    tasks = [
        AuditTask(path=shard.path, picks=picked)
        for shard, picked in zip(shards, picks, strict=True)
    ]
    progress.begin(num_shards=len(tasks), num_images=sum(counts))
    audits = tuple(audit_all(tasks, sum(counts), config.workers, progress))
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
    picks = spread(counts, config.decode)
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
    audits = audit_all(tasks, sum(counts), config.workers, progress)
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


def _with_quality(
    report: VerifyReport, plan: RunPlan | None, tasks: Sequence[AuditTask], config: VerifyConfig
) -> VerifyReport:
    """Return the report with what decoding the picked samples tells."""
    if config.decode is None:
        return report
    from vtok.pipelines.verifying.quality import compare_samples  # brings torch, where it is needed
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
