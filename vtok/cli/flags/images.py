"""Flags of images that are written."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from vtok.cli.flags.run import ShardSize
from vtok.pipelines.config.parts import DEFAULT_SHARD_SIZE, ImageConfig


class Format(StrEnum):
    """Of the images that are written."""

    PNG = "png"
    JPG = "jpg"
    WEBP = "webp"


class OutputFormat(StrEnum):
    """What decoded images are written as."""

    FILES = "files"
    WEBDATASET = "webdataset"


ImageFormat = Annotated[
    Format, typer.Option("--format", help="Of the images written; png keeps every pixel.")
]
ImagesAs = Annotated[
    OutputFormat,
    typer.Option(
        "--output-format",
        help="files: images named as their sources were. webdataset: shards of images, under the "
        "indices' keys and with their captions.",
    ),
]
Quality = Annotated[
    int | None,
    typer.Option("--quality", metavar="N", help="Of jpg and webp, 1 to 100. [default: 95]"),
]
Lossless = Annotated[
    bool, typer.Option("--lossless", help="Keep every pixel in webp too; png always does.")
]


@dataclass(frozen=True, slots=True)
class ImageFlags:
    """How images are written."""

    format: ImageFormat = Format.PNG
    quality: Quality = None
    lossless: Lossless = False

    def config(self) -> ImageConfig:
        """Return what was asked for."""
        return ImageConfig(format=self.format.value, quality=self.quality, lossless=self.lossless)


@dataclass(frozen=True, slots=True)
class ImagesFlags(ImageFlags):
    """How images are written, and what they are written to."""

    output_format: ImagesAs = OutputFormat.FILES
    shard_size: ShardSize = DEFAULT_SHARD_SIZE
