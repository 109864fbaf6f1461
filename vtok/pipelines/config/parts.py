"""What commands were asked to do, the parts that they share: frozen records, checked once.

In: values from the command line or a caller, the same for shell and Python. Out: records that the
pipelines trust. Every flag is a field here or in `vtok.pipelines.config.commands`. Knows nothing of
flags' names, models or files.
"""

from dataclasses import dataclass, field
from typing import Literal

from vtok.engine.buffers import MIN_BYTES
from vtok.errors import UsageError
from vtok.io.places import Place
from vtok.pipelines.config.limits import LimitConfig
from vtok.resolution.options import SchemeOptions

OnError = Literal["skip", "fail"]
Decoding = Literal["exact", "scaled"]
Resizing = Literal["exact", "fast"]
ImageFormatName = Literal["png", "jpg", "webp"]

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
        at_least("--limit", self.limit, 1)
        at_least("--shard-size", self.shard_size, 1)
        at_least("--workers", self.workers, 0)
        at_least("--memory", self.memory, MIN_BYTES)
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
        device: `auto`, `cpu`, `cuda` or `cuda:N`; several of one kind with commas between
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
        at_least("--batch-size", self.batch_size, 1)

    @property
    def is_spread(self) -> bool:
        """Whether several devices may be meant."""
        return "," in self.device or self.device == "cuda:all"


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


def at_least(flag: str, value: int | None, least: int) -> None:
    """Refuse a value of a flag that is given and too small.

    Raises:
        UsageError: it is.
    """
    if value is not None and value < least:
        raise UsageError(f"{flag} must be at least {least}, not {value}")
