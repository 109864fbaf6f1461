"""What is read and where it goes: the arguments that commands share."""

from pathlib import Path
from typing import Annotated

import typer


def named(text: str) -> str:
    """Return a place's name; refuse an empty one, which would be the working folder.

    Raises:
        typer.BadParameter: it is empty, as that of a variable that a script has not set.
    """
    if not text:
        raise typer.BadParameter("it is empty: name a place (. is the working folder)")
    return text


def named_path(text: str) -> Path:
    """Return a local place; refuse an empty name.

    Raises:
        typer.BadParameter: it is empty.
    """
    return Path(named(text))


Input = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="An image, a folder, a tar or name-{000..099}.tar, a parquet file, a .txt, .csv or "
        ".jsonl list, a URL of any of these, or - for a list on standard input.",
        show_default=False,
    ),
]
Shards = Annotated[
    str,
    typer.Argument(
        metavar="SHARDS",
        parser=named,
        help="An output folder of encode-vq, one tar, or name-{000000..000099}.tar; or an .npy of "
        "the indices of one image or a batch, of any integer dtype, with --model.",
        show_default=False,
    ),
]
_OUTPUT = "The folder to write; where shards are written, a URL (s3://, gs://, ...) too."
Output = Annotated[
    Path,
    typer.Argument(metavar="OUTPUT", parser=named_path, help=_OUTPUT, show_default=False),
]
ShardsOutput = Annotated[
    str,
    typer.Argument(
        metavar="OUTPUT",
        parser=named,
        help=_OUTPUT,
        show_default=False,
    ),
]
