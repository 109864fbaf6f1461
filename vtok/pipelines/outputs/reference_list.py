"""`duplicates.jsonl`: every sample that is a reference to an identical one, one line each.

In: the commit records of a run that was asked to encode identical files once. Out: the file beside
the manifest. The commit records stay the authority: the file says again what they say.
"""

from collections.abc import Iterable
from pathlib import Path

from vtok.io.files import write_bytes
from vtok.io.places import Place, open_place
from vtok.pipelines.outputs.roll_ups import DUPLICATES_NAME
from vtok.shards.commit import CommitRecord
from vtok.shards.fields import encode_json


def encode_references(commits: Iterable[CommitRecord]) -> bytes:
    """Return the lines, in the order of shards."""
    ordered = sorted(commits, key=lambda commit: commit.shard)
    return b"".join(
        encode_json({**reference.to_json(), "shard": commit.shard}) + b"\n"
        for commit in ordered
        for reference in commit.references
    )


def write_references(folder: Path, commits: Iterable[CommitRecord]) -> None:
    """Write the file.

    Raises:
        OutputError: it cannot be written.
    """
    write_bytes(folder / DUPLICATES_NAME, encode_references(commits))


def are_references_listed(folder: Place, commits: Iterable[CommitRecord]) -> bool:
    """Tell whether the file says exactly what the commit records say."""
    expected = encode_references(commits)
    try:
        with open_place(folder / DUPLICATES_NAME) as file:
            return file.read(len(expected) + 1) == expected  # however long it is
    except OSError:
        return False
