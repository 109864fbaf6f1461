"""What a command was asked to do: frozen records, checked once, the same for shell and Python.

In: values from the command line or a caller. Out: records that the pipelines trust. Every flag is
a field here. Knows nothing of flags' names, models or files.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vtok.engine.buffers import MIN_BYTES
from vtok.errors import UsageError
from vtok.io.places import Place
from vtok.pipelines.limits import LimitConfig
from vtok.resolution.options import SchemeOptions

StoredLayout = Literal["sample", "block"]
OnError = Literal["skip", "fail"]
Decoding = Literal["exact", "scaled"]
Resizing = Literal["exact", "fast"]
ImageFormatName = Literal["png", "jpg", "webp"]
OutputFormatName = Literal["files", "webdataset"]
OutputName = Literal["patches", "projected", "pooled", "cls"]
StoredDtypeName = Literal["fp16", "bf16", "fp32"]

_PROJECTOR = re.compile(
    r"linear|mlp|pixel-shuffle(:[1-9][0-9]?)?|resampler:[1-9][0-9]{0,4}", re.ASCII
)

DEFAULT_MODEL = "vtok-base"
DEFAULT_SHARD_SIZE = 1000
DEFAULT_QUALITY = 95
DEFAULT_MAX_FAILURE_RATE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Where a run reads and writes, and how it goes; the same for every command.

    Attributes:
        input: What to read, as the user typed it.
        output: The folder to write, or a URL.
        limit: Only the first so many images of the sorted input; None for all.
        shard_size: Samples a shard; the last has what is left.
        workers: Processes that decode; 0 for none but this one, where a decoder that hangs or
            crashes takes the run with it; None for as many as the model needs, up to one a core.
            Changes no byte.
        memory: Bytes that prepared images and finished tokens may take on their way; None for some
            1 GB. What the model and the decode workers themselves need comes on top. Less of it
            may decide which views of rare sizes share a batch, so a run keeps what it began with.
        decoding: `exact` decodes every pixel; `scaled` decodes large JPEGs reduced, where the
            scheme would reduce them further anyhow. Part of the plan.
        resizing: `exact` has Pillow's pixels; `fast` is off by a level here and there. Part of the
            plan.
        overwrite: Start over if the folder holds another run, instead of refusing.
        on_error: `skip` records an image that fails and goes on, `fail` ends the run.
        max_failure_rate: Share of failed images, in [0, 1], above which the run ends, looked at
            from the 1,000th image on and once more at the end. None for 0.1, under which a run of
            fewer images fails only if every image did.
        dedupe: Encode identical files once, and keep references of the others.
        retry_failed: Make the shards again in which images failed.
        verify: Hash the shards of earlier runs, and make those again whose bytes have changed.
        limits: What an image may ask of the machine.
    """

    input: str
    output: Place
    limit: int | None = None
    shard_size: int = DEFAULT_SHARD_SIZE
    workers: int | None = None
    memory: int | None = None
    decoding: Decoding = "exact"
    resizing: Resizing = "exact"
    overwrite: bool = False
    on_error: OnError = "skip"
    max_failure_rate: float | None = None
    dedupe: bool = False
    retry_failed: bool = False
    verify: bool = False
    limits: LimitConfig = field(default_factory=LimitConfig)

    def __post_init__(self) -> None:
        """Refuse what no run can do."""
        _at_least("--limit", self.limit, 1)
        _at_least("--shard-size", self.shard_size, 1)
        _at_least("--workers", self.workers, 0)
        _at_least("--memory", self.memory, MIN_BYTES)
        if self.max_failure_rate is not None and not 0 <= self.max_failure_rate <= 1:
            raise UsageError(f"--max-failure-rate is in [0, 1], not {self.max_failure_rate}")
        if self.retry_failed and self.overwrite:
            raise UsageError("--overwrite makes everything again: leave out --retry-failed")
        if self.verify and self.overwrite:
            raise UsageError("--overwrite makes everything again: leave out --verify")


@dataclass(frozen=True, slots=True, kw_only=True)
class CutConfig:
    """How images become views.

    Attributes:
        scheme: Name of the scheme; None for the command's or the model's own.
        options: What differs from the scheme's own numbers.
    """

    scheme: str | None = None
    options: SchemeOptions = field(default_factory=SchemeOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Which model runs, and where.

    Attributes:
        name: Its name, or the path of a folder with `config.json` and `model.safetensors`.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; several of one kind with commas between
            them, or `cuda:all`, to have a process for each.
        compute_dtype: What it computes in: `fp32`, `bf16`, `fp16`, or `auto` for fp32, or for
            features that are not stored as fp32 what the device is fast in.
        batch_size: Most views of one size that it is given at once; None for as many as suit their
            size and the device. Part of the plan: the last bit of a result may depend on it.
        compile: Have torch compile the model, for views of one size; part of the plan. The encoders
            and `bench` do.
    """

    name: str = DEFAULT_MODEL
    device: str = "auto"
    compute_dtype: str = "auto"
    batch_size: int | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        """Refuse what no model can do."""
        _at_least("--batch-size", self.batch_size, 1)


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
            _at_least("--size", self.size, 1)


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
        _at_least("--projector-dim", self.dim, 1)

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
class ImageConfig:
    """How images are written.

    Attributes:
        format: `png` keeps every pixel; `jpg` and `webp` are smaller.
        quality: Of the formats that lose something, 1 to 100; None for png.
        lossless: Keep every pixel; png always does, jpg cannot.
    """

    format: ImageFormatName = "png"
    quality: int | None = None
    lossless: bool = False

    def __post_init__(self) -> None:
        """Refuse a quality that the format does not have."""
        if self.lossless and self.format == "jpg":
            raise UsageError("--lossless is for webp and png: jpg keeps no pixel exactly")
        if self.lossless and self.quality is not None:
            raise UsageError("--quality and --lossless cannot be had together")
        if self.quality is None:
            return
        if self.format == "png":
            raise UsageError("--quality is for jpg and webp: png keeps every pixel")
        if not 1 <= self.quality <= 100:
            raise UsageError(f"--quality is in [1, 100], not {self.quality}")

    @property
    def quality_in_force(self) -> int | None:
        """The quality that is used: the default where none was given, None where all is kept."""
        if self.format == "png" or self.lossless:
            return None
        return self.quality or DEFAULT_QUALITY


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
        _at_least("--piece-size", self.piece_size, 0)


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
        _at_least("--limit", self.limit, 1)
        _at_least("--workers", self.workers, 0)
        _at_least("--batch-size", self.batch_size, 1)
        _at_least("--piece-size", self.piece_size, 0)
        if self.fid_weights is not None and self.reference is None:
            raise UsageError("--fid-weights: rFID is the distance to originals: --reference INPUT")
        _at_least("--shard-size", self.shard_size, 1)


def _at_least(flag: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise UsageError(f"{flag} must be at least {least}, not {value}")
