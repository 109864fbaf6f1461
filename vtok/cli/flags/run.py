"""Flags of how a run over images goes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from vtok.cli.flags.limits import (
    DEFAULT_LIMITS,
    AllowFormat,
    DecodeMemory,
    DecodeTimeout,
    MaxAspect,
    MaxFileBytes,
    MaxImagePixels,
    MaxImageSide,
    MaxScans,
    Memory,
)
from vtok.io.places import place_of
from vtok.pipelines.config.limits import LimitConfig
from vtok.pipelines.config.parts import DEFAULT_SHARD_SIZE, RunConfig


class ShardLayout(StrEnum):
    """Of the samples in a tar."""

    SAMPLE = "sample"
    BLOCK = "block"


class OnErrorChoice(StrEnum):
    """What an image that fails does to the run."""

    SKIP = "skip"
    FAIL = "fail"


class ResizingChoice(StrEnum):
    """Who resizes."""

    EXACT = "exact"
    FAST = "fast"


class DecodingChoice(StrEnum):
    """How many of an image's pixels are decoded."""

    EXACT = "exact"
    SCALED = "scaled"


Limit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", help="Only the first N of the sorted input."),
]
ShardSize = Annotated[
    int,
    typer.Option("--shard-size", metavar="N", help="Samples in a shard; the last has the rest."),
]
Layout = Annotated[
    ShardLayout,
    typer.Option(
        "--layout",
        help="sample: a member set a sample, as WebDataset users expect. block: stacked arrays of "
        "some hundred samples, a third of the bytes where samples are small.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        help="Processes that decode images; changes no byte. 0 decodes in this one, where nothing "
        "guards against a decoder that hangs or crashes. [default: as many as the model needs, up "
        "to one a core]",
    ),
]
Decoding = Annotated[
    DecodingChoice,
    typer.Option(
        "--decoding",
        help="exact: every pixel, as Pillow has them. scaled: a JPEG of more than 6 times the "
        "sides that the scheme needs is decoded at 1/2, 1/4 or 1/8: much faster, some "
        "54 dB from exact. Part of a run's plan.",
    ),
]
Resizing = Annotated[
    ResizingChoice,
    typer.Option(
        "--resizing",
        help="exact: Pillow's pixels. fast: a quarter of the time, one value in 200 off by a "
        "level; needs pip install 'vtok[fast]'. Part of a run's plan.",
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Remove the run that is in OUTPUT and start over, instead of resuming."
    ),
]
OnError = Annotated[
    OnErrorChoice,
    typer.Option("--on-error", help="Skip and record an image that fails, or fail at the first."),
]
MaxFailureRate = Annotated[
    float | None,
    typer.Option(
        "--max-failure-rate",
        metavar="SHARE",
        help="End the run when more than this share of the images failed, from the 1,000th on, and "
        "say so at the end of a smaller one. [default: 0.1, and a smaller run fails only if every "
        "image did]",
    ),
]
Dedupe = Annotated[
    bool,
    typer.Option(
        "--dedupe",
        help="Encode identical files once. The others are no samples of the shards, but references "
        "in duplicates.jsonl and the commit records: key, source, captions and the key of the one "
        "that is written, whose random crops are theirs too.",
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


@dataclass(frozen=True, slots=True)
class RunFlags:
    """How a run over images goes."""

    shard_size: ShardSize = DEFAULT_SHARD_SIZE
    workers: Workers = None
    memory: Memory = None
    decoding: Decoding = DecodingChoice.EXACT
    resizing: Resizing = ResizingChoice.EXACT
    limit: Limit = None
    overwrite: Overwrite = False
    on_error: OnError = OnErrorChoice.SKIP
    max_failure_rate: MaxFailureRate = None
    retry_failed: RetryFailed = False
    verify: VerifyDone = False
    dedupe: Dedupe = False
    max_image_pixels: MaxImagePixels = DEFAULT_LIMITS.max_image_pixels
    max_image_side: MaxImageSide = DEFAULT_LIMITS.max_image_side
    max_aspect: MaxAspect = DEFAULT_LIMITS.max_aspect
    max_file_bytes: MaxFileBytes = DEFAULT_LIMITS.max_file_bytes
    max_scans: MaxScans = DEFAULT_LIMITS.max_scans
    allow_format: AllowFormat = None
    decode_timeout: DecodeTimeout = DEFAULT_LIMITS.decode_timeout
    decode_memory: DecodeMemory = DEFAULT_LIMITS.decode_memory

    def config(self, images: str, output: str) -> RunConfig:
        """Return what was asked for."""
        return RunConfig(
            input=images,
            output=place_of(output),
            limit=self.limit,
            shard_size=self.shard_size,
            workers=self.workers,
            memory=self.memory,
            decoding=self.decoding.value,
            resizing=self.resizing.value,
            overwrite=self.overwrite,
            on_error=self.on_error.value,
            max_failure_rate=self.max_failure_rate,
            retry_failed=self.retry_failed,
            verify=self.verify,
            dedupe=self.dedupe,
            limits=LimitConfig(
                max_image_pixels=self.max_image_pixels,
                max_image_side=self.max_image_side,
                max_aspect=self.max_aspect,
                max_file_bytes=self.max_file_bytes,
                max_scans=self.max_scans,
                allow_format=tuple(self.allow_format or ()),
                decode_timeout=self.decode_timeout,
                decode_memory=self.decode_memory,
            ),
        )
