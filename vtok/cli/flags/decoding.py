"""Flags of a run over shards of indices."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from vtok.cli.flags.indices import PieceSize
from vtok.cli.flags.model import BatchSize, ComputeDtype, ComputeDtypeChoice, Device
from vtok.cli.flags.run import Limit, Overwrite, Workers

ShardsModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Where the model is, if not under the name that the shards give it. Its weights must "
        "be the ones that the shards were made with. [default: the shards' own; an .npy needs one]",
    ),
]
Reference = Annotated[
    str | None,
    typer.Option(
        "--reference",
        metavar="INPUT",
        help="The original images: PSNR and SSIM of each, matched by source, and the means.",
    ),
]
FidWeights = Annotated[
    Path | None,
    typer.Option(
        "--fid-weights",
        metavar="FILE",
        help="With --reference: rFID too, by this file of Inception's weights (the .pth that "
        "pytorch-fid and torch-fidelity fetch). [default: where these have put it, if they have]",
    ),
]


@dataclass(frozen=True, slots=True)
class DecodeFlags:
    """How a run over shards goes."""

    reference: Reference = None
    fid_weights: FidWeights = None
    model: ShardsModel = None
    device: Device = "auto"
    compute_dtype: ComputeDtype = ComputeDtypeChoice.AUTO
    batch_size: BatchSize = None
    piece_size: PieceSize = None
    workers: Workers = None
    limit: Limit = None
    overwrite: Overwrite = False
