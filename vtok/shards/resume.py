"""What of an interrupted run can be trusted, and the removal of what cannot.

In: an output folder and its plan. Out: the commits that parse, are of this plan and fit their
tars; and why others do not count. Knows nothing of what the shards hold.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vtok.errors import ManifestError, OutputError, UnreachableError
from vtok.io.files import remove_partials
from vtok.io.places import Place, num_bytes_of, sha256_of
from vtok.shards.commit import CommitRecord, read_commit
from vtok.shards.plan import MANIFEST_NAME, RunPlan, commit_name, shard_name
from vtok.shards.recordfile import says_nothing

_SHARD_FILE = re.compile(r"shard-([0-9]{6})\.(tar|json)")


@dataclass(frozen=True, slots=True)
class RunState:
    """How far a run has come.

    Attributes:
        committed: Shard → its commit record, of those that can be trusted.
        distrusted: Shard → why its commit record does not count.
    """

    committed: Mapping[int, CommitRecord]
    distrusted: Mapping[int, str]


def committed_shards(folder: Place, plan: RunPlan, *, verify: bool = False) -> RunState:
    """Return the commits of this plan's shards that can be trusted.

    A commit is trusted if it parses, names this plan and the tar beside it has the length that it
    says; with `verify` the tar is hashed too.

    Raises:
        UnreachableError: one cannot be looked at just now.
    """
    committed: dict[int, CommitRecord] = {}
    distrusted: dict[int, str] = {}
    for shard in range(plan.num_shards):
        try:
            commit = read_commit(folder, shard)
            if commit is None:
                continue
            commit.check_plan(plan)
            check_tar(folder, commit, verify=verify)
        except UnreachableError:
            raise  # a shard that may be whole is not made again, nor removed
        except ManifestError as error:
            distrusted[shard] = str(error)
        else:
            committed[shard] = commit
    return RunState(committed, distrusted)


def without_failures(state: RunState) -> RunState:
    """Return the state in which shards with samples that failed do not count."""
    kept = {shard: commit for shard, commit in state.committed.items() if not commit.failures}
    return RunState(kept, state.distrusted)


def check_tar(folder: Place, commit: CommitRecord, *, verify: bool) -> None:
    """Require a commit's tar to be there with the length, and the digest, that it says.

    Raises:
        ManifestError: it is not; the message says what to do.
        UnreachableError: it cannot be looked at just now.
    """
    path = folder / shard_name(commit.shard)
    try:
        num_bytes = num_bytes_of(path)
        if num_bytes != commit.num_bytes:
            raise ManifestError(f"{path}: {num_bytes} bytes, its commit says {commit.num_bytes}")
        if not verify:
            return
        digest = sha256_of(path)
    except OSError as error:
        if says_nothing(path, error):
            raise UnreachableError(f"{path}: cannot be read: {error.strerror}") from error
        raise ManifestError(f"{path}: {error.strerror}, though its commit is there") from error
    if digest != commit.sha256:
        raise ManifestError(f"{path}: its bytes have changed since it was written (sha256 differs)")


def remove_shard(folder: Path, shard: int) -> None:
    """Remove a shard that is to be made again, what speaks of it first.

    Raises:
        OutputError: a file cannot be removed.
    """
    for name in (MANIFEST_NAME, commit_name(shard), shard_name(shard)):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{folder / name}: cannot be removed: {error.strerror}") from error


def remove_leftovers(folder: Path, state: RunState) -> tuple[str, ...]:
    """Remove what an interruption left behind; return the names of the shards' files removed.

    Temporary files, tars without a trusted commit, commits that are not trusted, and a manifest
    that would still speak of them. Files of other names are left alone. Call it under the
    folder's lock only.

    Raises:
        OutputError: a file cannot be removed.
    """
    remove_partials(folder)
    # A commit goes before its tar, the manifest before both: no moment shows one without the other.
    doomed = sorted(path.name for path in folder.iterdir() if _is_leftover(path.name, state))
    for name in [MANIFEST_NAME, *doomed] if doomed else []:
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{folder / name}: cannot be removed: {error.strerror}") from error
    return tuple(doomed)


def _is_leftover(name: str, state: RunState) -> bool:
    match = _SHARD_FILE.fullmatch(name)
    return match is not None and int(match[1]) not in state.committed
