"""Flags of what `vtok inspect` is asked, and of how it answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vtok.cli.flags.crops import FreeCutFlags
from vtok.cli.flags.indices import AllowTorchscript
from vtok.cli.flags.model import Device
from vtok.cli.flags.talk import Json
from vtok.errors import UsageError

Inspected = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...",
        help="Images: whatever the other commands take as INPUT, several if need be. Or shards: an "
        "output folder, one tar, or name-{000000..000099}.tar.",
        show_default=False,
    ),
]
Schemes = Annotated[
    list[str] | None,
    typer.Option(
        "--scheme",
        metavar="NAME",
        help="How images would be cut; again for another scheme, or all. [default: closest]",
    ),
]
Budget = Annotated[
    int | None,
    typer.Option("--budget", metavar="N", help="Name the images that take more tokens than this."),
]
Csv = Annotated[
    bool, typer.Option("--csv", help="Print a line for every image and scheme on standard output.")
]
Verify = Annotated[
    bool, typer.Option("--verify", help="Hash every tar again: finds bytes that changed in place.")
]
Duplicates = Annotated[
    bool,
    typer.Option(
        "--duplicates",
        help="Look through every sample of shards for identical original files, within shards and "
        "across them; up to 5,000 samples are looked through in any case.",
    ),
]
Show = Annotated[
    bool,
    typer.Option(
        "--show",
        help="Draw it in the terminal: the cut over the photograph, or the first sample's tokens.",
    ),
]
Save = Annotated[
    Path | None,
    typer.Option("--save", metavar="PNG", help="Write the same picture, large, to a file."),
]
Stability = Annotated[
    bool,
    typer.Option(
        "--stability",
        help="Run --model on the first 32 images: the share of indices that change with batch "
        "size, precision and device.",
    ),
]
AskedModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Whose own scheme cuts the images, at its size: an encoder, as encode-continuous "
        "takes it; its weights are not read. With --stability, the tokenizer that is run. "
        "[default: no model's, and vtok-base]",
    ),
]


@dataclass(frozen=True, slots=True)
class ManySchemesFlags(FreeCutFlags):
    """How images would be cut, by any number of schemes."""

    scheme: Schemes = None  # type: ignore[assignment]  # one flag, given several times


@dataclass(frozen=True, slots=True)
class AnswerFlags:
    """In which form the answer is given."""

    json: Json = False
    csv: Csv = False
    show: Show = False
    save: Save = None

    def __post_init__(self) -> None:
        """Refuse two forms at once."""
        if self.json and self.csv:
            raise UsageError("--json and --csv cannot be had together")
        if self.show and (self.json or self.csv):
            raise UsageError("--show draws for people: leave out --json and --csv")

    @property
    def draws(self) -> bool:
        """Whether a picture was asked for."""
        return self.show or self.save is not None


@dataclass(frozen=True, slots=True)
class StabilityFlags:
    """Whether a model is run on the images, and which."""

    stability: Stability = False
    model: AskedModel = None
    device: Device = "auto"
    allow_torchscript: AllowTorchscript = False

    def __post_init__(self) -> None:
        """Refuse what nothing is asked of."""
        if not self.stability and (self.device, self.allow_torchscript) != ("auto", False):
            raise UsageError("--device and --allow-torchscript are for --stability")
