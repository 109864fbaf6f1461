"""The skeleton of every command that writes shards: plan, resume, work, manifest, report.

In: what a command adds (a preparation, a model, what makes samples). Out: an output folder and a
report. Knows nothing of any one command.
"""

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import vtok
from vtok.engine.buffers import Buffers
from vtok.engine.decoding import default_num_workers
from vtok.engine.times import Span, StageTimes
from vtok.executors.devices import run_on_devices
from vtok.executors.local import run_here
from vtok.pipelines.config.parts import RunConfig
from vtok.pipelines.inputs.changes import naming_changed_inputs
from vtok.pipelines.inputs.dedupe import Duplicates, find_duplicates
from vtok.pipelines.inputs.record import keep_record, recorded_digest
from vtok.pipelines.outputs.failure_list import listing_failures
from vtok.pipelines.outputs.folder import Held, Trust, local_output
from vtok.pipelines.outputs.outcome import RunReport
from vtok.pipelines.outputs.progress import Progress, Silence
from vtok.pipelines.outputs.reference_list import write_references
from vtok.pipelines.outputs.roll_ups import (
    DUPLICATES_NAME,
    FAILURES_NAME,
    IDENTICAL_NAME,
    INPUTS_NAME,
)
from vtok.pipelines.running.device_job import DeviceJob, hearing
from vtok.pipelines.running.failure_budget import FailureBudget
from vtok.pipelines.running.head_start import HeadStart
from vtok.pipelines.running.recipe import Recipe
from vtok.pipelines.running.shard_worker import PlannedWork, ShardJob
from vtok.shards.commit import CommitRecord
from vtok.shards.header import ShardHeader
from vtok.shards.manifest import finish_run
from vtok.shards.plan import MANIFEST_NAME, RunPlan


def run_shards(
    recipe: Recipe,
    config: RunConfig,
    progress: Progress | None = None,
    *,
    spans: list[Span] | None = None,
    head_start: HeadStart | None = None,
) -> RunReport:
    """Do what is left of a run, and report the whole of it.

    Args:
        recipe: What the command adds.
        config: Where the run reads and writes, and how it goes.
        progress: Who listens.
        spans: Filled with who was at work when, if given.
        head_start: What has begun already; None for nothing.

    Raises:
        InputError: there is nothing to read.
        PlanMismatchError: the folder was begun with another plan.
        TooManyFailuresError: more images failed than may, and the run was ended; of a run that
            came to its end the report says so.
        OutputError: the folder cannot be written, or another run holds it.
    """
    with head_start or HeadStart(config) as begun:
        return _run_shards(recipe, config, begun, progress or Silence(), StageTimes(spans=spans))


def _run_shards(
    recipe: Recipe,
    config: RunConfig,
    begun: HeadStart,
    progress: Progress,
    times: StageTimes,
) -> RunReport:
    began = time.monotonic()
    inputs = begun.listing.wait()
    limits = config.limits.to_json()
    plan = RunPlan(
        command=recipe.command,
        inputs_sha256=inputs.sha256,
        num_samples=len(inputs.items),
        shard_size=config.shard_size,
        configuration={
            **recipe.configuration,
            "layout": recipe.layout,
            **({"limits": limits} if limits else {}),
            **({"decoding": config.decoding} if config.decoding != "exact" else {}),
            **({"resizing": config.resizing} if config.resizing != "exact" else {}),
            **({"dedupe": True} if config.dedupe else {}),
            **({"feature_dtype": recipe.feature_dtype} if recipe.feature_dtype else {}),
        },
        model=recipe.model,
        versions=versions(recipe.libraries),
        about={"input": config.input, "python": platform.python_version()},
    )
    header = ShardHeader(
        kind=recipe.kind,
        layout=recipe.layout,
        plan_sha256=plan.sha256,
        model=recipe.model,
        feature_dtype=recipe.feature_dtype,
        scheme=recipe.configuration["scheme"],
    )
    num_images = 0
    work = PlannedWork(
        folder=Path(),
        plan=plan,
        header=header,
        inputs=inputs,
        num_workers=config.workers,
        limits=config.limits,
        buffers=Buffers.within(config.memory),
    )
    with (
        naming_changed_inputs(config.output, inputs),
        _hold(config, plan) as held,
    ):
        folder, state = held.folder, held.state
        work = replace(work, folder=folder)
        if recorded_digest(config.output, len(inputs.items)) != inputs.sha256:
            keep_record(folder, inputs.record)
            held.share(INPUTS_NAME)
        for reason in state.distrusted.values():
            progress.note(f"made again: {reason}")
        duplicates = None
        if config.dedupe:
            max_bytes = config.limits.max_file_bytes
            duplicates = find_duplicates(folder, inputs, plan, max_bytes, progress.note)
            held.share(IDENTICAL_NAME)
        commits = list(state.committed.values())
        made: set[int] = set()
        budget = FailureBudget(config.on_error, config.max_failure_rate)
        with listing_failures(folder, commits, progress) as heard:
            while True:
                work, missing = _next_round(work, duplicates, commits, held.forget)
                if not missing and made:
                    break  # all has been counted as it was made
                budget = FailureBudget(config.on_error, config.max_failure_rate)
                for commit in commits:
                    _recount(commit, budget)
                if not missing:
                    break
                made.update(missing)
                num_missing = sum(len(work.positions(shard)) for shard in missing)
                num_images += num_missing
                progress.begin(num_shards=len(missing), num_images=num_missing)
                for commit in _results(recipe, work, missing, budget, heard, times, begun):
                    held.publish(commit)
                    commits.append(commit)
        if config.dedupe:
            write_references(folder, commits)
            held.share(DUPLICATES_NAME)
        held.share(FAILURES_NAME)
        manifest = finish_run(folder, plan, commits)
        held.share(MANIFEST_NAME)
    ordered = sorted(commits, key=lambda commit: commit.shard)
    return RunReport(
        command=recipe.command,
        output=config.output,
        manifest=manifest,
        num_resumed_shards=plan.num_shards - len(made),
        num_images=num_images,
        seconds=time.monotonic() - began,
        times=times,
        too_many=budget.verdict(),
        failures=tuple(failure for commit in ordered for failure in commit.failures),
    )


def _results(
    recipe: Recipe,
    work: PlannedWork,
    missing: Sequence[int],
    budget: FailureBudget,
    progress: Progress,
    times: StageTimes,
    begun: HeadStart,
) -> Iterator[CommitRecord]:
    """Make the missing shards: here, or each device in a process of its own."""
    if not recipe.alone:
        job = ShardJob(
            work=work,
            preparation=recipe.preparation,
            open_maker=recipe.open_maker,
            spares=begun.workers,
        )
        yield from run_here(lambda: job.open(budget, progress, times), missing)
        return
    num_cores = max(1, default_num_workers() // len(recipe.alone))
    buffers = Buffers.within(work.buffers.num_bytes // len(recipe.alone))
    share = replace(work, num_cores=num_cores, buffers=buffers)
    jobs = [
        DeviceJob(
            name=name,
            build=build,
            work=share,
            budget=budget,
            environment={"OMP_NUM_THREADS": str(num_cores)},
        )
        for name, build in recipe.alone
    ]
    for commit in run_on_devices(jobs, missing, hearing(budget, progress, times)):
        progress.shard_done()
        yield commit


def _hold(config: RunConfig, plan: RunPlan) -> AbstractContextManager[Held]:
    """Hold the output, local or not."""
    trust = Trust(
        overwrite=config.overwrite, retry_failed=config.retry_failed, verify=config.verify
    )
    if isinstance(config.output, Path):
        return local_output(config.output, plan, trust)
    from vtok.pipelines.outputs.remote import remote_output

    return remote_output(config.output, plan, trust)


def _next_round(
    work: PlannedWork,
    duplicates: Duplicates | None,
    commits: list[CommitRecord],
    forget: Callable[[int], None],
) -> tuple[PlannedWork, list[int]]:
    """Return what is to be made now; shards that refer to what has failed are forgotten.

    Without duplicates, the first round makes all that is missing. With them, a second one is needed
    where the first of some identical files could not be written.
    """
    if duplicates is not None:
        duplicates = duplicates.given(commits)
        stale = [commit for commit in commits if not duplicates.agrees(commit)]
        for commit in stale:
            forget(commit.shard)
            commits.remove(commit)
        work = replace(work, duplicates=duplicates)
    done = {commit.shard for commit in commits}
    return work, [shard for shard in range(work.plan.num_shards) if shard not in done]


def versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of vtok and of these distributions, without importing them."""
    return {"vtok": vtok.__version__, **{name: version(name) for name in libraries}}


def _recount(commit: CommitRecord, budget: FailureBudget) -> None:
    """Count what an earlier call did, as if it had just happened."""
    budget.succeeded(commit.written)
    for failure in commit.failures:
        budget.failed(failure)
