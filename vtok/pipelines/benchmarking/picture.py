"""The picture of a benchmark's last run: who was at work when."""

from pathlib import Path

from vtok.errors import OutputError
from vtok.pipelines.benchmarking.report import BenchReport
from vtok.report.timeline import draw_timeline


def save_timeline(report: BenchReport, path: Path) -> None:
    """Draw the last run's spans into a PNG.

    Raises:
        OutputError: it cannot be written.
    """
    picture = draw_timeline(report.times.spans or (), began_s=report.began_s)
    try:
        picture.save(path, "PNG")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
