"""Flags of how images are cut. Where one is not given, the scheme's own number holds."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from vtok.pipelines.config.parts import CutConfig
from vtok.resolution.options import SchemeOptions


class AlignChoice(StrEnum):
    """How sides become multiples."""

    PAD = "pad"
    CENTRE = "centre"
    CROP = "crop"


class ResampleChoice(StrEnum):
    """The filter of a resize."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"


Scheme = Annotated[
    str | None,
    typer.Option(
        "--scheme",
        metavar="NAME",
        help="How images are cut: closest, squash, navit, native, or a published model's "
        "(llava-next, internvl, qwen2.5-vl, ...). [default: tile closest; the encoders native, "
        "but for a model of one size encode-continuous squash, and encode-vq asks for --size or "
        "this]",
    ),
]
TileSize = Annotated[
    int | None,
    typer.Option("--tile-size", metavar="PX", help="Side of a tile. [default: closest 336]"),
]
MaxTiles = Annotated[
    int | None,
    typer.Option(
        "--max-tiles", metavar="N", help="Most tiles, thumbnail not counted. [default: closest 6]"
    ),
]
MinTiles = Annotated[
    int | None, typer.Option("--min-tiles", metavar="N", help="Fewest tiles. [default: closest 1]")
]
Thumbnail = Annotated[
    bool | None,
    typer.Option(
        "--thumbnail/--no-thumbnail",
        help="Add the whole image as a view of its own. [default: closest yes]",
    ),
]
Overlap = Annotated[
    int | None,
    typer.Option(
        "--overlap", metavar="PX", help="Pixels that neighbouring tiles share. [default: 0]"
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option("--max-tokens", metavar="N", help="Most tokens an image. [default: navit 1024]"),
]
MaxPatches = Annotated[
    int | None,
    typer.Option(
        "--max-patches", metavar="N", help="Most patches an image, where several become a token."
    ),
]
MinPixels = Annotated[
    int | None,
    typer.Option("--min-pixels", metavar="N", help="Enlarge images that have fewer pixels."),
]
MaxPixels = Annotated[
    int | None,
    typer.Option("--max-pixels", metavar="N", help="Reduce images that have more pixels."),
]
LongSide = Annotated[
    int | None,
    typer.Option("--long-side", metavar="PX", help="Bring, or limit, the long side to this."),
]
ShortSide = Annotated[
    int | None,
    typer.Option(
        "--short-side",
        metavar="PX",
        help="Bring the short side to this, then cut --tile-size out of the centre.",
    ),
]
Resample = Annotated[
    ResampleChoice | None,
    typer.Option(
        "--resample",
        help="The filter of the resize, where the scheme leaves it open. [default: squash bicubic]",
    ),
]
Align = Annotated[
    AlignChoice | None,
    typer.Option(
        "--align",
        help="How sides become multiples of the alignment: pad (border pixels repeated at the "
        "right and below) or centre (black all around, as Cosmos's own code pads), both undone by "
        "decode-vq; or crop. [default: native pad]",
    ),
]


@dataclass(frozen=True, slots=True)
class CutFlags:
    """How images are cut; patches and alignment are the model's."""

    scheme: Scheme = None
    tile_size: TileSize = None
    max_tiles: MaxTiles = None
    min_tiles: MinTiles = None
    thumbnail: Thumbnail = None
    overlap: Overlap = None
    max_tokens: MaxTokens = None
    max_patches: MaxPatches = None
    min_pixels: MinPixels = None
    max_pixels: MaxPixels = None
    long_side: LongSide = None
    short_side: ShortSide = None
    align: Align = None
    resample: Resample = None

    def config(self) -> CutConfig:
        """Return what was asked for."""
        return CutConfig(
            scheme=self.scheme,
            options=SchemeOptions(
                tile_size_px=self.tile_size,
                max_tiles=self.max_tiles,
                min_tiles=self.min_tiles,
                thumbnail=self.thumbnail,
                overlap_px=self.overlap,
                max_tokens=self.max_tokens,
                max_patches=self.max_patches,
                min_pixels=self.min_pixels,
                max_pixels=self.max_pixels,
                long_side_px=self.long_side,
                short_side_px=self.short_side,
                align=None if self.align is None else self.align.value,
                resample=None if self.resample is None else self.resample.value,
            ),
        )
