"""Decoded pictures as a WebDataset of images: shards that commit, resume and verify as others do.

In: a `DecodeWork`. Out: an output folder of tars: a picture under the key that its indices had, the
captions that came with these, and in the metadata where it comes from and how it was cut. A sample
of one picture has it as `png` (`jpg`, `webp`), one of several crops as `<view>.png`.
"""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from vtok.engine.decoding import default_num_workers
from vtok.engine.runner import Runner
from vtok.errors import ShardError
from vtok.io.sources import SourceItem
from vtok.io.sources.archives import Archive, ArchiveItem
from vtok.io.tar import iter_members
from vtok.pipelines.decoding.restore import plan_of
from vtok.pipelines.decoding.samples import Shown, decode_samples
from vtok.pipelines.decoding.survey import Decoded, Picture
from vtok.pipelines.decoding.work import DecodedOutput
from vtok.pipelines.outputs.failure_list import listing_failures
from vtok.pipelines.outputs.folder import Trust, output_folder
from vtok.pipelines.outputs.pictures import ImageCodec
from vtok.pipelines.outputs.progress import Progress
from vtok.records import Failure
from vtok.shards.commit import CommitRecord, Tally, commit_shard
from vtok.shards.fields import IMAGE_FORMATS, WHOLE, image_field
from vtok.shards.header import ShardHeader
from vtok.shards.keys import HEADER_MEMBER, split_member
from vtok.shards.manifest import finish_run
from vtok.shards.plan import RunPlan, shard_name
from vtok.shards.samples import ImageBytes, Sample
from vtok.shards.writer import ShardWriter

OUTPUT_FORMAT = "webdataset"
_KEPT = ("source", "sha256", "metadata")
"""Of the metadata of indices, what holds of the decoded picture too."""


class ShardsOutput(DecodedOutput):
    """A folder of shards of images."""

    def plan(self) -> RunPlan:
        """Return the plan of the run."""
        return self.work.plan(shard_size=self.work.config.shard_size, output_format=OUTPUT_FORMAT)

    def write(self) -> tuple[int, tuple[Failure, ...]]:
        """Decode what is missing; return how many samples that was, and all failures.

        Raises:
            VtokError: as `vtok.pipelines.decode_vq.decode_vq` says.
        """
        plan = self.plan()
        self.work.require_model(self.folder)
        with output_folder(self.folder, plan, Trust(overwrite=self.work.config.overwrite)) as state:
            commits = list(state.committed.values())
            missing = [shard for shard in range(plan.num_shards) if shard not in state.committed]
            num_samples = sum(len(plan.shard_range(shard)) for shard in missing)
            with listing_failures(self.folder, commits, self.progress) as heard:
                if missing:
                    heard.begin(num_shards=len(missing), num_images=num_samples)
                    with self.work.runner() as runner:
                        for commit in self._make(plan, set(missing), runner, heard):
                            commits.append(commit)
                            heard.shard_done()
            finish_run(self.folder, plan, commits)
        commits.sort(key=lambda commit: commit.shard)
        return num_samples, tuple(each for commit in commits for each in commit.failures)

    def items(self) -> Iterator[tuple[Picture, SourceItem]]:
        """Yield the pictures that are there, and where."""
        plan, targets = self.plan(), self.work.found.decoded
        image_format = self.work.codec.format
        for shard in range(plan.num_shards):
            wanted = {
                (each.origin.key, image_field(_view(each, picture), image_format)): picture
                for each in itertools.islice(targets, len(plan.shard_range(shard)))
                for picture in each.pictures
            }
            path = self.folder / shard_name(shard)
            facts = path.stat()
            archive = Archive(str(path), facts.st_size, facts.st_mtime_ns)
            with path.open("rb") as file:
                for member in iter_members(file, num_bytes=facts.st_size, source=str(path)):
                    if member.name == HEADER_MEMBER:
                        continue
                    key, field = split_member(member.name)
                    picture = wanted.get((key, field))
                    if picture is not None:
                        yield picture, ArchiveItem(archive, key, member, ())

    def _make(
        self, plan: RunPlan, missing: set[int], runner: Runner, progress: Progress
    ) -> Iterator[CommitRecord]:
        """Make the missing shards; what is in the others is read and passed over."""
        header = ShardHeader(kind="images", plan_sha256=plan.sha256, model=plan.model)
        found = self.work.found
        samples = itertools.chain.from_iterable(
            itertools.islice(shard, len(decoded)) for shard, decoded in found.shards
        )
        targets = found.decoded
        for shard in range(plan.num_shards):
            count = len(plan.shard_range(shard))
            ours = list(itertools.islice(targets, count))
            group = itertools.islice(samples, count)
            if shard not in missing:
                deque(group, maxlen=0)
                continue
            yield self._make_one(plan, shard, header, group, ours, runner, progress)

    def _make_one(
        self,
        plan: RunPlan,
        shard: int,
        header: ShardHeader,
        samples: Iterable[Sample],
        targets: Sequence[Decoded],
        runner: Runner,
        progress: Progress,
    ) -> CommitRecord:
        failures: list[Failure] = []
        num_views = 0
        num_threads = self.work.config.workers or default_num_workers()
        made = decode_samples(samples, targets, runner, self.work.codec)
        with ShardWriter(self.folder / shard_name(shard), header) as writer:
            for each in _encoded(made, self.work.codec, num_threads):
                failure = each if isinstance(each, Failure) else _add(writer, each)
                if failure is not None:
                    failures.append(failure)
                    progress.failed(failure)
                elif isinstance(each, Sample):
                    num_views += len(each.images)
                    progress.written()
        tally = Tally(failures=tuple(failures), num_views=num_views)
        return commit_shard(self.folder, plan, shard, writer.written, tally)


def _encoded(
    made: Iterable[Shown | Failure], codec: ImageCodec, num_threads: int
) -> Iterator[Sample | Failure]:
    """Yield samples of encoded pictures, in order, a few of them encoded ahead in threads."""
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="vtok-write")
    pending: deque[Future[Sample] | Failure] = deque()

    def settled(most: int) -> Iterator[Sample | Failure]:
        while len(pending) > most:
            each = pending.popleft()
            yield each if isinstance(each, Failure) else each.result()

    try:
        for each in made:
            pending.append(each if isinstance(each, Failure) else pool.submit(_sample, each, codec))
            yield from settled(2 * num_threads)
        yield from settled(0)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _sample(shown: Shown, codec: ImageCodec) -> Sample:
    told = shown.sample.meta
    meta: dict[str, Any] = {name: told[name] for name in _KEPT if name in told}
    plan = plan_of(told, shown.sample.key)
    if plan is not None:
        meta["cut"] = plan.to_json()
    pictures = {_view(shown.target, picture): pixels for picture, pixels in shown.pictures}
    meta["pictures"] = {
        view: {"height": pixels.shape[0], "width": pixels.shape[1]}
        for view, pixels in pictures.items()
    }
    return Sample(
        key=shown.sample.key,
        meta=meta,
        images={
            view: ImageBytes(codec.format, codec.encode(pixels))
            for view, pixels in pictures.items()
        },
        sidecars={
            name: data for name, data in shown.sample.sidecars.items() if name not in IMAGE_FORMATS
        },
    )


def _view(target: Decoded, picture: Picture) -> str:
    """Return what a picture is called in its sample."""
    is_alone = len(target.pictures) == 1 or picture.view is None
    return WHOLE if is_alone or picture.view is None else picture.view


def _add(writer: ShardWriter, sample: Sample) -> Failure | None:
    """Write a sample; return its failure if it cannot be stored, which leaves no trace."""
    try:
        writer.add(sample)
    except ShardError as error:
        return Failure(
            key=sample.key,
            source=str(sample.meta.get("source", "")),
            stage="write",
            reason="unstorable",
            message=" ".join(str(error).split()),
        )
    return None
