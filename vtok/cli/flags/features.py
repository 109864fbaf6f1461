"""Flags of encoders: what of the model is wanted, how it is projected and stored."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vtok.cli.flags.crops import SIZE_HELP, Seed
from vtok.cli.flags.model import ModelFlags
from vtok.cli.flags.run import Layout, ShardLayout
from vtok.errors import UsageError
from vtok.pipelines.config.commands import OutputConfig, ProjectorConfig


class OutputChoice(StrEnum):
    """What an encoder's features are."""

    PATCHES = "patches"
    PROJECTED = "projected"
    POOLED = "pooled"
    CLS = "cls"


class InterpolationChoice(StrEnum):
    """How learned positions reach other sizes."""

    BICUBIC = "bicubic"
    BILINEAR = "bilinear"


class StoredDtype(StrEnum):
    """What features are stored in."""

    FP16 = "fp16"
    BF16 = "bf16"
    FP32 = "fp32"


FeatureOutput = Annotated[
    OutputChoice,
    typer.Option(
        "--output",
        help="patches: a vector a patch. projected: what the language model is given (of CLIP, the "
        "vector that it compares with texts). pooled, cls: one vector a view.",
    ),
]
Packed = Annotated[
    bool,
    typer.Option(
        "--packed",
        help="With --output projected: one sequence an image, as long as its plan announces: the "
        "views' vectors as the model packs them, its newlines and separators between them.",
    ),
]
Layers = Annotated[
    list[int] | None,
    typer.Option(
        "--layer",
        metavar="N",
        help="Take the states after layer N, counted from -1 for the last (0: before the first); "
        "again for several, joined in each vector. [default: the model's own]",
    ),
]
ViewSize = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="PX",
        help=SIZE_HELP,
    ),
]
Interpolation = Annotated[
    InterpolationChoice,
    typer.Option("--interpolation", help="Of learned positions, where --size is not their own."),
]
Dtype = Annotated[
    StoredDtype,
    typer.Option(
        "--dtype",
        help="What features are stored in. fp16 is the more precise, up to 65,504: an image beyond "
        "it fails; bf16 has the range of fp32 and is stored as its two bytes.",
    ),
]
Projector = Annotated[
    str | None,
    typer.Option(
        "--projector",
        metavar="KIND",
        help="Put a projector of your own behind the encoder: linear, mlp, pixel-shuffle:F (F x F "
        "patches a token), resampler:N (N tokens a view).",
    ),
]
ProjectorWeights = Annotated[
    Path | None,
    typer.Option(
        "--projector-weights",
        metavar="FILE",
        help="Its safetensors file, as vtok.nn, LLaVA or InternVL name them. [default: drawn at "
        "random, and said]",
    ),
]
ProjectorDim = Annotated[
    int | None,
    typer.Option(
        "--projector-dim", metavar="N", help="Length of its vectors. [default: the file's, or 4096]"
    ),
]


@dataclass(frozen=True, slots=True)
class EncoderFlags(ModelFlags):
    """Which model, where it runs, and what of it is wanted."""

    feature_output: FeatureOutput = OutputChoice.PATCHES
    layer: Layers = None
    size: ViewSize = None
    interpolation: Interpolation = InterpolationChoice.BICUBIC
    packed: Packed = False

    def wanted(self) -> OutputConfig:
        """Return which of its outputs was asked for, and at which size.

        Raises:
            UsageError: the size is neither a number nor `any`.
        """
        if self.size not in (None, "any") and not (self.size.isascii() and self.size.isdecimal()):
            raise UsageError(f"--size {self.size}: give the side of a view in pixels, or any")
        return OutputConfig(
            output=self.feature_output.value,
            layers=tuple(self.layer or ()),
            size="any" if self.size == "any" else None if self.size is None else int(self.size),
            interpolation=self.interpolation.value,
            packed=self.packed,
        )


@dataclass(frozen=True, slots=True)
class ProjectorFlags:
    """A projector of the user's own."""

    projector: Projector = None
    projector_weights: ProjectorWeights = None
    projector_dim: ProjectorDim = None
    seed: Seed = 0

    def projection(self) -> ProjectorConfig | None:
        """Return what was asked for.

        Raises:
            UsageError: something of a projector, but not which.
        """
        if self.projector is None:
            if self.projector_weights is not None or self.projector_dim is not None:
                raise UsageError("say which projector: --projector linear, mlp, ...")
            return None
        return ProjectorConfig(
            name=self.projector,
            weights=self.projector_weights,
            dim=self.projector_dim,
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True)
class FeatureFlags(ProjectorFlags):
    """What becomes of features: how they are projected and stored."""

    layout: Layout = ShardLayout.SAMPLE
    dtype: Dtype = StoredDtype.FP16
