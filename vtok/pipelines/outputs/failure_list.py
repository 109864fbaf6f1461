"""`failures.jsonl`: every sample that a run could not write, one line each, for people and scripts.

In: the commit records, and what failed in a shard that was not finished. Out: the file beside the
manifest, rewritten at the end of every call, however the call ends; empty where nothing failed. The
commit records stay the authority: the file says again what they say.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from vtok.errors import OutputError
from vtok.io.files import write_bytes
from vtok.io.places import Place, open_place
from vtok.pipelines.outputs.progress import Progress
from vtok.pipelines.outputs.roll_ups import FAILURES_NAME
from vtok.records import Failure
from vtok.shards.commit import CommitRecord
from vtok.shards.fields import encode_json


def encode_failures(commits: Iterable[CommitRecord], pending: Iterable[Failure] = ()) -> bytes:
    """Return the lines: those of committed shards in order, then the others, whose shard is null.

    Args:
        commits: In any order.
        pending: Failures that may be of a shard that is not committed.
    """
    ordered = sorted(commits, key=lambda commit: commit.shard)
    return b"".join(_lines(ordered, pending))


def _lines(commits: Iterable[CommitRecord], pending: Iterable[Failure]) -> Iterator[bytes]:
    known: set[Failure] = set()
    for commit in commits:
        for failure in commit.failures:
            known.add(failure)
            yield encode_json({**failure.to_json(), "shard": commit.shard}) + b"\n"
    for failure in pending:
        if failure not in known:
            yield encode_json({**failure.to_json(), "shard": None}) + b"\n"


def write_failures(
    folder: Path, commits: Iterable[CommitRecord], pending: Iterable[Failure] = ()
) -> None:
    """Write the file.

    Raises:
        OutputError: it cannot be written.
    """
    write_bytes(folder / FAILURES_NAME, encode_failures(commits, pending))


@contextmanager
def listing_failures(
    folder: Path, commits: Sequence[CommitRecord], progress: Progress
) -> Iterator[Progress]:
    """Give a listener that keeps what fails; write the file at the end, however it ends.

    Args:
        folder: Of the run.
        commits: Of the shards that are done; may grow while the block lasts.
        progress: Whom to tell.

    Raises:
        OutputError: the file cannot be written.
    """
    heard = _Heard(progress)
    try:
        yield heard
    except BaseException:
        if heard.failures:
            with suppress(OutputError):  # what ended the run is the thing to be told
                write_failures(folder, commits, heard.failures)
        raise
    write_failures(folder, commits)


class _Heard:
    """A listener that passes on what it hears, and keeps the failures."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.failures: list[Failure] = []
        self.begin = progress.begin
        self.note = progress.note
        self.written = progress.written
        self.shard_done = progress.shard_done

    def failed(self, failure: Failure) -> None:
        """Keep the failure, and pass it on."""
        self.failures.append(failure)
        self._progress.failed(failure)


def are_listed(folder: Place, commits: Iterable[CommitRecord]) -> bool:
    """Tell whether the file says exactly what the commit records of a finished run say."""
    expected = encode_failures(commits)
    try:
        with open_place(folder / FAILURES_NAME) as file:
            return file.read(len(expected) + 1) == expected  # however long it is
    except OSError:
        return False
