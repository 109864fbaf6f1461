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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vtok.engine.decoding import default_num_workers
from vtok.engine.forward import Forward
from vtok.engine.peak import batch_costs, count_operations, matrix_rate
from vtok.engine.preparation import Prepared
from vtok.engine.search_cost import search_costs
from vtok.engine.times import Span, StageTimes
from vtok.errors import InputError
from vtok.pipelines.benchmarking.report import BenchReport
from vtok.pipelines.benchmarking.subject import BenchConfig, Subject, subject_of
from vtok.pipelines.config.parts import RunConfig
from vtok.pipelines.inputs.items import list_inputs
from vtok.pipelines.running.recipe import Recipe
from vtok.pipelines.running.run import run_shards
from vtok.records import Size
from vtok.shards.header import ShardHeader
from vtok.shards.samples import Sample
from vtok.shards.writer import ShardWriter

STAGE_IMAGES = 64
MAX_SIZES = 4  # of views whose operations are counted, one by one
FAKE_SHARD = 128


def bench(config: BenchConfig) -> BenchReport:
    """Measure; progress is not told, since telling takes time.

    Raises:
        InputError: there are no images, or none that can be prepared.
        VtokError: as the encoders do.
    """
    subject = subject_of(config)
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
            raise InputError(f"no image among the first {len(tasks)} of {config.input} decodes")
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
class _Run:
    wall_s: float
    cpu_s: float
    serial_s: float
    device_busy_s: float | None
    num_images: int
    times: StageTimes
    began_s: float


def _run(config: BenchConfig, subject: Subject) -> _Run:
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


def _batch_costs(config: BenchConfig, subject: Subject) -> dict[int, float]:
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
