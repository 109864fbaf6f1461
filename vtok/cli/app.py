"""The `vtok` program: a table of commands, loaded one at a time, and errors as one line.

In: the arguments. Out: an exit code, and on standard error one line `vtok: error: ...` for all
that was foreseen; a traceback is a bug. A command's module is imported when the command is named,
so that `vtok --help` costs nothing. Knows nothing of what commands do.

Exit codes: 0 done; 1 a bug; 2 usage; 3 bad input, shard or manifest; 4 weights; 5 device; 6 ended
for too many failures; 7 finished with too many; 8 whole but unfinished (`verify`); 130, 143 and
129 interrupted (SIGINT, SIGTERM, SIGHUP); 141 nobody read what was printed (SIGPIPE).
"""

import difflib
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import vtok
from vtok.cli.expand import expand
from vtok.cli.interrupts import Terminated
from vtok.cli.refusals import is_refusal
from vtok.cli.streams import (
    drop_standard_output,
    escape_what_cannot_be_written,
    fill_closed_streams,
    is_no_space,
)
from vtok.cli.wording import help_of, in_flags
from vtok.errors import InputError, OutputError, UnknownNameError, VtokError

# Typer has its own copy of click, or click itself in older versions; this is the class in either.
_ParsingError: Any = typer.BadParameter.__base__

RESUME_HINT = "finished shards are kept, the same command resumes"


@dataclass(frozen=True, slots=True)
class CommandRow:
    """One command: its name, where its one function is, and what it does in a line."""

    name: str
    module: str
    function: str
    summary: str


COMMANDS: tuple[CommandRow, ...] = (
    CommandRow("tile", "vtok.cli.tile", "tile", "cut images into tiles and a thumbnail"),
    CommandRow(
        "encode-continuous",
        "vtok.cli.encode_continuous",
        "encode_continuous",
        "images to feature vectors, one array a view",
    ),
    CommandRow(
        "encode-vq",
        "vtok.cli.encode_vq",
        "encode_vq",
        "images to codebook indices, one array a view",
    ),
    CommandRow("decode-vq", "vtok.cli.decode_vq", "decode_vq", "codebook indices back to images"),
    CommandRow(
        "inspect",
        "vtok.cli.inspect",
        "inspect",
        "sizes, grids and token counts of images; what shards hold",
    ),
    CommandRow(
        "verify", "vtok.cli.verify", "verify", "whether all that a run wrote is there and whole"
    ),
    CommandRow("models", "vtok.cli.models", "models", "the models that have names; convert one"),
    CommandRow(
        "bench", "vtok.cli.bench", "bench", "what each stage costs here, and what bounds a run"
    ),
    CommandRow(
        "train-vq", "vtok.cli.train_vq", "train_vq", "train a tokenizer on photographs of your own"
    ),
)


class CommandTable(TyperGroup):
    """The commands of the table, imported when they are named."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the table's order."""
        return [row.name for row in COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return one command, ready to be run.

        Raises:
            UnknownNameError: there is none of this name; the message has the near ones.
        """
        for row in COMMANDS:
            if row.name == cmd_name:
                return load_command(row)
        near = difflib.get_close_matches(cmd_name, [row.name for row in COMMANDS])
        hint = f"did you mean {' or '.join(near)}?" if near else "vtok --help lists them all"
        raise UnknownNameError(f"no command is called {cmd_name!r}: {hint}")

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(row.name, row.summary) for row in COMMANDS])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what stands before the command."""
        with errors_as_one_line():
            if len(args) == 2 and args[1] in ctx.help_option_names:
                # Straight to the command's own: Typer loads pydantic to find that the program's
                # own --help was not given, which takes as long as all the rest.
                self.get_command(ctx, args[0]).make_context(args[0], args[1:], parent=ctx)
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with errors_as_one_line():
            result = super().invoke(ctx)
            sys.stdout.flush()  # here, where it may fail
            return result


def load_command(row: CommandRow) -> Any:
    """Import a row's module and return its function as a command."""
    function = getattr(importlib.import_module(row.module), row.function)
    if isinstance(function, typer.Typer):  # it has commands of its own
        return typer.main.get_command(function)
    single = typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    single.command(row.name, help=help_of(function))(expand(function))
    return typer.main.get_command(single)


@contextmanager
def errors_as_one_line() -> Iterator[None]:
    """Say what ends the command in one line on standard error, and exit with its code."""
    try:
        yield
    except VtokError as error:
        _exit(f"error: {in_flags(str(error))}", error.exit_code)
    except _ParsingError as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "vtok"
        what = error.format_message().replace("Value error, ", "").rstrip(".")
        _exit(f"error: {what} (see {where} --help)", error.exit_code)
    except OSError as error:
        if is_refusal(error):
            where = os.fsdecode(error.filename)
            _exit(f"error: cannot use {where}: {error.strerror}", InputError.exit_code)
        if isinstance(error, BrokenPipeError):  # nobody reads on, as in `vtok models | head`
            drop_standard_output()
            raise typer.Exit(128 + signal.SIGPIPE) from None
        if not is_no_space(error):
            raise
        drop_standard_output()
        _exit("error: standard output cannot be written: no space left", OutputError.exit_code)
    except KeyboardInterrupt:
        _exit(f"interrupted: {RESUME_HINT}", 130)
    except Terminated as error:
        word = "terminated" if error.number == signal.SIGTERM else "hung up"
        _exit(f"{word}: {RESUME_HINT}", 128 + error.number)


def _exit(message: str, code: int) -> None:
    line = " ".join(message.split())
    with suppress(OSError):  # a terminal that has hung up takes no more words
        print(f"vtok: {line}", file=sys.stderr)  # noqa: T201
    raise typer.Exit(code)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"vtok {vtok.__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=CommandTable,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)


def vtok_command(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Images to tokens for multimodal models, and tokens back to images.

    A folder, an archive or a list of images goes in; shards that WebDataset reads come out. The
    same command run again resumes. `vtok COMMAND --help` has examples.

    Examples:
      vtok inspect photos/ --scheme all         what each scheme would make of them
      vtok encode-vq photos/ out/               codebook indices, in shards
      vtok decode-vq out/ back/                 and the images again
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.callback(invoke_without_command=True, help=help_of(vtok_command))(vtok_command)


def main() -> None:
    """Run the program; the console script."""
    fill_closed_streams()
    escape_what_cannot_be_written()
    app(prog_name="vtok")
