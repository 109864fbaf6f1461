"""One shard held against its records: hashed, read sample by sample, counted again.

In: a tar, its commit record and its plan, where these are there. Out: a `ShardAudit`: what was
counted, and one line for everything that is not as it should be. Changes nothing on the disk.
Knows nothing of folders, repairs or how facts are shown. Small and picklable, so that many
processes can audit many shards.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vtok.codeshape import CodeShape
from vtok.errors import SampleError, ShardError, UnreachableError
from vtok.io.headers import read_header
from vtok.io.places import Place, local_copy, sha256_of
from vtok.pipelines.decoding.restore import plan_of
from vtok.records import Grid
from vtok.resolution import Plan
from vtok.shards.commit import CommitRecord
from vtok.shards.header import ShardHeader
from vtok.shards.plan import RunPlan
from vtok.shards.reader import ADVICE, Shard
from vtok.shards.recordfile import says_nothing
from vtok.shards.samples import Sample
from vtok.shards.usage import CodebookCounter

MAX_COUNTED_CODES = 1 << 22
MAX_PROBLEMS = 20
"""So many lines tell what is wrong with a shard; a damaged one may have one for every sample."""

AuditState = Literal["whole", "damaged", "unreachable", "missing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardAudit:
    """What one shard turned out to be.

    Attributes:
        name: Of its tar.
        state: `whole`; `damaged`; `unreachable`, which may be whole; or `missing`, of a run that
            has not come to it yet.
        num_bytes: Length of the tar.
        num_samples: Samples that could be read.
        num_views: Views in them.
        num_tokens: Indices or feature vectors in them.
        failed: Samples that its commit record says have failed.
        duplicates: Samples that its commit record says are written elsewhere.
        problems: What is not as it should be, one line each, without the shard's name.
        unreachable: Why it cannot be read just now, in one line; empty where it can be.
        picked: The samples that were asked for by position.
    """

    name: str
    state: AuditState
    num_bytes: int = 0
    num_samples: int = 0
    num_views: int = 0
    num_tokens: int = 0
    failed: int = 0
    duplicates: int = 0
    problems: tuple[str, ...] = ()
    unreachable: str = ""
    picked: tuple[Sample, ...] = field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the audit in a JSON-ready dict."""
        return {
            "name": self.name,
            "state": self.state,
            "bytes": self.num_bytes,
            "samples": self.num_samples,
            "views": self.num_views,
            "tokens": self.num_tokens,
            "failed": self.failed,
            "duplicates": self.duplicates,
            "problems": list(self.problems),
            "unreachable": self.unreachable or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditTask:
    """A shard that is to be audited.

    Attributes:
        path: Its tar.
        commit: Its commit record; None of a tar alone.
        plan: Its run's plan; None of a tar alone.
        picks: Positions of samples to hand back.
        referred: Key → digest of the original file, of samples that others refer to.
    """

    path: Place
    commit: CommitRecord | None = None
    plan: RunPlan | None = None
    picks: frozenset[int] = frozenset()
    referred: Mapping[str, str] = field(default_factory=dict)


def audit_shard(task: AuditTask) -> ShardAudit:
    """Hash, read and count one shard, and hold it against its records."""
    problems: list[str] = []
    count = _Count(task.picks, task.referred)
    num_bytes = 0
    unreachable = ""
    try:
        with local_copy(task.path) as path:
            num_bytes = path.stat().st_size
            if task.commit is not None:
                problems += _check_bytes(path, num_bytes, task.commit)
            try:
                _read(Shard(path), task, count, problems)
            except UnreachableError as error:
                unreachable = _without_path(str(error), str(path))
            except ShardError as error:
                problems.append(_without_path(str(error), str(path)))
    except OSError as error:
        line = f"cannot be read: {error.strerror or error}"
        if says_nothing(task.path, error):
            unreachable = line
        else:
            problems.append(line)
    if task.commit is not None and not problems and not unreachable:
        problems += _check_counts(count, task.commit)
        problems += _check_referred(count, task.referred)
    commit = task.commit
    return ShardAudit(
        name=task.path.name,
        state="damaged" if problems else "unreachable" if unreachable else "whole",
        num_bytes=num_bytes,
        num_samples=count.num_samples,
        num_views=count.num_views,
        num_tokens=count.num_tokens,
        failed=commit.failed if commit else 0,
        duplicates=commit.duplicates if commit else 0,
        problems=tuple(problems[:MAX_PROBLEMS]),
        unreachable=unreachable,
        picked=tuple(count.picked),
    )


class _Count:
    """What is counted while a shard is read."""

    def __init__(self, picks: frozenset[int], referred: Mapping[str, str]) -> None:
        self.num_samples = 0
        self.num_views = 0
        self.num_tokens = 0
        self.conversions: Counter[str] = Counter()
        self.codebook: CodebookCounter | None = None
        self.keys: set[str] = set()
        self.ends: list[str] = []
        self.picked: list[Sample] = []
        self.digests: dict[str, Any] = {}
        self._picks = picks
        self._referred = referred

    def add(self, sample: Sample) -> None:
        if self.num_samples in self._picks:
            self.picked.append(sample)
        self.num_samples += 1
        self.num_views += len(sample.images) + len(sample.indices) + len(sample.features)
        self.num_tokens += sum(array.size for array in sample.indices.values())
        self.num_tokens += sum(len(array) for array in sample.features.values())
        conversions = sample.meta.get("conversions", ())
        self.conversions.update(map(str, conversions if isinstance(conversions, list) else ()))
        if self.codebook is not None:
            for indices in sample.indices.values():
                self.codebook.add(indices)
        self.keys.add(sample.key)
        if sample.key in self._referred:
            self.digests[sample.key] = sample.meta.get("sha256")
        self.ends[1:] = [sample.key]
        if len(self.ends) == 1:
            self.ends.append(sample.key)


def _check_bytes(path: Place, num_bytes: int, commit: CommitRecord) -> Iterator[str]:
    if num_bytes != commit.num_bytes:
        yield f"{num_bytes} bytes, its commit says {commit.num_bytes}"
    elif sha256_of(path) != commit.sha256:
        yield "its bytes have changed since it was written (sha256 differs)"


def _read(shard: Shard, task: AuditTask, count: _Count, problems: list[str]) -> None:
    """Read every sample; append what is wrong with any."""
    header = shard.header
    if task.plan is not None:
        problems += _check_header(header, task.plan)
    if header.kind == "indices" and header.codebook_size <= MAX_COUNTED_CODES:
        count.codebook = CodebookCounter(header.codebook_size)
    for sample in shard:
        count.add(sample)
        if len(problems) < MAX_PROBLEMS:
            problems += (f"sample {sample.key!r}: {each}" for each in check_sample(sample, header))


def _check_header(header: ShardHeader, plan: RunPlan) -> Iterator[str]:
    if header.plan_sha256 != plan.sha256:
        yield "belongs to another plan than its folder"
    elif header.model != plan.model:
        yield "names another model than its plan"
    elif "scheme" in plan.configuration and header.scheme != plan.configuration["scheme"]:
        yield "names another scheme than its plan"


def check_sample(sample: Sample, header: ShardHeader) -> Iterator[str]:
    """Yield what a sample's fields and its metadata do not agree on, one line each."""
    try:
        plan = plan_of(sample.meta, sample.key)
    except ShardError as error:
        yield str(error)
        return
    views = {*sample.indices, *sample.features, *sample.images}
    if plan is not None and views != {view.name for view in plan.views}:
        yield f"its views are {', '.join(sorted(views)) or 'none'}, its plan has others"
    elif not views:
        yield "it holds nothing"
    yield from _check_grids(sample, header.model.codes if header.model else None)
    dim = header.model.spec.get("dim") if header.model else None
    for view, features in sample.features.items():
        if type(dim) is int and features.shape[-1:] != (dim,):
            yield f"view {view} has features of shape {features.shape}, not of {dim} channels"
    if plan is not None:
        yield from _check_images(sample, plan)


def _check_grids(sample: Sample, codes: CodeShape | None) -> Iterator[str]:
    """Hold the shapes of indices against the metadata's grids, as the model's shape has them."""
    grids = sample.meta.get("token_grids")
    for view, indices in sample.indices.items():
        grid = grids.get(view) if isinstance(grids, dict) else None
        if not isinstance(grid, dict):
            continue
        sides: tuple[Any, Any] = (grid.get("rows"), grid.get("cols"))
        try:
            expected = (codes or CodeShape()).shape_of(Grid(rows=sides[0], cols=sides[1]))
        except (TypeError, ValueError):  # no grid, or not the scales' last one
            expected = ()
        if indices.shape != expected:
            yield f"view {view} has indices of shape {indices.shape}, its grid is {sides}"


def _check_images(sample: Sample, plan: Plan) -> Iterator[str]:
    """Hold the headers of images against the plan's sizes; no pixel is decoded."""
    sizes = {view.name: view.size for view in plan.views}
    for view, image in sample.images.items():
        try:
            found = read_header(image.data).size
        except SampleError as error:
            yield f"view {view} is no image: {error}"
            continue
        if view in sizes and found != sizes[view]:
            yield f"view {view} is {found}, its plan says {sizes[view]}"


def _check_counts(count: _Count, commit: CommitRecord) -> Iterator[str]:
    """Hold what was counted against what the commit record says."""
    ends = tuple(count.ends) or (None, None)
    pairs: Iterable[tuple[str, object, object]] = (
        ("samples", count.num_samples, commit.written),
        ("first and last key", ends, (commit.first_key, commit.last_key)),
        ("views", count.num_views, commit.num_views),
        ("tokens", count.num_tokens, commit.num_tokens),
        ("conversions", dict(count.conversions), dict(commit.conversions)),
    )
    for name, found, recorded in pairs:
        if found != recorded:
            yield f"{name}: {found}, its commit says {recorded}"
    if count.codebook is not None and count.codebook.counts != commit.codebook_counts:
        yield "how often its indices occur is not what its commit says"
    both = count.keys & {failure.key for failure in commit.failures}
    if both:
        yield f"sample {min(both)!r} is written, and its commit says that it failed"


def _check_referred(count: _Count, referred: Mapping[str, str]) -> Iterator[str]:
    """Require what duplicates refer to, and of the very same file."""
    for key, sha256 in referred.items():
        if key not in count.keys:
            yield f"sample {key!r} is not written, and a duplicate refers to it"
        elif count.digests.get(key) != sha256:
            yield f"sample {key!r} is of another file than a duplicate that refers to it"


def _without_path(message: str, path: str) -> str:
    """Return an error's message without the tar's path, which the report names, and its advice."""
    return message.removesuffix(f": {ADVICE}").replace(f"{path}: ", "").replace(path, "the tar")
