"""The manifest and the lists beside it, held against the commit records that they roll up.

In: a folder, its plan and the commit records that could be read. Out: a `RollUpAudit`: what does
not say what the records say, and what cannot be read just now. Changes nothing on the disk.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from vtok.errors import ManifestError, UnreachableError
from vtok.io.places import Place, open_place
from vtok.pipelines.inputs.dedupe import recorded_twins
from vtok.pipelines.inputs.record import recorded_digest
from vtok.pipelines.outputs.failure_list import are_listed
from vtok.pipelines.outputs.reference_list import are_references_listed
from vtok.pipelines.outputs.roll_ups import (
    DUPLICATES_NAME,
    FAILURES_NAME,
    IDENTICAL_NAME,
    INPUTS_NAME,
)
from vtok.shards.commit import CommitRecord
from vtok.shards.manifest import read_manifest, roll_up
from vtok.shards.plan import MANIFEST_NAME, RunPlan
from vtok.shards.recordfile import says_nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class RollUpAudit:
    """What the files that speak of the whole run turned out to be.

    Attributes:
        is_finished: Whether the manifest is there.
        problems: What is wrong with them, one line each.
        spoiled: Names of the files to be made again for it.
        unreachable: What of them cannot be read just now, one line each.
    """

    is_finished: bool = False
    problems: tuple[str, ...] = ()
    spoiled: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()


def audit_roll_ups(
    folder: Place, plan: RunPlan, commits: Mapping[int, CommitRecord], *, are_all_read: bool
) -> RollUpAudit:
    """Hold the manifest, and the lists of a finished run, against the commit records.

    Args:
        folder: Of the run.
        plan: Its plan.
        commits: Shard → its record, of those that count.
        are_all_read: Whether each record that is there could be read: what sums up records cannot
            be held against some of them.
    """
    problems = []
    try:
        manifest = read_manifest(folder)
    except UnreachableError as error:
        return RollUpAudit(is_finished=True, unreachable=(str(error),))
    except ManifestError as error:
        problems.append(str(error))
    else:
        if manifest is None:
            return RollUpAudit()
        if are_all_read and len(commits) != plan.num_shards:
            problems.append(f"{MANIFEST_NAME} says that the run is finished, and it is not")
        elif are_all_read and manifest != roll_up(plan, list(commits.values())):
            problems.append(f"{MANIFEST_NAME} does not say what the commit records say")
    wrong = []
    unreachable = []
    for name in _wrong_lists(folder, plan, commits):
        if obstacle := _obstacle(folder / name):
            unreachable.append(f"{name}: {obstacle}")
        else:
            wrong.append(name)
    problems += [f"{name} does not say what the records say" for name in wrong]
    return RollUpAudit(
        is_finished=True,
        problems=tuple(problems),
        spoiled=(MANIFEST_NAME, *wrong) if problems else (),
        unreachable=tuple(unreachable),
    )


def _wrong_lists(
    folder: Place, plan: RunPlan, commits: Mapping[int, CommitRecord]
) -> Iterator[str]:
    """Yield the names of the lists beside the manifest that do not say what the records say."""
    is_whole = len(commits) == plan.num_shards
    if is_whole and not are_listed(folder, commits.values()):
        yield FAILURES_NAME
    if plan.configuration.get("dedupe"):
        if is_whole and not are_references_listed(folder, commits.values()):
            yield DUPLICATES_NAME
        if recorded_twins(folder, plan) is None:
            yield IDENTICAL_NAME
    # Decoded images are of shards, which no list beside them names.
    if plan.command != "decode-vq":
        found = recorded_digest(folder, plan.num_samples)
        if found != plan.inputs_sha256:
            yield INPUTS_NAME


def _obstacle(place: Place) -> str:
    """Return why a file cannot be read just now; empty if it can be, or is lost."""
    try:
        with open_place(place) as file:
            file.read(1)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}" if says_nothing(place, error) else ""
    return ""
