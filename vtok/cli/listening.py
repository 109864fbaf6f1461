"""What a run says while it goes on.

In: what a run tells its listener. Out: a progress bar, or notes and failures as lines, on standard
error. Knows no command.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from vtok.cli.flags.talk import TalkFlags
from vtok.cli.interrupts import orderly_interrupts
from vtok.cli.wording import failure_line
from vtok.pipelines.outputs.progress import Progress, Silence
from vtok.records import Failure


@contextmanager
def listening(flags: TalkFlags) -> Iterator[Progress]:
    """Give a listener for one run; end the run in good order on Ctrl-C and SIGTERM.

    A progress bar is drawn only on a terminal, notes and failures are lines on standard error.
    """
    with orderly_interrupts():
        if flags.quiet:
            yield Silence()
        elif sys.stderr.isatty():
            from vtok.cli.bar import bar  # rich takes a while to load

            with bar(verbose=flags.verbose) as progress:
                yield progress
        else:
            yield Lines(verbose=flags.verbose)


class Lines(Silence):
    """A listener that writes lines to standard error: notes, and failures when asked to."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose

    def note(self, message: str) -> None:
        """Write the note."""
        typer.echo(f"vtok: {message}", err=True)

    def failed(self, failure: Failure) -> None:
        """Write which image failed, and why."""
        if self._verbose:
            typer.echo(failure_line(failure), err=True)
