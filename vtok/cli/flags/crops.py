"""Flags of crops of one size, as training scripts make them, and of cuts without a model."""

from dataclasses import dataclass, replace
from typing import Annotated

import typer

from vtok.cli.flags.cut import CutFlags
from vtok.errors import UsageError
from vtok.pipelines.config.parts import CutConfig

_TEN_CROP = "ten-crop"
SIZE_HELP = (
    "Side of the views that the model gets. encode-vq and tile bring the short side to it and take "
    "the square in the middle, as training scripts do (--scheme adm-crop). encode-continuous gives "
    "an encoder this size, or any, instead of its own: rotary positions reach it by themselves, "
    "learned ones are interpolated."
)
CropSize = Annotated[
    int | None,
    typer.Option(
        "--size",
        metavar="PX",
        help=SIZE_HELP,
    ),
]
Crops = Annotated[
    int | None,
    typer.Option(
        "--crops",
        metavar="N",
        help="The centre square and N - 1 random parts, each resized to --size: --scheme "
        "random-crops.",
    ),
]
TenCrop = Annotated[
    bool,
    typer.Option(
        "--ten-crop",
        help="Corners and centre of a crop --crop-range times --size, and the same mirrored.",
    ),
]
CropRange = Annotated[
    float | None,
    typer.Option("--crop-range", metavar="FACTOR", help="Of --ten-crop. [default: 1.1]"),
]
Flip = Annotated[
    bool | None,
    typer.Option(
        "--flip/--no-flip",
        help="Mirror too: the centre square as a second view, random crops with even odds. "
        "[default: no]",
    ),
]
MinCropScale = Annotated[
    float | None,
    typer.Option(
        "--min-crop-scale",
        metavar="SHARE",
        help="Smallest share of the area that a random crop shows. [default: 0.8]",
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="N",
        help="Of what is drawn at random: crops (with the sample's key), a projector.",
    ),
]
Patch = Annotated[
    int | None,
    typer.Option(
        "--patch", metavar="PX", help="Side of a patch of the encoder. [default: closest 14]"
    ),
]
Alignment = Annotated[
    int | None,
    typer.Option(
        "--alignment", metavar="PX", help="Sides are multiples of this. [default: native 8]"
    ),
]


@dataclass(frozen=True, slots=True)
class CropFlags(CutFlags):
    """How images are cut, into crops of one size too."""

    size: CropSize = None
    crops: Crops = None
    ten_crop: TenCrop = False
    crop_range: CropRange = None
    seed: Seed = 0
    flip: Flip = None
    min_crop_scale: MinCropScale = None

    def config(self) -> CutConfig:
        """Return what was asked for.

        Raises:
            UsageError: ten crops of another scheme.
        """
        if self.ten_crop and self.scheme not in (None, _TEN_CROP):
            raise UsageError(f"--ten-crop is a scheme of its own: leave out --scheme {self.scheme}")
        cut = CutFlags.config(self)
        given = replace(
            cut.options,
            size_px=self.size,
            crops=self.crops,
            crop_range=self.crop_range,
            seed=self.seed or None,  # 0 is the default of whatever draws
            flip=self.flip,
            min_crop_scale=self.min_crop_scale,
        )
        return CutConfig(scheme=_TEN_CROP if self.ten_crop else cut.scheme, options=given)


@dataclass(frozen=True, slots=True)
class FreeCutFlags(CropFlags):
    """How images are cut where no model says what a patch is."""

    patch: Patch = None
    alignment: Alignment = None

    def config(self) -> CutConfig:
        """Return what was asked for."""
        cut = CropFlags.config(self)
        given = replace(cut.options, patch_px=self.patch, alignment_px=self.alignment)
        return replace(cut, options=given)
