"""A progress bar on a terminal's standard error: shards, images, rate, failures, time left.

In: what a run tells its listener. Out: one line that redraws itself; notes above it. Imported only
where it is drawn, since rich takes a while to load.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from vtok.cli.wording import failure_line
from vtok.records import Failure


class Bar:
    """A listener that draws."""

    def __init__(self, drawn: Progress, *, verbose: bool) -> None:
        self._drawn = drawn
        self._verbose = verbose
        self._num_shards = 0
        self._num_shards_done = 0
        self._num_failed = 0
        self._task = drawn.add_task("", total=None, shards="", failed="")

    def begin(self, *, num_shards: int, num_images: int) -> None:
        """Show the bar's full length."""
        self._num_shards = num_shards
        self._drawn.reset(self._task, total=num_images, shards=f"shard 0/{num_shards}", failed="")

    def note(self, message: str) -> None:
        """Write the note above the bar."""
        self._drawn.console.print(escape(f"vtok: {message}"), highlight=False)

    def written(self) -> None:
        """Draw one image more."""
        self._drawn.advance(self._task)

    def failed(self, failure: Failure) -> None:
        """Draw one image more, and count it as failed."""
        self._num_failed += 1
        if self._verbose:
            self._drawn.console.print(escape(failure_line(failure)), highlight=False)
        self._drawn.update(self._task, advance=1, failed=f"{self._num_failed} failed")

    def shard_done(self) -> None:
        """Draw one shard more."""
        self._num_shards_done += 1
        shards = f"shard {self._num_shards_done}/{self._num_shards}"
        self._drawn.update(self._task, shards=shards)


class _Rate(TextColumn):
    """Images a second, over the last seconds."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} images/s" if task.speed else "")


@contextmanager
def bar(*, verbose: bool) -> Iterator[Bar]:
    """Give a listener whose bar is on the terminal while the block lasts."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.fields[shards]}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TextColumn("{task.fields[failed]}", style="red"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as drawn:
        yield Bar(drawn, verbose=verbose)
