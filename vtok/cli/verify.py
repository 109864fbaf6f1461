"""`vtok verify`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from vtok.cli.flags.decoding import ShardsModel
from vtok.cli.flags.indices import AllowTorchscript
from vtok.cli.flags.model import Device
from vtok.cli.flags.places import named
from vtok.cli.flags.talk import TalkFlags
from vtok.cli.listening import listening
from vtok.cli.talk import comparison_lines, print_json
from vtok.quantities import bytes_text, counted

if TYPE_CHECKING:
    from vtok.pipelines.verifying.report import VerifyReport

_MOST_LISTED = 20

Path = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        parser=named,
        help="An output folder, one tar, name-{000000..000099}.tar, or a URL of one of these.",
        show_default=False,
    ),
]
Decode = Annotated[
    int | None,
    typer.Option(
        "--decode",
        metavar="N",
        help="Decode N samples, spread evenly, and compare them with their originals.",
    ),
]
MinPsnr = Annotated[
    float,
    typer.Option("--min-psnr", metavar="DB", help="What each sample of --decode must reach."),
]
Repair = Annotated[
    bool,
    typer.Option(
        "--repair",
        help="Remove what is damaged, so that the command that made PATH makes exactly that again.",
    ),
]
Originals = Annotated[
    str | None,
    typer.Option(
        "--reference",
        metavar="INPUT",
        help="Where the originals are. [default: where the run read them]",
    ),
]
Readers = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", help="Processes that read shards. [default: one a core]"
    ),
]


@dataclass(frozen=True, slots=True)
class CheckFlags:
    """What is verified, and how."""

    decode: Decode = None
    reference: Originals = None
    min_psnr: MinPsnr = 12.0
    repair: Repair = False
    workers: Readers = None
    model: ShardsModel = None
    allow_torchscript: AllowTorchscript = False
    device: Device = "auto"


def verify(path: Path, check: CheckFlags, said: TalkFlags) -> None:
    """Say whether all that a run wrote is there, whole and true.

    Every shard is hashed, read sample by sample (dtypes, ranges, finiteness, metadata) and counted
    again; commit records are held against the plan, the manifest against the commit records.

    Exit codes: 0 all is there and whole; 3 something is damaged or cannot be read just now (which
    --repair leaves alone), or a decoded sample is unlike its original; 8 what is there is whole,
    and the same command run again makes the rest.

    Examples:
      vtok verify out/
      vtok verify out/ --decode 50
      vtok verify out/ --repair && echo whole
      vtok verify s3://bucket/out --json
    """
    from vtok.pipelines.verify import verify as run_verify
    from vtok.pipelines.verifying.report import VerifyConfig

    config = VerifyConfig(
        path=path,
        decode=check.decode,
        reference=check.reference,
        min_psnr_db=check.min_psnr,
        repair=check.repair,
        workers=check.workers,
        model=check.model,
        device=check.device,
        allow_torchscript=check.allow_torchscript,
    )
    with listening(said) as progress:
        report = run_verify(config, progress)
    if said.json:
        print_json(report.to_json())
    elif not said.quiet:
        for line in report_lines(report):
            typer.echo(line)
    report.raise_if_not_whole()


def report_lines(report: "VerifyReport") -> Iterator[str]:
    """Yield the report as people read it."""
    from vtok.report.printable import printable

    yield from _table(report)
    if report.quality is not None:
        yield from comparison_lines(report.quality)
    yield from _listed("damaged", report.damaged)
    yield from _listed("unreachable", report.unreachable)
    for name in report.removed[:_MOST_LISTED]:
        yield f"removed: {printable(name)}"
    if report.leftovers and not report.removed:
        more = len(report.leftovers) - 1
        also = f" and {more:,} more" if more else ""
        yield f"left by an interrupted run: {printable(report.leftovers[0])}{also}"
    counts = counted(report.total("num_samples"), "sample")
    if report.planned is not None:
        counts = (
            f"{report.planned:,} planned: {report.total('num_samples'):,} written, "
            f"{counted(report.total('duplicates'), 'duplicate')}, {report.total('failed'):,} failed"
        )
    num_read = sum(each.state in ("whole", "damaged") for each in report.shards)
    yield f"{counts}; {num_read:,} of {counted(len(report.shards), 'shard')} read"
    yield f"{printable(report.path)}: {report.state}"


def _listed(what: str, lines: Sequence[str]) -> Iterator[str]:
    from vtok.report.printable import printable

    for line in lines[:_MOST_LISTED]:
        yield f"{what}: {printable(line)}"
    if len(lines) > _MOST_LISTED:
        yield f"and {len(lines) - _MOST_LISTED:,} more: --json lists all"


def _table(report: "VerifyReport") -> Iterator[str]:
    """Yield a table of the shards, or of those that are not whole."""
    shown = [each for each in report.shards if each.state != "whole"]
    if len(report.shards) <= _MOST_LISTED:
        shown = list(report.shards)
    heads = ("shard", "state", "samples", "failed", "tokens", "bytes")
    rows = [
        (
            each.name,
            each.state,
            f"{each.num_samples:,}",
            f"{each.failed:,}",
            f"{each.num_tokens:,}",
            bytes_text(each.num_bytes),
        )
        for each in shown[:_MOST_LISTED]
    ]
    if rows:
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        for row in (heads, *rows):
            cells = [
                cell.ljust(width) if i < 2 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            yield "  ".join(cells).rstrip()
    if len(shown) > _MOST_LISTED:
        yield f"and {len(shown) - _MOST_LISTED:,} more that are not whole: --json lists all"
