"""`vtok decode-vq`: shards of indices back to images, by the model that the shards name.

In: a `DecodeVqConfig`. Out: a folder of images, named as their sources were, and `images.json`,
which is written last: what lies where, and what could not be decoded. An image appears whole or
not at all; a shard some of whose images are missing is decoded again whole, so that batches, and
with them every byte, are those of an uninterrupted run.
"""

import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from vtok.engine.decoding import default_num_workers
from vtok.engine.forward import DecodeForward
from vtok.engine.runner import Runner
from vtok.engine.times import StageTimes
from vtok.errors import (
    FinishedWithFailuresError,
    ImageTooLargeError,
    NonFiniteError,
    OutputError,
    SampleError,
)
from vtok.interruption import raise_if_interrupted
from vtok.io.files import make_folder, read_json, remove_partials, write_bytes, write_json
from vtok.pipelines.compare import compare
from vtok.pipelines.config import DecodeVqConfig, ModelConfig
from vtok.pipelines.encoding import LIBRARIES, Placement
from vtok.pipelines.inputs import list_inputs
from vtok.pipelines.models import load_recorded_tokenizer
from vtok.pipelines.outcome import DecodeReport
from vtok.pipelines.outputs import check_output, output_folder
from vtok.pipelines.pictures import ImageCodec
from vtok.pipelines.progress import Progress, Silence
from vtok.pipelines.restore import Pixels, plan_of, restore
from vtok.pipelines.run import versions
from vtok.pipelines.survey import Decoded, Survey, ordered_views, survey
from vtok.records import Failure, Stage
from vtok.shards.plan import PLAN_NAME, RunPlan
from vtok.shards.reader import Shard
from vtok.shards.samples import Sample
from vtok.shards.shardset import open_shards

RECORD_NAME = "images.json"
Array = npt.NDArray[Any]


def decode_vq(config: DecodeVqConfig, progress: Progress | None = None) -> DecodeReport:
    """Decode shards of indices into images, and compare these with the originals if asked to.

    Raises:
        ShardError: a shard is damaged, or holds no indices; nothing is written then.
        UnknownNameError: the model that the shards name is not here.
        WeightsError: it is, with other weights.
        PlanMismatchError: the folder was begun with another plan.
        OutputError: the folder cannot be written, or an image that vtok did not write is there.
        FinishedWithFailuresError: nothing could be decoded.
    """
    progress = progress or Silence()
    check_output(config.output, config.shards)
    shown = ModelConfig(
        device=config.device, compute_dtype=config.compute_dtype, batch_size=config.batch_size
    )
    placement = Placement.of(shown, "pixels")
    codec = ImageCodec.of(config.image)
    originals = None if config.reference is None else list_inputs(config.reference)
    found = survey(open_shards(config.shards), config.limit, codec.format)
    began = time.monotonic()
    job = _Job(config.output, found, codec, placement, config, progress)
    if not (config.output / PLAN_NAME).exists() or config.overwrite:
        job.clear(may_remove=config.overwrite and (config.output / PLAN_NAME).exists())
    with output_folder(config.output, job.plan(), overwrite=config.overwrite):
        num_decoded, failures = job.run()
    seconds = time.monotonic() - began
    comparison = None
    if originals is not None:
        comparison = compare(
            tuple(found.decoded), config.output, originals, num_workers=config.workers
        )
    if len(failures) == found.num_samples:
        raise FinishedWithFailuresError(
            f"all {len(failures)} samples failed; the last: {failures[-1].message}"
        )
    return DecodeReport(
        output=config.output,
        planned=found.num_samples,
        written=found.num_samples - len(failures),
        num_files=sum(
            (config.output / picture.file).exists()
            for each in found.decoded
            for picture in each.pictures
        ),
        num_decoded=num_decoded,
        seconds=seconds,
        failures=failures,
        comparison=comparison,
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """One call's work."""

    folder: Path
    found: Survey
    codec: ImageCodec
    placement: Placement
    config: DecodeVqConfig
    progress: Progress

    def plan(self) -> RunPlan:
        return RunPlan(
            command="decode-vq",
            inputs_sha256=self.found.sha256,
            num_samples=self.found.num_samples,
            shard_size=self.found.num_samples,
            configuration={
                "image": {"format": self.codec.format, "quality": self.codec.quality},
                **self.placement.to_json(),
            },
            model=self.found.header.model,
            versions=versions(LIBRARIES),
            about={"shards": self.config.shards},
        )

    def clear(self, *, may_remove: bool) -> None:
        """Refuse to write over images that are there, or remove those of a run of ours."""
        for each in self.found.decoded:
            for picture in each.pictures:
                path = self.folder / picture.file
                if not path.is_symlink() and not path.exists():
                    continue
                if not may_remove:
                    raise OutputError(
                        f"{path} is there already, and not by decode-vq: name another folder"
                    )
                path.unlink()
        if may_remove:
            (self.folder / RECORD_NAME).unlink(missing_ok=True)

    def run(self) -> tuple[int, tuple[Failure, ...]]:
        """Decode what is missing; return how many samples that was, and all failures."""
        self._remove_partials()
        failures = self._recorded_failures()
        failed = {failure.key for failure in failures or ()}
        missing = [
            (shard, decoded)
            for shard, decoded in self.found.shards
            if any(not self._is_done(each, failed) for each in decoded)
        ]
        if not missing and failures is not None:
            return 0, failures
        num_samples = sum(len(decoded) for _, decoded in missing)
        self.progress.begin(num_shards=len(missing), num_images=num_samples)
        made: list[Failure] = []
        if missing:
            record = self.found.header.model
            assert record is not None  # a header of indices has one
            tokenizer = load_recorded_tokenizer(record, self.config.model, self.config.family)
            forward = DecodeForward(
                tokenizer, device=self.placement.device, dtype=self.placement.dtype
            )
            runner = self.placement.runner(forward, StageTimes())
            with (
                closing(runner),
                _Pen(self.folder, self.codec, self.config.workers) as pen,
            ):
                for shard, decoded in missing:
                    made += self._decode(shard, decoded, runner, pen)
                    self.progress.shard_done()
        again = {failure.key for failure in made}
        kept = [failure for failure in failures or () if failure.key not in again]
        all_failures = (*kept, *made)
        self._write_record(all_failures)
        return num_samples, all_failures

    def _remove_partials(self) -> None:
        """Remove what a killed run left in the folders that images go to."""
        parents = {
            (self.folder / picture.file).parent
            for each in self.found.decoded
            for picture in each.pictures
        }
        for parent in parents:
            # Nothing is removed where nothing would be written: behind a link out of the folder.
            if parent.is_dir() and parent.resolve().is_relative_to(self.folder.resolve()):
                remove_partials(parent)

    def _decode(
        self, shard: Shard, decoded: Sequence[Decoded], runner: Runner, pen: "_Pen"
    ) -> Iterator[Failure]:
        """Decode one shard; yield what could not be."""
        waiting: deque[Sample] = deque()

        def arrays() -> Iterator[Array]:
            for sample in itertools.islice(shard, len(decoded)):
                waiting.append(sample)
                for view in ordered_views(sample, plan_of(sample.meta, sample.key)):
                    yield sample.indices[view]

        results = runner.decode(arrays())
        targets = iter(decoded)
        while (first := next(results, None)) is not None:
            sample, target = waiting.popleft(), next(targets)
            views = [first, *itertools.islice(results, len(sample.indices) - 1)]
            errors = [view for view in views if isinstance(view, NonFiniteError)]
            raise_if_interrupted()
            if errors:
                yield self._failed(sample, target, "model", errors[0])
                continue
            pictures = _pictures(sample, target, [np.asarray(view) for view in views])
            try:
                for pixels in pictures.values():
                    self.codec.check(pixels)
            except ImageTooLargeError as error:
                yield self._failed(sample, target, "write", error)
                continue
            for file, pixels in pictures.items():
                pen.write(Path(file), pixels)
            self.progress.written()

    def _failed(self, sample: Sample, target: Decoded, stage: Stage, error: SampleError) -> Failure:
        failure = Failure(
            key=sample.key,
            source=target.origin.source or "",
            stage=stage,
            reason=error.reason,
            message=str(error),
        )
        self.progress.failed(failure)
        return failure

    def _is_done(self, decoded: Decoded, failed: set[str]) -> bool:
        return decoded.origin.key in failed or all(
            (self.folder / picture.file).is_file() for picture in decoded.pictures
        )

    def _recorded_failures(self) -> tuple[Failure, ...] | None:
        """Return the failures of a run that has ended, None of one that has not."""
        path = self.folder / RECORD_NAME
        if not path.exists():
            return None
        return tuple(Failure(**each) for each in read_json(path).get("failures", ()))

    def _write_record(self, failures: Iterable[Failure]) -> None:
        failures = tuple(failures)
        failed = {failure.key for failure in failures}
        images = [
            {
                "key": each.origin.key,
                "source": each.origin.source,
                "files": [str(picture.file) for picture in each.pictures],
            }
            for each in self.found.decoded
            if each.origin.key not in failed
        ]
        record = {
            "format": "vtok-images",
            "version": 1,
            "plan_sha256": self.plan().sha256,
            "images": images,
            "failures": [failure.to_json() for failure in failures],
        }
        write_json(self.folder / RECORD_NAME, record)


def _pictures(
    sample: Sample, target: Decoded, views: Sequence[Pixels]
) -> dict[PurePosixPath, Pixels]:
    """Return the pixels of every image file of a sample."""
    plan = plan_of(sample.meta, sample.key)
    names = ordered_views(sample, plan)
    pictures: dict[PurePosixPath, Pixels] = {}
    for picture in target.pictures:
        if picture.view is not None:
            pictures[picture.file] = views[names.index(picture.view)]
        else:
            whole = views[0] if plan is None else restore(plan, views, key=sample.key)
            pictures[picture.file] = whole
    return pictures


class _Pen:
    """Encodes and writes images in threads, a few ahead, while the model works."""

    def __init__(self, folder: Path, codec: ImageCodec, num_threads: int | None) -> None:
        self._folder = folder
        self._codec = codec
        self._num_threads = num_threads or default_num_workers()
        self._pool = ThreadPoolExecutor(self._num_threads, thread_name_prefix="vtok-write")
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> "_Pen":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._settle(0)
        finally:  # an interrupt comes while futures are waited for, which may be done again
            self._pool.shutdown(wait=True, cancel_futures=True)

    def write(self, file: Path, pixels: Pixels) -> None:
        """Take an image to be written; wait if too many are.

        Raises:
            OutputError: this or an earlier one cannot be written.
        """
        self._settle(2 * self._num_threads)
        self._pending.append(self._pool.submit(self._write, file, pixels))

    def _settle(self, num_left: int) -> None:
        while len(self._pending) > num_left:
            self._pending.popleft().result()

    def _write(self, file: Path, pixels: Pixels) -> None:
        path = self._folder / file
        make_folder(path.parent)
        if not path.parent.resolve().is_relative_to(self._folder.resolve()):
            raise OutputError(f"{path.parent} is a link out of {self._folder}: remove it")
        write_bytes(path, self._codec.encode(pixels))
