"""Flags of how much is said, and in which form."""

from dataclasses import dataclass
from typing import Annotated

import typer

from vtok.errors import UsageError

Json = Annotated[
    bool, typer.Option("--json", help="Print the report as one JSON object on standard output.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Name every image that fails, as it does.")
]


@dataclass(frozen=True, slots=True)
class TalkFlags:
    """How much is said, and in which form."""

    json: Json = False
    quiet: Quiet = False
    verbose: Verbose = False

    def __post_init__(self) -> None:
        """Refuse to be silent and talkative at once."""
        if self.quiet and self.verbose:
            raise UsageError("--quiet and --verbose cannot be had together")
