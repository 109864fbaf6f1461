"""Many shards as one: an output folder, one tar, a range of tars, or a list of these.

In: a path. Out: the samples of every shard in order, and what the run's records say of them. In
an output folder only committed shards count. Knows nothing of what samples hold.
"""

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vtok.errors import InputError, ManifestError, ShardError, UsageError
from vtok.io.places import Place, exists, is_folder, names_in, place_of
from vtok.shards.commit import CommitRecord, read_commit
from vtok.shards.header import ShardHeader
from vtok.shards.manifest import Manifest, read_manifest
from vtok.shards.plan import RunPlan, read_plan, shard_name
from vtok.shards.reader import Shard
from vtok.shards.references import Reference
from vtok.shards.resume import check_tar
from vtok.shards.samples import Sample

MAX_BRACES = 10**6

_BRACES = re.compile(r"\{(?:([0-9]+)\.\.([0-9]+)|([^{}]*,[^{}]*))\}")

ShardPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSet:
    """The shards of a run, or any shards of the same kind and model.

    Attributes:
        shards: Every shard, in order.
        plan: The run's plan, None of tars without their folder.
        manifest: The run's manifest, None of tars without their folder or of an unfinished run.
    """

    shards: tuple[Shard, ...]
    plan: RunPlan | None = None
    manifest: Manifest | None = None

    @property
    def header(self) -> ShardHeader:
        """What the first shard says of itself; the others say the same.

        Raises:
            ShardError: it is damaged.
            InputError: there are no shards.
        """
        if not self.shards:
            raise InputError("no shard has been committed yet")
        return self.shards[0].header

    @property
    def commits(self) -> tuple[CommitRecord, ...]:
        """The commit records that are there, in order."""
        return tuple(shard.commit for shard in self.shards if shard.commit is not None)

    def __iter__(self) -> Iterator[Sample]:
        for shard in self.shards:
            self._check_header(shard)
            yield from shard

    def with_duplicates(self) -> Iterator[Sample]:
        """Yield every sample, and behind each the duplicates that refer to it, as samples.

        A duplicate has the arrays and views of the one that is written, those of crops drawn at
        random for it too, and its own key, source, metadata and captions. Without `--dedupe` there
        are none.

        Raises:
            ShardError: as iteration does.
        """
        referring: dict[tuple[int, str], list[Reference]] = {}
        for commit in self.commits:
            for each in commit.references:
                referring.setdefault((each.of_shard, each.of), []).append(each)
        for shard in self.shards:
            self._check_header(shard)
            number = shard.commit.shard if shard.commit else -1
            for sample in shard:
                yield sample
                for each in referring.get((number, sample.key), ()):
                    yield each.sample(sample)

    def __len__(self) -> int:
        return sum(shard.num_samples for shard in self.shards)

    def verify(self) -> None:
        """Hash every shard again.

        Raises:
            ShardError: a shard's bytes have changed.
            ManifestError: a shard has no commit record to compare with.
        """
        for shard in self.shards:
            shard.verify()

    def _check_header(self, shard: Shard) -> None:
        """Require the shard to be of the plan, and of the same kind and model as the first."""
        if self.plan is not None and shard.header.plan_sha256 != self.plan.sha256:
            raise ShardError(f"{shard.path}: belongs to another plan than its folder")
        mine, first = shard.header, self.header
        if (mine.kind, mine.model) != (first.kind, first.model):
            raise ShardError(
                f"{shard.path}: holds {mine.kind} of another kind or model than "
                f"{self.shards[0].path}: read them one after the other"
            )


def open_shards(path: ShardPath | Sequence[ShardPath]) -> ShardSet:
    """Open an output folder, a tar, a range `name-{000000..000099}.tar`, or a list of these.

    Each may be a URL (s3://, gs://, hf://, https://, ...).

    Nothing but the run's records is read yet; the samples are, while they are iterated.

    Raises:
        InputError: there is nothing, or no shard, at the path.
        ManifestError: a record is damaged, or a committed shard is missing or of another length.
    """
    if not isinstance(path, (str, os.PathLike)):
        sets = [open_shards(each) for each in path]
        return ShardSet(shards=tuple(shard for each in sets for shard in each.shards))
    names = expand_braces(os.fspath(path))
    if len(names) > 1:
        return open_shards(names)
    place = place_of(names[0])
    try:
        if is_folder(place):
            return _open_folder(place)
        if not exists(place):
            raise InputError(f"{place} does not exist")
    except OSError as error:
        raise InputError(f"cannot read {place}: {error.strerror}") from error
    return ShardSet(shards=(Shard(place),))


def _open_folder(folder: Place) -> ShardSet:
    plan = read_plan(folder)
    if plan is None:
        tars = [name for name in names_in(folder) if name.endswith(".tar")]
        if not tars:
            raise InputError(f"{folder} holds no shards (*.tar)")
        return ShardSet(shards=tuple(Shard(folder / tar) for tar in tars))
    shards = []
    for number in range(plan.num_shards):
        commit = read_commit(folder, number)
        if commit is not None:
            commit.check_plan(plan)
            check_tar(folder, commit, verify=False)
            shards.append(Shard(folder / shard_name(number), commit))
    manifest = read_manifest(folder)
    if manifest is not None:
        _check_manifest(folder, plan, manifest, shards)
    return ShardSet(shards=tuple(shards), plan=plan, manifest=manifest)


def _check_manifest(folder: Place, plan: RunPlan, manifest: Manifest, shards: list[Shard]) -> None:
    """Require the manifest to speak of this plan and of exactly these shards."""
    committed = [(shard.path.name, shard.commit.sha256) for shard in shards if shard.commit]
    listed = [(entry.name, entry.sha256) for entry in manifest.shards]
    if manifest.plan_sha256 != plan.sha256 or committed != listed:
        raise ManifestError(
            f"{folder}: manifest.json does not fit the plan and the commits beside it: run the "
            "command that made it again"
        )


def expand_braces(pattern: str) -> list[str]:
    """Return the names of `a-{000..002}.tar` or `{x,y}.tar`, in order; the name itself if plain.

    Leading zeros are kept: the width is that of the first number.

    Raises:
        UsageError: a range runs backwards, or there are more than `MAX_BRACES` names.
    """
    parts: list[list[str]] = []
    end, total = 0, 1
    for match in _BRACES.finditer(pattern):
        parts.append([pattern[end : match.start()]])
        end = match.end()
        if match[3] is None:
            first, last = int(match[1]), int(match[2])
            count = last - first + 1
        else:
            count = match[3].count(",") + 1
        total *= count
        if not 1 <= total <= MAX_BRACES or count < 1:
            raise UsageError(f"{pattern!r} is not a range of 1 to {MAX_BRACES} shards")
        if match[3] is None:
            parts.append([f"{n:0{len(match[1])}d}" for n in range(first, last + 1)])
        else:
            parts.append(match[3].split(","))
    parts.append([pattern[end:]])
    return ["".join(choice) for choice in itertools.product(*parts)]
