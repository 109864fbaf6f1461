"""Decoded pictures as files, named as their sources were, and `images.json`, written last.

In: a `DecodeWork`. Out: a folder of images, and the record of what lies where and of what could
not be decoded. An image appears whole or not at all; a shard some of whose images are missing is
decoded again whole, so that batches, and with them every byte, are those of an uninterrupted run.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from vtok.engine.decoding import default_num_workers
from vtok.engine.runner import Runner
from vtok.errors import OutputError
from vtok.io.files import make_folder, remove_partials, write_bytes
from vtok.io.json_files import read_json, write_json
from vtok.io.sources import SourceItem, open_source
from vtok.pipelines.decoding.restore import Pixels
from vtok.pipelines.decoding.samples import decode_samples
from vtok.pipelines.decoding.survey import Decoded, Picture
from vtok.pipelines.decoding.work import DecodedOutput
from vtok.pipelines.outputs.folder import Trust, output_folder
from vtok.pipelines.outputs.pictures import ImageCodec
from vtok.records import Failure
from vtok.shards.plan import PLAN_NAME, RunPlan
from vtok.shards.samples import Sample

RECORD_NAME = "images.json"


class FilesOutput(DecodedOutput):
    """A folder of image files."""

    def plan(self) -> RunPlan:
        """Return the plan of the run."""
        return self.work.plan(shard_size=self.work.found.num_samples)

    def write(self) -> tuple[int, tuple[Failure, ...]]:
        """Decode what is missing; return how many samples that was, and all failures.

        Raises:
            VtokError: as `vtok.pipelines.decode_vq.decode_vq` says.
        """
        overwrite, begun = self.work.config.overwrite, (self.folder / PLAN_NAME).exists()
        if not begun:
            self._refuse_to_write_over()
        self.work.require_model(self.folder)
        if begun and overwrite:
            self._remove_ours()
        with output_folder(self.folder, self.plan(), Trust(overwrite=overwrite)):
            return self._write_missing()

    def items(self) -> Iterator[tuple[Picture, SourceItem]]:
        """Yield the pictures that are there, and where."""
        for each in self.work.found.decoded:
            for picture in each.pictures:
                if (self.folder / picture.file).exists():
                    yield picture, next(open_source(str(self.folder / picture.file)).list())

    def _there(self) -> Iterator[Path]:
        """Yield where pictures would go and something is."""
        for each in self.work.found.decoded:
            for picture in each.pictures:
                path = self.folder / picture.file
                if path.is_symlink() or path.exists():
                    yield path

    def _refuse_to_write_over(self) -> None:
        """Refuse to write over images that are there.

        Raises:
            OutputError: one is.
        """
        for path in self._there():
            raise OutputError(f"{path} is there already, and not by decode-vq: name another folder")

    def _remove_ours(self) -> None:
        """Remove the images of a run of ours, and its record."""
        for path in self._there():
            path.unlink()
        (self.folder / RECORD_NAME).unlink(missing_ok=True)

    def _write_missing(self) -> tuple[int, tuple[Failure, ...]]:
        self._remove_partials()
        failures = self._recorded_failures()
        failed = {failure.key for failure in failures or ()}
        missing = [
            (shard, decoded)
            for shard, decoded in self.work.found.shards
            if any(not self._is_done(each, failed) for each in decoded)
        ]
        if not missing and failures is not None:
            return 0, failures
        num_samples = sum(len(decoded) for _, decoded in missing)
        self.progress.begin(num_shards=len(missing), num_images=num_samples)
        made: list[Failure] = []
        if missing:
            with (
                self.work.runner() as runner,
                _Pen(self.folder, self.work.codec, self.work.config.workers) as pen,
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
            for each in self.work.found.decoded
            for picture in each.pictures
        }
        for parent in parents:
            # Nothing is removed where nothing would be written: behind a link out of the folder.
            if parent.is_dir() and parent.resolve().is_relative_to(self.folder.resolve()):
                remove_partials(parent)

    def _decode(
        self, shard: Iterable[Sample], decoded: Sequence[Decoded], runner: Runner, pen: "_Pen"
    ) -> Iterator[Failure]:
        """Decode one shard; yield what could not be."""
        for made in decode_samples(shard, decoded, runner, self.work.codec):
            if isinstance(made, Failure):
                self.progress.failed(made)
                yield made
                continue
            for picture, pixels in made.pictures:
                pen.write(Path(picture.file), pixels)
            self.progress.written()

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
            for each in self.work.found.decoded
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


class _Pen:
    """Encodes and writes images in threads, a few ahead, while the model works."""

    def __init__(self, folder: Path, codec: ImageCodec, num_threads: int | None) -> None:
        self._folder = folder
        self._codec = codec
        self._num_threads = num_threads or default_num_workers()
        self._pool = ThreadPoolExecutor(self._num_threads, thread_name_prefix="vtok-write")
        self._pending: deque[Future[None]] = deque()
        self._changed = threading.Condition()
        self._num_writing = 0
        self._has_ended = False

    def __enter__(self) -> "_Pen":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self._settle(0)
        finally:
            try:
                self._end()
            finally:  # again, if an interrupt came in the midst; the next ends the process
                self._end()

    def _end(self) -> None:
        """Let no file be begun any more, and wait for those that are.

        The pool alone does not: an interrupt that comes while it starts a thread leaves one that it
        knows nothing of, with an image in its hands.
        """
        with self._changed:
            self._has_ended = True
            self._changed.wait_for(lambda: not self._num_writing)
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
        with self._changed:
            if self._has_ended:
                return
            self._num_writing += 1
        try:
            self._write_whole(file, pixels)
        finally:
            with self._changed:
                self._num_writing -= 1
                self._changed.notify_all()

    def _write_whole(self, file: Path, pixels: Pixels) -> None:
        path = self._folder / file
        make_folder(path.parent)
        if not path.parent.resolve().is_relative_to(self._folder.resolve()):
            raise OutputError(f"{path.parent} is a link out of {self._folder}: remove it")
        write_bytes(path, self._codec.encode(pixels))
