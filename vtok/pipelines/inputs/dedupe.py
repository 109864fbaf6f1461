"""Files whose bytes are identical, found before anything is encoded: the first of them is written.

In: the items of a run. Out: `Duplicates`, which says of every shard what is written and what is a
reference to it. It depends on the list of inputs alone, so shards, workers and interruptions change
nothing; what was found is kept in `identical.jsonl.gz` for the next call.

Only files of one length can be identical, so most are never read here: of those that share a length
the beginning is hashed, and of those that share that too, the whole. A group whose first file could
not be written is dissolved: its other files are tried each for itself.
"""

import gzip
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from vtok.errors import SampleError
from vtok.io.files import atomic_writer
from vtok.io.places import Place, num_bytes_of, open_place
from vtok.io.sources import SourceItem
from vtok.pipelines.inputs.items import Inputs
from vtok.pipelines.outputs.metadata import carried_fields, joined_metadata
from vtok.pipelines.outputs.roll_ups import IDENTICAL_NAME
from vtok.records import Failure
from vtok.shards.commit import CommitRecord
from vtok.shards.header import FORMAT_VERSION
from vtok.shards.plan import RunPlan
from vtok.shards.references import Reference

NUM_READERS = 8
HEAD_BYTES = 64 << 10
_CHUNK = 512
_MAX_LINE_BYTES = 256

Twins = Mapping[int, tuple[int, str]]
"""Position of a duplicate → position of the first identical file, and the digest of both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """What of a run is written, and what refers to it.

    Attributes:
        inputs: The items.
        plan: Which shard has which.
        twins: Every duplicate.
        dissolved: Positions of first files that could not be written.
    """

    inputs: Inputs
    plan: RunPlan
    twins: Twins
    dissolved: frozenset[int] = field(default=frozenset())

    def written(self, shard: int) -> Sequence[int]:
        """Return the positions of a shard whose files are to be encoded, in order."""
        return [each for each in self.plan.shard_range(shard) if not self._is_reference(each)]

    def references(self, shard: int) -> tuple[tuple[Reference, ...], tuple[Failure, ...]]:
        """Return a shard's references, and the failures of those whose captions cannot be read."""
        references, failures = [], []
        for position in self.plan.shard_range(shard):
            if not self._is_reference(position):
                continue
            first, sha256 = self.twins[position]
            (task,) = self.inputs.tasks([position])
            try:
                sidecars = task.item.read_sidecars()
            except SampleError as error:
                failures.append(task.failure("read", error.reason, str(error)))
                continue
            references.append(
                Reference(
                    key=task.key,
                    source=task.item.source,
                    sha256=sha256,
                    of=self.inputs.key(first),
                    of_shard=first // self.plan.shard_size,
                    metadata=joined_metadata(task.item.metadata, sidecars),
                    sidecars=carried_fields(sidecars),
                )
            )
        return tuple(references), tuple(failures)

    def given(self, commits: Iterable[CommitRecord]) -> "Duplicates":
        """Return what holds now that these shards are made: groups whose first failed dissolve."""
        firsts = {first for first, _ in self.twins.values()}
        failed = set()
        for commit in commits:
            keys = {failure.key for failure in commit.failures}
            for position in self.plan.shard_range(commit.shard) if keys else ():
                if position in firsts and self.inputs.key(position) in keys:
                    failed.add(position)
        return replace(self, dissolved=frozenset(failed))

    def agrees(self, commit: CommitRecord) -> bool:
        """Tell whether a shard was made as it would be made now."""
        referring = {each.key for each in commit.references}
        positions = self.plan.shard_range(commit.shard)
        expected = {self.inputs.key(each) for each in positions if self._is_reference(each)}
        return referring <= expected <= referring | {each.key for each in commit.failures}

    def _is_reference(self, position: int) -> bool:
        twin = self.twins.get(position)
        return twin is not None and twin[0] not in self.dissolved


def find_duplicates(
    folder: Path, inputs: Inputs, plan: RunPlan, max_bytes: int, note: Callable[[str], None]
) -> Duplicates:
    """Return a run's duplicates: as an earlier call has found them, or found now and kept.

    Args:
        folder: Of the run.
        inputs: Its items.
        plan: Its plan.
        max_bytes: Longer files are no duplicates: they will not be read.
        note: Is told that files are compared.

    Raises:
        OutputError: what was found cannot be kept.
    """
    twins = recorded_twins(folder, plan)
    if twins is None:
        note(f"looking for identical files among {len(inputs.items):,}")
        twins = find_twins(inputs.items, max_bytes)
        _record(folder, plan, twins)
    return Duplicates(inputs=inputs, plan=plan, twins=twins)


def find_twins(items: Sequence[SourceItem], max_bytes: int) -> dict[int, tuple[int, str]]:
    """Return every item whose bytes an earlier one has too. One that cannot be read has no twin."""
    by_length: dict[Any, list[int]] = defaultdict(list)
    for position, item in enumerate(items):
        by_length[item.size_bytes].append(position)
    unknown = by_length.pop(-1, [])
    suspects = _several(by_length)
    with ThreadPoolExecutor(NUM_READERS, thread_name_prefix="vtok-compare") as pool:

        def hashed(positions: Sequence[int], limit: int, is_whole: bool) -> Iterator[str | None]:
            for start in range(0, len(positions), _CHUNK):
                chunk = positions[start : start + _CHUNK]
                yield from pool.map(lambda each: _digest(items[each], limit, is_whole), chunk)

        by_head: dict[Any, list[int]] = defaultdict(list)
        for position, head in zip(suspects, hashed(suspects, HEAD_BYTES, False), strict=True):
            if head is not None:
                by_head[items[position].size_bytes, head].append(position)
        remaining = sorted([*_several(by_head), *unknown])
        first: dict[str, int] = {}
        twins: dict[int, tuple[int, str]] = {}
        for position, digest in zip(remaining, hashed(remaining, max_bytes, True), strict=True):
            if digest is None:
                continue
            if digest in first:
                twins[position] = (first[digest], digest)
            else:
                first[digest] = position
    return twins


def recorded_twins(folder: Place, plan: RunPlan) -> dict[int, tuple[int, str]] | None:
    """Return what an earlier call of this plan has found, None without a whole record of it."""
    most = (plan.num_samples + 2) * _MAX_LINE_BYTES
    try:
        if num_bytes_of(folder / IDENTICAL_NAME) > most:
            return None
        with open_place(folder / IDENTICAL_NAME) as raw, gzip.open(raw) as file:
            lines = [json.loads(line) for line in file.read(most).splitlines()]
        head, *rows, last = lines
        twins = {row[0]: (row[1], row[2]) for row in rows}
        is_ours = head == _head(plan) and last == {"end": len(rows)}
        is_sound = all(0 <= first < position for position, (first, _) in twins.items())
    except (OSError, EOFError, ValueError, TypeError, LookupError):
        return None
    return twins if is_ours and is_sound else None


def _record(folder: Path, plan: RunPlan, twins: Twins) -> None:
    with (
        atomic_writer(folder / IDENTICAL_NAME) as target,
        gzip.GzipFile(filename="", mode="wb", fileobj=cast(BinaryIO, target), mtime=0) as file,
    ):
        rows = ([position, *twin] for position, twin in sorted(twins.items()))
        for value in (_head(plan), *rows, {"end": len(twins)}):
            file.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")


def _head(plan: RunPlan) -> dict[str, Any]:
    return {"format": "vtok-identical", "version": FORMAT_VERSION, "plan_sha256": plan.sha256}


def _several(groups: Mapping[Any, list[int]]) -> list[int]:
    """Return the members of all groups that have more than one, in order."""
    return sorted(each for group in groups.values() if len(group) > 1 for each in group)


def _digest(item: SourceItem, max_bytes: int, is_whole: bool) -> str | None:
    """Return the digest of an item's bytes, None if they cannot be had or are too many."""
    try:
        data = item.read(max_bytes=max_bytes)
    except SampleError:
        return None
    if is_whole and len(data) > max_bytes:
        return None
    return hashlib.sha256(data).hexdigest()
