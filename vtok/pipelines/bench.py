"""`vtok bench`: what each stage costs by itself, what a run costs, and what bounds it.

In: images and a model, or a fake device of so many milliseconds a view. Out: medians of rounds in
which all stages take turns, so that a busy machine falls on all of them; ratios, for these carry
over to other machines. A run of the benchmark is a run of the encoders, into a temporary folder.
Knows nothing of how figures are shown.
"""

import os
import resource
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from vtok.engine.coding import TokenizeForward
from vtok.engine.decoding import default_num_workers
from vtok.engine.fake_device import MAX_VIEWS, FakeForward
from vtok.engine.forward import Forward
from vtok.engine.peak import batch_costs, count_operations, matrix_rate
from vtok.engine.preparation import Outcome, Preparation, Prepared
from vtok.engine.runner import EncodedSample, Runner
from vtok.engine.search_cost import search_costs
from vtok.engine.times import Span, StageTimes
from vtok.errors import InputError, UsageError
from vtok.models import registry
from vtok.pipelines.bench_report import BenchReport, Tokens
from vtok.pipelines.config import CutConfig, Decoding, ModelConfig, Resizing, RunConfig
from vtok.pipelines.cut import default_scheme, scheme_for, scheme_record
from vtok.pipelines.describe import describe
from vtok.pipelines.encode_continuous import FeatureMaker
from vtok.pipelines.encode_vq import IndexMaker
from vtok.pipelines.encoding import LIBRARIES, Placement, typical_view
from vtok.pipelines.inputs import list_inputs
from vtok.pipelines.models import needs_of, record_of
from vtok.pipelines.recipe import Recipe
from vtok.pipelines.run import run_shards
from vtok.pipelines.shard_worker import MakesSamples
from vtok.records import Failure, Size
from vtok.resolution import Scheme, SchemeOptions
from vtok.shards.header import ModelRecord, ShardHeader
from vtok.shards.samples import Sample
from vtok.shards.writer import ShardWriter

STAGE_IMAGES = 64
MAX_SIZES = 4  # of views whose operations are counted, one by one
FAKE_SHARD = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchConfig:
    """`vtok bench`.

    Attributes:
        input: The images.
        tokens: What is made of them.
        model: The model.
        cut: How images are cut; one square for a fake device if nothing is said.
        fake_device_ms: Milliseconds a view of a device that only waits; None for the real model.
        limit: Only the first so many images.
        rounds: How often everything is measured.
        workers: As in `RunConfig`.
        decoding: Likewise.
        resizing: Likewise.
        search: Compare the search for the nearest code with `torch.cdist` too.
        batch_sizes: Measure the model at several sizes of batches too.
    """

    input: str
    tokens: Tokens = "continuous"
    model: ModelConfig = field(default_factory=ModelConfig)
    cut: CutConfig = field(default_factory=CutConfig)
    fake_device_ms: float | None = None
    limit: int = 200
    rounds: int = 3
    workers: int | None = None
    decoding: Decoding = "exact"
    resizing: Resizing = "exact"
    search: bool = False
    batch_sizes: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if self.limit < 1 or self.rounds < 1:
            raise UsageError("--limit and --rounds must be at least 1")
        if self.fake_device_ms is not None and self.fake_device_ms < 0:
            raise UsageError(f"--fake-device must be at least 0 ms, not {self.fake_device_ms}")


def bench(config: BenchConfig) -> BenchReport:
    """Measure; progress is not told, since telling takes time.

    Raises:
        InputError: there are no images, or none that can be prepared.
        VtokError: as the encoders do.
    """
    subject = _fake(config) if config.fake_device_ms is not None else _real(config)
    items = list_inputs(config.input, config.limit)
    tasks = list(items.tasks(range(min(STAGE_IMAGES, len(items.items)))))
    preparation = subject.preparation
    decode, model, write = [], [], []
    rates: list[float] = []
    operations: float | None = None
    runs: list[_Run] = []
    for _ in range(config.rounds):
        seconds, outcomes = _cpu_seconds(lambda: list(map(preparation.prepare, tasks)))
        prepared = [each for each in outcomes if isinstance(each, Prepared)]
        if not prepared:
            raise InputError(f"none of the first {len(tasks)} images of {config.input} decodes")
        decode.append(seconds * 1000 / len(tasks))
        seconds, samples = subject.encode(prepared)
        model.append(seconds * 1000 / len(prepared))
        write.append(_store(subject.recipe, samples) * 1000 / len(samples))
        if subject.forward is not None:
            rates.append(matrix_rate(subject.forward.device, subject.forward.dtype))
            operations = operations or _operations(subject.forward, prepared)
        runs.append(_run(config, subject))
    last = runs[-1]
    return BenchReport(
        num_images=last.num_images,
        num_views=last.times.num_views,
        num_cores=default_num_workers(),
        device=subject.device,
        compute_dtype=subject.compute_dtype,
        decode_ms=statistics.median(decode),
        model_ms=statistics.median(model),
        write_ms=statistics.median(write),
        wall_s=statistics.median(run.wall_s for run in runs),
        cpu_s=statistics.median(run.cpu_s for run in runs),
        serial_s=statistics.median(run.serial_s for run in runs),
        device_busy=(
            None
            if last.device_busy_s is None
            else statistics.median((run.device_busy_s or 0) / run.wall_s for run in runs)
        ),
        times=last.times,
        began_s=last.began_s,
        tokens=config.tokens,
        operations=operations,
        matrix_rate=statistics.median(rates) if rates else None,
        batch_costs=_batch_costs(config, subject),
        batch_size=subject.batch_size,
        search=tuple(search_costs(config.rounds)) if config.search else (),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What is measured: a recipe whose model is loaded, and how its device's time is known.

    Attributes:
        forward: The model as it is, not compiled; None for a fake device.
        view: Size of a typical view.
        batch_size: Views of that size a batch.
    """

    recipe: Recipe
    preparation: Preparation
    device: str
    compute_dtype: str
    is_on_host: bool
    busy_s: Callable[[StageTimes], float]
    forward: Forward | None = None
    view: Size | None = None
    batch_size: int | None = None

    def encode(self, prepared: Sequence[Prepared]) -> tuple[float, list[Sample]]:
        """Return the model's own seconds for these images, one batch at a time, and samples."""
        times = StageTimes()
        before = self.busy_s(times)
        with closing(self.recipe.open_maker(times)) as maker:
            made = list(maker.samples(prepared))
        seconds = times.model_cpu_s if self.is_on_host else self.busy_s(times) - before
        return seconds, [each for each in made if isinstance(each, Sample)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    wall_s: float
    cpu_s: float
    serial_s: float
    device_busy_s: float | None
    num_images: int
    times: StageTimes
    began_s: float


def _run(config: BenchConfig, subject: _Subject) -> _Run:
    """Encode all images into a folder that goes again."""
    spans: list[Span] = []
    with tempfile.TemporaryDirectory(prefix="vtok-bench-") as folder:
        run = RunConfig(
            input=config.input,
            output=Path(folder) / "out",
            limit=config.limit,
            workers=config.workers,
            decoding=config.decoding,
            resizing=config.resizing,
            shard_size=FAKE_SHARD,
        )
        # What was written before is not this run's to bring to the disk.
        os.sync()
        cpu, began, busy = _all_cpu(), time.monotonic(), subject.busy_s(StageTimes())
        serial = time.thread_time()
        report = run_shards(subject.recipe, run, spans=spans)
        serial = time.thread_time() - serial
        wall = time.monotonic() - began
        return _Run(
            wall_s=wall,
            cpu_s=_all_cpu() - cpu,
            serial_s=serial,
            device_busy_s=None if subject.is_on_host else subject.busy_s(report.times) - busy,
            num_images=report.num_images,
            times=report.times,
            began_s=began,
        )


def _real(config: BenchConfig) -> _Subject:
    is_vq = config.tokens == "vq"
    placement = Placement.of(config.model, "indices" if is_vq else "features")
    maker: Callable[[StageTimes], MakesSamples]
    if is_vq:
        tokenizer = registry.load_tokenizer(config.model.name)
        record = record_of(tokenizer)
    else:
        encoder = registry.load_encoder(config.model.name)
        record = record_of(encoder)
    needs = needs_of(record)
    scheme = scheme_for(config.cut, default_scheme(needs), needs)
    forward: Forward
    if is_vq:
        forward = TokenizeForward(tokenizer, device=placement.device, dtype=placement.dtype)
        placed = placement.measured(forward, scheme)
        maker = partial(IndexMaker, tokenizer, needs, placed)
    else:
        forward = placement.features(encoder)
        placed = placement.measured(forward, scheme)
        maker = partial(FeatureMaker, encoder, needs, replace(placed, is_half=True))
    on_host = placement.device.type == "cpu"
    view = typical_view(scheme)
    preparation = _preparation(config, scheme)
    return _Subject(
        recipe=_recipe(is_vq, preparation, record, maker),
        preparation=preparation,
        device=str(placement.device),
        compute_dtype=str(placement.dtype).removeprefix("torch."),
        is_on_host=on_host,
        busy_s=lambda times: times.model_busy_s,
        forward=forward,
        view=view,
        batch_size=placed.batch_size or (placed.batch_pixels or 0) // view.num_pixels,
    )


def _fake(config: BenchConfig) -> _Subject:
    assert config.fake_device_ms is not None
    is_vq = config.tokens == "vq"
    forward = FakeForward(config.fake_device_ms / 1000, is_vq=is_vq)
    cut = config.cut
    if cut.scheme is None:
        side = 256 if is_vq else 336
        cut = CutConfig(scheme="squash", options=SchemeOptions(tile_size_px=side, patch_px=4))
    scheme = scheme_for(cut, "squash")
    record = ModelRecord(
        name="fake-device",
        family="fake",
        weights_sha256="0" * 64,
        codebook_size=16384 if is_vq else None,
    )
    preparation = _preparation(config, scheme)
    return _Subject(
        recipe=_recipe(is_vq, preparation, record, lambda times: _FakeMaker(forward, is_vq, times)),
        preparation=preparation,
        device=f"fake, {config.fake_device_ms:g} ms a view",
        compute_dtype="none",
        is_on_host=False,
        busy_s=lambda _: forward.busy_s,
    )


def _preparation(config: BenchConfig, scheme: Scheme) -> Preparation:
    return Preparation(scheme=scheme, decoding=config.decoding, resizing=config.resizing)


def _recipe(
    is_vq: bool,
    preparation: Preparation,
    record: ModelRecord,
    maker: Callable[[StageTimes], MakesSamples],
) -> Recipe:
    return Recipe(
        command="encode-vq" if is_vq else "encode-continuous",
        kind="indices" if is_vq else "features",
        configuration={"scheme": scheme_record(preparation.scheme)},
        preparation=preparation,
        open_maker=maker,
        libraries=LIBRARIES,
        model=record,
        feature_dtype=None if is_vq else "float16",
    )


class _FakeMaker:
    """Samples of whatever the fake device returns."""

    def __init__(self, forward: FakeForward, is_vq: bool, times: StageTimes) -> None:
        self._is_vq = is_vq
        self._runner = Runner(forward, batch_size=MAX_VIEWS // 4, num_lanes=1, times=times)

    def samples(self, outcomes: Iterable[Outcome | None]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for every outcome; None ends a shard."""
        for each in self._runner.encode(outcomes):
            yield self._sample(each) if isinstance(each, EncodedSample) else each

    def close(self) -> None:
        """End the thread of the device."""
        self._runner.close()

    def _sample(self, encoded: EncodedSample) -> Sample:
        meta = describe(encoded.task, encoded.facts)
        if self._is_vq:
            return Sample(key=encoded.task.key, meta=meta, indices=encoded.arrays)
        return Sample(key=encoded.task.key, meta=meta, features=encoded.arrays)


def _store(recipe: Recipe, samples: Sequence[Sample]) -> float:
    """Return the CPU seconds that it takes to write these samples."""
    header = ShardHeader(
        kind=recipe.kind,
        layout=recipe.layout,
        plan_sha256="0" * 64,
        model=recipe.model,
        feature_dtype=recipe.feature_dtype,
        scheme=recipe.configuration["scheme"],
    )
    with (
        tempfile.TemporaryDirectory(prefix="vtok-bench-") as folder,
        ShardWriter(Path(folder) / "shard.tar", header) as writer,
    ):
        began = time.process_time()
        for sample in samples:
            writer.add(sample)
        return time.process_time() - began


def _operations(forward: Forward, prepared: Sequence[Prepared]) -> float | None:
    """Return the model's operations for an image; None where views have many sizes."""
    shapes = Counter(view.shape for image in prepared for view in image.views)
    if len(shapes) > MAX_SIZES:
        return None
    total = 0
    for (height, width, _), num_views in shapes.items():
        total += num_views * count_operations(forward, Size(height=height, width=width))
    return total / len(prepared)


def _batch_costs(config: BenchConfig, subject: _Subject) -> dict[int, float]:
    if not config.batch_sizes or subject.forward is None or subject.view is None:
        return {}
    return dict(batch_costs(subject.forward, subject.view))


def _cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def _all_cpu() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
