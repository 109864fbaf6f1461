"""Flags that belong together, and the configuration that they make.

In: values as the command line gives them. Out: the records of `vtok.pipelines.config`. Commands
take these groups whole (`vtok.cli.expand`). Knows no command.
"""

from dataclasses import dataclass, replace

from vtok.cli import care_options, options
from vtok.errors import UsageError
from vtok.io.places import place_of
from vtok.pipelines.config import (
    DEFAULT_MODEL,
    DEFAULT_SHARD_SIZE,
    CutConfig,
    ImageConfig,
    ModelConfig,
    OutputConfig,
    ProjectorConfig,
    RunConfig,
)
from vtok.pipelines.limits import LimitConfig
from vtok.resolution.options import SchemeOptions

DEFAULT_LIMITS = LimitConfig()
_TEN_CROP = "ten-crop"


@dataclass(frozen=True, slots=True)
class CutFlags:
    """How images are cut; patches and alignment are the model's."""

    scheme: options.Scheme = None
    tile_size: options.TileSize = None
    max_tiles: options.MaxTiles = None
    min_tiles: options.MinTiles = None
    thumbnail: options.Thumbnail = None
    overlap: options.Overlap = None
    max_tokens: options.MaxTokens = None
    max_patches: options.MaxPatches = None
    min_pixels: options.MinPixels = None
    max_pixels: options.MaxPixels = None
    long_side: options.LongSide = None
    short_side: options.ShortSide = None
    align: options.Align = None
    resample: options.Resample = None

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


@dataclass(frozen=True, slots=True)
class CropFlags(CutFlags):
    """How images are cut, into crops of one size too."""

    size: options.CropSize = None
    crops: options.Crops = None
    ten_crop: options.TenCrop = False
    crop_range: options.CropRange = None
    seed: options.Seed = 0
    flip: options.Flip = None
    min_crop_scale: options.MinCropScale = None

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

    patch: options.Patch = None
    alignment: options.Alignment = None

    def config(self) -> CutConfig:
        """Return what was asked for."""
        cut = CropFlags.config(self)
        given = replace(cut.options, patch_px=self.patch, alignment_px=self.alignment)
        return replace(cut, options=given)


@dataclass(frozen=True, slots=True)
class ModelFlags:
    """Which model, and where it runs."""

    model: options.Model = DEFAULT_MODEL
    device: options.Device = "auto"
    compute_dtype: options.ComputeDtype = options.ComputeDtypeChoice.AUTO
    batch_size: options.BatchSize = None
    compile: options.Compile = False

    def config(self) -> ModelConfig:
        """Return what was asked for."""
        return ModelConfig(
            name=self.model,
            device=self.device,
            compute_dtype=self.compute_dtype.value,
            batch_size=self.batch_size,
            compile=self.compile,
        )


@dataclass(frozen=True, slots=True)
class EncoderFlags(ModelFlags):
    """Which model, where it runs, and what of it is wanted."""

    feature_output: options.FeatureOutput = options.OutputChoice.PATCHES
    layer: options.Layers = None
    size: options.ViewSize = None
    interpolation: options.Interpolation = options.InterpolationChoice.BICUBIC
    packed: options.Packed = False

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
class IndexFlags:
    """What makes the indices, and how they are stored."""

    family: options.Family = None
    allow_torchscript: options.AllowTorchscript = False
    layout: options.Layout = options.ShardLayout.SAMPLE
    piece_size: options.PieceSize = None


@dataclass(frozen=True, slots=True)
class ProjectorFlags:
    """A projector of the user's own."""

    projector: options.Projector = None
    projector_weights: options.ProjectorWeights = None
    projector_dim: options.ProjectorDim = None
    seed: options.Seed = 0

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

    layout: options.Layout = options.ShardLayout.SAMPLE
    dtype: options.Dtype = options.StoredDtype.FP16


@dataclass(frozen=True, slots=True)
class RunFlags:
    """How a run over images goes."""

    shard_size: options.ShardSize = DEFAULT_SHARD_SIZE
    workers: options.Workers = None
    memory: care_options.Memory = None
    decoding: options.Decoding = options.DecodingChoice.EXACT
    resizing: options.Resizing = options.ResizingChoice.EXACT
    limit: options.Limit = None
    overwrite: options.Overwrite = False
    on_error: options.OnError = options.OnErrorChoice.SKIP
    max_failure_rate: options.MaxFailureRate = None
    retry_failed: care_options.RetryFailed = False
    verify: care_options.VerifyDone = False
    dedupe: care_options.Dedupe = False
    max_image_pixels: care_options.MaxImagePixels = DEFAULT_LIMITS.max_image_pixels
    max_image_side: care_options.MaxImageSide = DEFAULT_LIMITS.max_image_side
    max_aspect: care_options.MaxAspect = DEFAULT_LIMITS.max_aspect
    max_file_bytes: care_options.MaxFileBytes = DEFAULT_LIMITS.max_file_bytes
    max_scans: care_options.MaxScans = DEFAULT_LIMITS.max_scans
    allow_format: care_options.AllowFormat = None
    decode_timeout: care_options.DecodeTimeout = DEFAULT_LIMITS.decode_timeout
    decode_memory: care_options.DecodeMemory = DEFAULT_LIMITS.decode_memory

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


@dataclass(frozen=True, slots=True)
class DecodeFlags:
    """How a run over shards goes."""

    reference: options.Reference = None
    fid_weights: options.FidWeights = None
    model: options.ShardsModel = None
    device: options.Device = "auto"
    compute_dtype: options.ComputeDtype = options.ComputeDtypeChoice.AUTO
    batch_size: options.BatchSize = None
    piece_size: options.PieceSize = None
    workers: options.Workers = None
    limit: options.Limit = None
    overwrite: options.Overwrite = False


@dataclass(frozen=True, slots=True)
class ImageFlags:
    """How images are written."""

    format: options.ImageFormat = options.Format.PNG
    quality: options.Quality = None
    lossless: options.Lossless = False

    def config(self) -> ImageConfig:
        """Return what was asked for."""
        return ImageConfig(format=self.format.value, quality=self.quality, lossless=self.lossless)


@dataclass(frozen=True, slots=True)
class ImagesFlags(ImageFlags):
    """How images are written, and what they are written to."""

    output_format: options.ImagesAs = options.OutputFormat.FILES
    shard_size: options.ShardSize = DEFAULT_SHARD_SIZE


@dataclass(frozen=True, slots=True)
class TalkFlags:
    """How much is said, and in which form."""

    json: options.Json = False
    quiet: options.Quiet = False
    verbose: options.Verbose = False

    def __post_init__(self) -> None:
        """Refuse to be silent and talkative at once."""
        if self.quiet and self.verbose:
            raise UsageError("--quiet and --verbose cannot be had together")
