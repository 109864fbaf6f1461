"""What bounds a run, in words, and what would move it.

In: the figures of a benchmark. Out: lines. Every sentence follows from figures that are printed
beside it. Knows nothing of how they were measured.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vtok.quantities import counted

if TYPE_CHECKING:
    from vtok.pipelines.benchmarking.report import BenchReport

GOOD_SHARE = {"float32": 0.6, "bfloat16": 0.4}
"""Of the matrix rate: where a model is that good, only other hardware or another model helps."""
GOOD_SHARE_ELSEWHERE = 0.4
BUSY = 0.95
IDLE = 1.1


def verdict(report: "BenchReport") -> Iterator[str]:
    """Yield what bounds the run and what would move it, then what it loses beside its limit."""
    if report.device_busy is None:
        yield from _of_a_cpu(report)
    else:
        yield from _beside_a_device(report, report.device_busy)
    yield from _of_what_is_lost(report)


def _of_a_cpu(report: "BenchReport") -> Iterator[str]:
    costs = {
        "model": report.model_ms,
        "decode and render": report.decode_ms,
        "write": report.write_ms,
    }
    slowest = max(costs, key=costs.__getitem__)
    share = costs[slowest] / sum(costs.values())
    yield f"bounded by              {slowest}: {share:.0%} of the CPU time of all stages"
    advice = {
        "model": _faster_model(report),
        "decode and render": "more cores; --resizing fast; --decoding scaled where JPEGs are large",
        "write": "--layout block where samples are small; a faster disk",
    }
    yield f"what would move it      {advice[slowest]}"


def _faster_model(report: "BenchReport") -> str:
    ways = ["a GPU, or more cores"]
    if report.matrix_share is not None:
        good = GOOD_SHARE.get(report.compute_dtype, GOOD_SHARE_ELSEWHERE)
        if report.matrix_share < good:
            ways.insert(0, "perhaps --compile, for it computes at less than its products could")
    if report.compute_dtype == "float32" and report.tokens == "continuous":
        ways.insert(0, "--compute-dtype bf16 where the processor has it")
    return "; ".join(ways)


def _beside_a_device(report: "BenchReport", busy: float) -> Iterator[str]:
    host_ms = (report.decode_ms + report.write_ms) / report.num_cores
    if host_ms > report.model_ms:
        yield (
            f"bounded by              the host: {host_ms:.2f} ms an image over "
            f"{counted(report.num_cores, 'core')}, and the device takes {report.model_ms:.2f}"
        )
        yield (
            f"what would move it      {report.cores_to_feed:.1f} cores would feed this device; "
            "--resizing fast; --decoding scaled where JPEGs are large"
        )
    else:
        yield (
            f"bounded by              the device: {report.model_ms:.2f} ms an image, and the host "
            f"takes {host_ms:.2f} over {counted(report.num_cores, 'core')}"
        )
        rest = "" if busy >= BUSY else "; more images, for a short run is mostly start"
        yield f"what would move it      a faster device, --compile{rest}"


def _of_what_is_lost(report: "BenchReport") -> Iterator[str]:
    lost_s = report.wall_s - report.limit_s
    if report.wall_over_limit > IDLE:
        times = report.times
        waits = {"images": times.input_s, "the model": times.model_s, "the writer": times.output_s}
        most = max(waits, key=waits.__getitem__)
        yield (
            f"lost                    {lost_s:.2f} s beside the limit (start, last batches, other "
            f"processes); the run waited mostly for {most}, {waits[most]:.2f} s"
        )
