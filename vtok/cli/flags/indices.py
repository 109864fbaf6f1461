"""Flags of tokenizers: what the model is, in what pieces it codes, and how indices are stored."""

from dataclasses import dataclass
from typing import Annotated

import typer

from vtok.cli.flags.run import Layout, ShardLayout

Family = Annotated[
    str | None,
    typer.Option(
        "--family",
        metavar="NAME",
        help="What the model is, where its files do not say so, or say it wrongly. [default: found "
        "out from the files; in decode-vq, what the shards say]",
    ),
]
AllowTorchscript = Annotated[
    bool,
    typer.Option(
        "--allow-torchscript",
        help="Run the code in a TorchScript file (.jit) whose tensors are of no architecture known "
        "here. It can do what torch can, read and write files too: only for a file that you trust "
        "like a program. Without this flag the tensors are read and no code is ever run.",
    ),
]
PieceSize = Annotated[
    int | None,
    typer.Option(
        "--piece-size",
        metavar="PX",
        help="Code views with a longer side in overlapping pieces of this side, in little memory. "
        "A model of convolutions alone (vtok-base, DALL-E) gives the same indices and pixels; one "
        "that looks at the whole image in norms or attention others, blended, and the sample says "
        "so. 0: never. [default: 2048 where nothing changes, else 0; decode-vq: as encoded]",
    ),
]


@dataclass(frozen=True, slots=True)
class IndexFlags:
    """What makes the indices, and how they are stored."""

    family: Family = None
    allow_torchscript: AllowTorchscript = False
    layout: Layout = ShardLayout.SAMPLE
    piece_size: PieceSize = None
