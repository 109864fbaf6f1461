"""What a run says when it is done.

In: its report. Out: text or JSON on standard output. Knows no command.
"""

import json
from collections.abc import Iterator
from typing import Any

import typer

from vtok.cli.flags.talk import TalkFlags
from vtok.engine.times import StageName, StageTimes
from vtok.pipelines.outputs.outcome import Comparison, DecodeReport, RunReport, reasons_in_words
from vtok.pipelines.outputs.roll_ups import FAILURES_NAME
from vtok.quantities import bytes_text, counted

_MOST_LISTED = 5
_MOST_ROWS = 50
_BOTTLENECKS: dict[StageName, str] = {
    "decode": "reading and decoding",
    "model": "the model",
    "write": "writing",
}


def say_report(report: RunReport, flags: TalkFlags) -> None:
    """Print the outcome of a run.

    Raises:
        FinishedWithFailuresError: too many images failed; the outcome is printed all the same.
    """
    if flags.json:
        print_json(report.to_json())
    elif not flags.quiet:
        for line in report_lines(report):
            typer.echo(line)
    report.raise_if_too_many_failed()


def say_decoded(report: DecodeReport, flags: TalkFlags) -> None:
    """Print the outcome of decoding, image by image where there were originals."""
    if flags.json:
        print_json(report.to_json())
    elif not flags.quiet:
        for line in decode_lines(report):
            typer.echo(line)


def decode_lines(report: DecodeReport) -> Iterator[str]:
    """Yield the report of decoding as people read it."""
    if report.comparison is not None:
        yield from comparison_lines(report.comparison)
    yield (
        f"{report.planned:,} planned = {report.written:,} written + 0 duplicates + "
        f"{len(report.failures):,} failed"
    )
    for failure in report.failures[:_MOST_LISTED]:
        yield f"  {failure.source or failure.key}: {failure.message}"
    rate = report.images_per_second
    if rate is None:
        yield "nothing was left to do"
    else:
        yield _pace(report.num_decoded, report.seconds, rate)
    held = counted(report.num_files, "file")
    if report.num_shards is not None:
        held = f"{counted(report.num_files, 'image')} in {counted(report.num_shards, 'shard')}"
    yield f"output: {report.output} ({held})"


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """Yield a table of the images, the worst alone where there are many, and the means."""
    images = comparison.images
    if len(images) > _MOST_ROWS:
        images = tuple(sorted(images, key=lambda each: each.psnr_db)[:_MOST_LISTED])
        yield f"the {len(images)} of lowest PSNR (--json has all {len(comparison.images)})"
    width = max([4, *(len(each.source) for each in images)])
    if images:
        yield f"{'':{width}}  {'PSNR':>8}  {'SSIM':>6}"
    for each in images:
        similarity = "" if each.ssim is None else f"{each.ssim:.4f}"
        yield f"{each.source:{width}}  {each.psnr_db:5.2f} dB  {similarity:>6}"
    if comparison.mean_psnr_db is not None:
        similarity = "" if comparison.mean_ssim is None else f"{comparison.mean_ssim:.4f}"
        yield f"{'mean':{width}}  {comparison.mean_psnr_db:5.2f} dB  {similarity:>6}"
    if comparison.rfid is not None:
        yield f"rFID  {comparison.rfid:.3f} over {counted(len(comparison.images), 'image')}"
    elif comparison.no_rfid:
        yield f"no rFID: {comparison.no_rfid}"
    for why, count in comparison.not_compared.items():
        yield f"{count} not compared: {why}"


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object on standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def report_lines(report: RunReport) -> Iterator[str]:
    """Yield the report as people read it."""
    manifest = report.manifest
    yield (
        f"{manifest.planned:,} planned = {manifest.written:,} written + "
        f"{counted(manifest.duplicates, 'duplicate')} + {manifest.failed:,} failed"
    )
    if manifest.failed:
        yield f"failed: {reasons_in_words(manifest.failures_by_reason)}"
        for failure in report.failures[:_MOST_LISTED]:
            yield f"  {failure.source}: {failure.message}"
        if manifest.failed > _MOST_LISTED:
            num_more = manifest.failed - _MOST_LISTED
            yield f"  and {num_more:,} more, in {report.output / FAILURES_NAME}"
    holds = counted(manifest.num_views, "view")
    if manifest.num_tokens:
        holds += f", {counted(manifest.num_tokens, 'token')}"
    shards = counted(len(manifest.shards), "shard")
    yield f"{holds} in {shards}, {bytes_text(manifest.num_bytes)}"
    rate = report.images_per_second
    if rate is None:
        yield "nothing was left to do"
    else:
        resumed = report.num_resumed_shards
        were = "was" if resumed == 1 else "were"
        kept = f"; {counted(resumed, 'shard')} {were} there already" if resumed else ""
        yield _pace(report.num_images, report.seconds, rate) + kept
        yield _waits(report.times)
    yield f"output: {report.output}"


def _pace(num_images: int, seconds: float, rate: float) -> str:
    """Return how many images took how long."""
    return f"{counted(num_images, 'image')} in {seconds:.1f} s: {rate:.1f} images/s"


def _waits(times: StageTimes) -> str:
    """Return what the run has waited for, the bottleneck first."""
    waits = {"decode": times.input_s, "model": times.model_s, "write": times.output_s}
    ordered = sorted(waits.items(), key=lambda pair: -pair[1])
    text = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in ordered)
    return f"waited for: {text}; the bottleneck is {_BOTTLENECKS[times.bottleneck]}"
