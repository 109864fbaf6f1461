"""What is damaged in an output folder, removed, so that the next run makes exactly that again.

In: a folder, and which of its shards and lists are damaged. Out: the names of the files removed.
Only files of vtok's own names are touched, and those of whole shards never. Knows nothing of how
damage is found.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from vtok.errors import OutputError
from vtok.io.files import PARTIAL_SUFFIX, sync_folder
from vtok.pipelines.verifying.audit import ShardAudit
from vtok.shards.plan import MANIFEST_NAME, commit_name, shard_name

_TAR = re.compile(r"shard-([0-9]{6})\.tar")


def find_leftovers(names: Iterable[str], found: Mapping[int, ShardAudit]) -> tuple[str, ...]:
    """Return the names of temporary files, and of tars that no commit record speaks of."""
    left = []
    for name in names:
        match = _TAR.fullmatch(name)
        audit = found.get(int(match[1])) if match else None
        is_partial = name.startswith(".") and name.endswith(PARTIAL_SUFFIX)
        if is_partial or (match and (audit is None or audit.state == "missing")):
            left.append(name)
    return tuple(sorted(left))


def repair(
    folder: Path, damaged: Sequence[int], spoiled: Sequence[str], leftovers: Collection[str]
) -> tuple[str, ...]:
    """Remove damaged shards with their records, what speaks of them, and leftovers.

    Args:
        folder: Of the run.
        damaged: Numbers of shards.
        spoiled: Names of the manifest and of lists that do not say what the records say.
        leftovers: Names of files that an interrupted run left.

    The manifest goes first, a commit record before its tar: no moment shows one without the other.
    Call it under the folder's lock only, held since before the damage was found.

    Raises:
        OutputError: a file cannot be removed.
    """
    doomed = [name for shard in damaged for name in (commit_name(shard), shard_name(shard))]
    first = [MANIFEST_NAME] if damaged and MANIFEST_NAME not in spoiled else []
    doomed = [*first, *spoiled, *doomed, *leftovers]
    removed = []
    for name in doomed:
        path = folder / name
        try:
            path.unlink()
            removed.append(name)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise OutputError(f"{path}: cannot be removed: {error.strerror}") from error
    sync_folder(folder)
    return tuple(removed)
