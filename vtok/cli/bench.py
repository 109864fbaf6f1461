"""`vtok bench`."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vtok.cli.flags.cut import CutFlags
from vtok.cli.flags.model import ModelFlags
from vtok.cli.flags.places import Input
from vtok.cli.flags.run import Decoding, DecodingChoice, Resizing, ResizingChoice, Workers
from vtok.cli.flags.talk import Json
from vtok.cli.interrupts import orderly_interrupts
from vtok.cli.talk import print_json
from vtok.quantities import counted

if TYPE_CHECKING:
    from vtok.pipelines.benchmarking.report import BenchReport


class TokensChoice(StrEnum):
    """What is made of the images."""

    CONTINUOUS = "continuous"
    VQ = "vq"


Tokens = Annotated[TokensChoice, typer.Option("--tokens", help="What is made of the images.")]
FakeDevice = Annotated[
    float | None,
    typer.Option(
        "--fake-device",
        metavar="MS",
        help="Instead of the model, a device that only waits, so many milliseconds a view: what "
        "this host could feed a GPU of that speed.",
    ),
]
Rounds = Annotated[
    int,
    typer.Option("--rounds", metavar="N", help="How often all is measured; medians are printed."),
]
BenchLimit = Annotated[
    int, typer.Option("--limit", metavar="N", help="Only the first N of the sorted input.")
]
Search = Annotated[
    bool,
    typer.Option("--search", help="Measure the search for the nearest code beside torch.cdist."),
]
BatchSizes = Annotated[
    bool,
    typer.Option(
        "--batch-sizes", help="Measure the model at batches of 1, 2, 4, ... views beside its own."
    ),
]
Timeline = Annotated[
    Path | None,
    typer.Option(
        "--timeline", metavar="PNG", help="Draw who was at work when in the last run; gaps wait."
    ),
]


@dataclass(frozen=True, slots=True)
class BenchFlags:
    """What is measured, and how often."""

    tokens: Tokens = TokensChoice.CONTINUOUS
    fake_device: FakeDevice = None
    limit: BenchLimit = 200
    rounds: Rounds = 3
    workers: Workers = None
    decoding: Decoding = DecodingChoice.EXACT
    resizing: Resizing = ResizingChoice.EXACT
    search: Search = False
    batch_sizes: BatchSizes = False
    timeline: Timeline = None
    json: Json = False


def bench(images: Input, model: ModelFlags, cut: CutFlags, flags: BenchFlags) -> None:
    """Measure what each stage costs on this machine, what a run costs, and what bounds it.

    Images are prepared, put through the model and written, each stage by itself and then all
    together in a temporary folder. Ratios carry over to other machines; seconds do not.

    Examples:
      vtok bench photos/
      vtok bench photos/ --tokens vq --device cuda --timeline overlap.png
      vtok bench photos/ --fake-device 1 --resizing fast --json
      vtok bench photos/ --search
      vtok bench photos/ --batch-sizes --scheme squash --tile-size 224
    """
    from vtok.pipelines.bench import bench as run_bench
    from vtok.pipelines.benchmarking.subject import BenchConfig  # brings torch

    config = BenchConfig(
        input=images,
        tokens=flags.tokens.value,
        model=model.config(),
        cut=cut.config(),
        fake_device_ms=flags.fake_device,
        limit=flags.limit,
        rounds=flags.rounds,
        workers=flags.workers,
        decoding=flags.decoding.value,
        resizing=flags.resizing.value,
        search=flags.search,
        batch_sizes=flags.batch_sizes,
    )
    with orderly_interrupts():
        report = run_bench(config)
    if flags.timeline is not None:
        from vtok.pipelines.benchmarking.picture import save_timeline

        save_timeline(report, flags.timeline)
    if flags.json:
        print_json(report.to_json())
        return
    for line in _lines(report):
        typer.echo(line)


def _lines(report: "BenchReport") -> Iterator[str]:
    """Yield the report as people read it."""
    from vtok.pipelines.benchmarking.verdict import verdict

    yield (
        f"{counted(report.num_images, 'image')}, {counted(report.num_views, 'view')}; "
        f"{counted(report.num_cores, 'core')}; model on {report.device} in {report.compute_dtype}"
    )
    rows = (
        ("decode and render", report.decode_ms, "CPU ms an image, one core"),
        ("model", report.model_ms, "ms an image, fed from memory"),
        ("write", report.write_ms, "CPU ms an image, one core"),
        ("run, wall", report.wall_s * 1000 / report.num_images, "ms an image, all together"),
        ("run, CPU", report.cpu_s * 1000 / report.num_images, "CPU ms an image, all processes"),
        ("run, own thread", report.serial_s * 1000 / report.num_images, "of it, on no other core"),
        ("its limit", report.limit_s * 1000 / report.num_images, "ms an image"),
    )
    for name, figure, unit in rows:
        yield f"  {name:20} {figure:9.2f}  {unit}"
    yield f"wall / limit            {report.wall_over_limit:.3f}"
    if report.cpu_over_stages is not None:
        yield f"CPU / (model + decode)  {report.cpu_over_stages:.3f}"
    if report.device_busy is not None:
        yield f"device busy             {report.device_busy:.1%}"
    yield f"cores to feed the model {report.cores_to_feed:.2f}"
    yield f"bottleneck              {report.times.bottleneck}"
    if report.matrix_share is not None and report.operations and report.matrix_rate:
        rate = report.operations / report.model_ms / 1e6
        yield (
            f"model / matrix rate     {report.matrix_share:.3f}  ({rate:.1f} of "
            f"{report.matrix_rate / 1e9:.1f} GFLOP/s in {report.compute_dtype}; "
            f"{report.operations / 1e9:.1f} GFLOP an image)"
        )
    yield from verdict(report)
    for size, cost in report.batch_costs.items():
        mine = f"; runs have {report.batch_size} a batch" if size == 1 else ""
        yield f"  batches of {size:<9} {cost:9.2f}  ms a view{mine}"
    for found in report.search:
        yield (
            f"search, 16,384 codes of {found.code_dim}: {found.search_s / found.cdist_s:.2f} of "
            f"torch.cdist().argmin(), {found.search_s / found.folded_s:.2f} of one product and "
            f"numpy.argmin; {found.seconds_of(65536):.2f} CPU seconds for 65,536 latents"
        )
