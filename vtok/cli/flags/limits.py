"""Flags of what one image, and all that are on their way, may ask of the machine."""

import re
from typing import Annotated

import typer

from vtok.pipelines.config.limits import LimitConfig

DEFAULT_LIMITS = LimitConfig()
MaxImagePixels = Annotated[
    int,
    typer.Option(
        "--max-image-pixels", metavar="N", help="Images with more pixels fail, not decoded."
    ),
]
MaxImageSide = Annotated[
    int, typer.Option("--max-image-side", metavar="PX", help="Images with a longer side fail.")
]
MaxAspect = Annotated[
    float,
    typer.Option("--max-aspect", metavar="RATIO", help="Images more slender than this fail."),
]
MaxFileBytes = Annotated[
    int,
    typer.Option("--max-file-bytes", metavar="N", help="Longer files fail, not read to the end."),
]
MaxScans = Annotated[
    int,
    typer.Option("--max-scans", metavar="N", help="Progressive JPEGs of more passes fail."),
]
AllowFormat = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-format",
        metavar="NAME",
        help="Take images of this format too, by Pillow's name (JPEG2000, ICO, ...); again for "
        "another.",
    ),
]
DecodeTimeout = Annotated[
    float,
    typer.Option("--decode-timeout", metavar="S", help="Seconds for one image, then it fails."),
]
DecodeMemory = Annotated[
    int,
    typer.Option(
        "--decode-memory", metavar="BYTES", help="Address space of each process that decodes."
    ),
]


def num_bytes(text: str) -> int:
    """Return the bytes that a text such as 800M or 4G stands for; K, M and G are powers of 1,024.

    Raises:
        typer.BadParameter: It stands for none.
    """
    match = re.fullmatch(r"([0-9]+)([KMG]?)(?:i?B)?", text.strip(), re.ASCII | re.IGNORECASE)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no number of bytes, such as 800M or 4G")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2].upper()]


Memory = Annotated[
    int | None,
    typer.Option(
        "--memory",
        metavar="BYTES",
        parser=num_bytes,
        help="What images and tokens on their way may take, such as 800M or 4G; the model and the "
        "processes that decode come on top. [default: some 1G]",
    ),
]
