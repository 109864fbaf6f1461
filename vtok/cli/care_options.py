"""Flags of long jobs: duplicates, failures that are tried again, and what an image may ask for.

Knows no command; a default stands where the flag is used.
"""

import re
from typing import Annotated

import typer

Dedupe = Annotated[
    bool,
    typer.Option(
        "--dedupe",
        help="Encode identical files once. The others are no samples of the shards, but references "
        "in duplicates.jsonl and the commit records: key, source, captions and the key of the one "
        "that is written, whose random crops are theirs too.",
    ),
]
Duplicates = Annotated[
    bool,
    typer.Option(
        "--duplicates",
        help="Look through every sample of shards for identical original files, within shards and "
        "across them; up to 5,000 samples are looked through in any case.",
    ),
]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed",
        help="Make the shards again in which images failed; the inputs must be as they were.",
    ),
]
VerifyDone = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="Hash the shards that are there from earlier runs before going on; those whose bytes "
        "have changed are made again. Without it, their lengths are looked at.",
    ),
]
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
