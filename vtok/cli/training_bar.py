"""What a training run says while it goes on, on standard error.

In: what a run tells its listener. Out: a line that redraws itself on a terminal, and one line for
every validation.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Drawn

from vtok.quantities import counted
from vtok.training.run import Progress
from vtok.training.trainer import StepReport
from vtok.training.validation import Validation

_SMOOTHING = 0.98


class Notes(Progress):
    """A listener that writes a line for every validation."""

    def begun(self, step: int, num_steps: int) -> None:
        """Say where the run stands."""
        self.say(f"training: {num_steps - step} of {counted(num_steps, 'step')} to go")

    def validated(self, step: int, figures: Validation) -> None:
        """Say how good the model is."""
        self.say(
            f"step {step}: PSNR {figures.psnr_db:.2f} dB, SSIM {figures.ssim:.4f}, "
            f"{counted(figures.codes_used, 'code')} over "
            f"{counted(figures.num_images, 'image')} held out"
        )

    def say(self, line: str) -> None:
        """Write a line."""
        typer.echo(f"vtok: {line}", err=True)


class TrainingBar(Notes):
    """A listener that draws, and writes its lines above the bar."""

    def __init__(self, drawn: Drawn) -> None:
        self._drawn = drawn
        self._task = drawn.add_task("", total=None, figures="preparing")
        self._psnr_db: float | None = None

    def begun(self, step: int, num_steps: int) -> None:
        """Show the bar's full length."""
        self._drawn.update(self._task, total=num_steps, completed=step, figures="")

    def stepped(self, report: StepReport) -> None:
        """Draw one step more, with its figures smoothed."""
        mean = report.psnr_db if self._psnr_db is None else self._psnr_db
        self._psnr_db = _SMOOTHING * mean + (1 - _SMOOTHING) * report.psnr_db
        figures = (
            f"loss {report.loss:.2f}, crops {self._psnr_db:.2f} dB, "
            f"{counted(report.codes_used, 'code')}"
        )
        self._drawn.update(self._task, advance=1, figures=figures)

    def say(self, line: str) -> None:
        """Write a line above the bar."""
        self._drawn.console.print(f"vtok: {line}", highlight=False, markup=False)


@contextmanager
def training_bar() -> Iterator[TrainingBar]:
    """Give a listener whose bar is on the terminal while the block lasts."""
    columns = (
        TextColumn("step"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Drawn(*columns, console=Console(stderr=True), transient=True) as drawn:
        yield TrainingBar(drawn)
