"""What each command was asked to do, whole: frozen records, checked once.

In: values from the command line or a caller. Out: records that the pipelines trust, made of those
of `vtok.pipelines.config.parts` and of what a command has alone.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vtok.errors import UsageError
from vtok.pipelines.config.parts import (
    DEFAULT_SHARD_SIZE,
    CutConfig,
    ImageConfig,
    ModelConfig,
    RunConfig,
    at_least,
)

StoredLayout = Literal["sample", "block"]
OutputFormatName = Literal["files", "webdataset"]
OutputName = Literal["patches", "projected", "pooled", "cls"]
StoredDtypeName = Literal["fp16", "bf16", "fp32"]

_PROJECTOR = re.compile(
    r"linear|mlp|pixel-shuffle(:[1-9][0-9]?)?|resampler:[1-9][0-9]{0,4}", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TileConfig:
    """`vtok tile`."""

    run: RunConfig
    cut: CutConfig = field(default_factory=CutConfig)
    image: ImageConfig = field(default_factory=ImageConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeVqConfig:
    """`vtok encode-vq`.

    Attributes:
        run: Where it reads and writes.
        cut: How images become views.
        model: Which model.
        layout: How samples lie in a tar.
        family: What the model is; None for what its files say.
        allow_torchscript: Whether the code in a model's file may be run.
        piece_size: Side of the pieces that larger views are coded in; 0 for none; None for what
            leaves indices as they are: 2,048 px, or none where the model sees the whole image.
    """

    run: RunConfig
    cut: CutConfig = field(default_factory=CutConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    layout: StoredLayout = "sample"
    family: str | None = None
    allow_torchscript: bool = False
    piece_size: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no run can do."""
        at_least("--piece-size", self.piece_size, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputConfig:
    """What of an encoder is wanted.

    Attributes:
        output: `patches`, `projected` into the language model's space, `pooled` or `cls`.
        layers: The states to take instead of the model's own choice, joined in each vector: 0
            before the first layer, -1 after the last.
        size: Side of the views that it is given instead of its own size, or `any`.
        interpolation: How a table of learned positions reaches that size.
        packed: One sequence an image instead of an array a view, as the language model is given it.
    """

    output: OutputName = "patches"
    layers: tuple[int, ...] = ()
    size: int | Literal["any"] | None = None
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    packed: bool = False

    def __post_init__(self) -> None:
        """Refuse a size that no picture has, and a sequence of what no language model reads."""
        if self.packed and self.output != "projected":
            raise UsageError(f"--packed is of what is projected, not of --output {self.output}")
        if self.size != "any":
            at_least("--size", self.size, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectorConfig:
    """A projector of the user's own, behind the encoder.

    Attributes:
        name: `linear`, `mlp`, `pixel-shuffle` or `pixel-shuffle:F` (squares of F x F patches become
            a token), `resampler:N` (an image becomes N tokens).
        weights: Its safetensors file; None to draw it, which is said.
        dim: Length of its vectors; None for the file's, or 4,096.
        seed: Of the draw.
    """

    name: str
    weights: Path | None = None
    dim: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no projector."""
        match = _PROJECTOR.fullmatch(self.name)
        if match is None:
            raise UsageError(
                f"--projector {self.name}: there are linear, mlp, pixel-shuffle:F (squares of F x "
                "F patches) and resampler:N (N tokens)"
            )
        at_least("--projector-dim", self.dim, 1)

    @property
    def kind(self) -> str:
        """Which projector, without its number."""
        return self.name.partition(":")[0]

    @property
    def number(self) -> int:
        """Side of a square, tokens of a resampler; 0 where there is none."""
        number = self.name.partition(":")[2]
        return int(number) if number else 2 if self.kind == "pixel-shuffle" else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeContinuousConfig:
    """`vtok encode-continuous`; features are stored as `dtype`, projected where that is asked."""

    run: RunConfig
    cut: CutConfig = field(default_factory=CutConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    wanted: OutputConfig = field(default_factory=OutputConfig)
    layout: StoredLayout = "sample"
    dtype: StoredDtypeName = "fp16"
    projector: ProjectorConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeVqConfig:
    """`vtok decode-vq`.

    Attributes:
        shards: An output folder, a tar or a range of tars; or an `.npy` of one image's indices or a
            batch of them, which needs `model`.
        output: The folder to write images in.
        limit: Only the first so many samples; None for all.
        workers: Threads that write images and processes that read originals; None for one a core.
        overwrite: Start over if the folder holds another run, instead of refusing.
        model: The model's name or folder; None for the one that the shards name.
        device: As in `ModelConfig`.
        compute_dtype: As in `ModelConfig`.
        batch_size: As in `ModelConfig`.
        image: How images are written.
        reference: The original images, to compare with; None to compare with nothing.
        family: What the model is; None for what the shards say.
        output_format: `files`, named as their sources were, or `webdataset`: shards of images.
        shard_size: Samples in a shard of these; the last one has what is left.
        allow_torchscript: Whether the code in a model's file may be run.
        fid_weights: The Inception network's file, to compute rFID with; None for where other
            programs have put it. Without either there is no rFID.
        piece_size: As in `EncodeVqConfig`; None also for what samples say of how they were encoded.
    """

    shards: str
    output: Path
    limit: int | None = None
    workers: int | None = None
    overwrite: bool = False
    model: str | None = None
    device: str = "auto"
    compute_dtype: str = "auto"
    batch_size: int | None = None
    image: ImageConfig = field(default_factory=ImageConfig)
    reference: str | None = None
    fid_weights: Path | None = None
    family: str | None = None
    output_format: OutputFormatName = "files"
    shard_size: int = DEFAULT_SHARD_SIZE
    allow_torchscript: bool = False
    piece_size: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no run can do."""
        at_least("--limit", self.limit, 1)
        at_least("--workers", self.workers, 0)
        at_least("--batch-size", self.batch_size, 1)
        at_least("--piece-size", self.piece_size, 0)
        if self.fid_weights is not None and self.reference is None:
            raise UsageError("--fid-weights: rFID is the distance to originals: --reference INPUT")
        at_least("--shard-size", self.shard_size, 1)
