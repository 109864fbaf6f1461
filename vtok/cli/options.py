"""Every flag, once: its name, its meaning, its help. Commands and groups refer to these.

Knows no command. A default stands where the flag is used, and is the same wherever it is.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """Of the images that are written."""

    PNG = "png"
    JPG = "jpg"
    WEBP = "webp"


class OutputFormat(StrEnum):
    """What decoded images are written as."""

    FILES = "files"
    WEBDATASET = "webdataset"


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


class ComputeDtypeChoice(StrEnum):
    """What a model computes in."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class StoredDtype(StrEnum):
    """What features are stored in."""

    FP16 = "fp16"
    BF16 = "bf16"
    FP32 = "fp32"


# What is read and written.
Input = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="An image, a folder, a tar or name-{000..099}.tar, a parquet file, a .txt, .csv or "
        ".jsonl list, a URL of any of these, or - for a list on standard input.",
        show_default=False,
    ),
]
Shards = Annotated[
    str,
    typer.Argument(
        metavar="SHARDS",
        help="An output folder of encode-vq, one tar, or name-{000000..000099}.tar; or an .npy of "
        "the indices of one image or a batch, of any integer dtype, with --model.",
        show_default=False,
    ),
]
_OUTPUT = "The folder to write; where shards are written, a URL (s3://, gs://, ...) too."
Output = Annotated[Path, typer.Argument(metavar="OUTPUT", help=_OUTPUT, show_default=False)]
ShardsOutput = Annotated[
    str,
    typer.Argument(
        metavar="OUTPUT",
        help=_OUTPUT,
        show_default=False,
    ),
]

# How images are cut. Where a flag is not given, the scheme's own number holds.
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
_SIZE_HELP = (
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
        help=_SIZE_HELP,
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

# The model.
Model = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME",
        help="A model that ships, a name of `vtok models`, a hub id (owner/name), a model folder "
        "or a weights file.",
    ),
]
Family = Annotated[
    str | None,
    typer.Option(
        "--family",
        metavar="NAME",
        help="What the model is, where its files do not say so, or say it wrongly. [default: found "
        "out from the files; in decode-vq, what the shards say]",
    ),
]
AllowTorchscript = Annotated[
    bool,
    typer.Option(
        "--allow-torchscript",
        help="Run the code in a TorchScript file (.jit) whose tensors are of no architecture known "
        "here. It can do what torch can, read and write files too: only for a file that you trust "
        "like a program. Without this flag the tensors are read and no code is ever run.",
    ),
]
ShardsModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Where the model is, if not under the name that the shards give it. Its weights must "
        "be the ones that the shards were made with. [default: the shards' own; an .npy needs one]",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        help="auto, cpu, cuda, cuda:N or mps. The encoders take several (cuda:0,cuda:1 or "
        "cuda:all): a process a device, which share the shards out and change no byte.",
    ),
]
ComputeDtype = Annotated[
    ComputeDtypeChoice,
    typer.Option(
        "--compute-dtype",
        help="What the model computes in; auto is fp32, or bf16 where that is faster and features "
        "are not stored as fp32.",
    ),
]
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
        help=_SIZE_HELP,
    ),
]
Interpolation = Annotated[
    InterpolationChoice,
    typer.Option("--interpolation", help="Of learned positions, where --size is not their own."),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        metavar="N",
        help="Most views that the model is given at once; part of a run's plan. [default: by the "
        "size of the views]",
    ),
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Have torch compile the model, which takes a minute the first time and is kept: for "
        "many views of one size. Part of a run's plan.",
    ),
]
PieceSize = Annotated[
    int | None,
    typer.Option(
        "--piece-size",
        metavar="PX",
        help="Code views with a longer side in overlapping pieces of this side, in little memory. "
        "A model of convolutions alone (vtok-base, DALL-E) gives the same indices and pixels; one "
        "that looks at the whole image in norms or attention others, blended, and the sample says "
        "so. 0: never. [default: 2048 where nothing changes, else 0; decode-vq: as encoded]",
    ),
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
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        metavar="N",
        help="Of what is drawn at random: crops (with the sample's key), a projector.",
    ),
]

# The run.
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

# Images that are written.
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
Reference = Annotated[
    str | None,
    typer.Option(
        "--reference",
        metavar="INPUT",
        help="The original images: PSNR and SSIM of each, matched by source, and the means.",
    ),
]

FidWeights = Annotated[
    Path | None,
    typer.Option(
        "--fid-weights",
        metavar="FILE",
        help="With --reference: rFID too, by this file of Inception's weights (the .pth that "
        "pytorch-fid and torch-fidelity fetch). [default: where these have put it, if they have]",
    ),
]

# What is said.
Json = Annotated[
    bool, typer.Option("--json", help="Print the report as one JSON object on standard output.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", help="Name every image that fails, as it does.")
]

# What `inspect` is asked.
Inspected = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...",
        help="Images: whatever the other commands take as INPUT, several if need be. Or shards: an "
        "output folder, one tar, or name-{000000..000099}.tar.",
        show_default=False,
    ),
]
Schemes = Annotated[
    list[str] | None,
    typer.Option(
        "--scheme",
        metavar="NAME",
        help="How images would be cut; again for another scheme, or all. [default: closest]",
    ),
]
Stability = Annotated[
    bool,
    typer.Option(
        "--stability",
        help="Run --model on the first 32 images: the share of indices that change with batch "
        "size, precision and device.",
    ),
]
Budget = Annotated[
    int | None,
    typer.Option("--budget", metavar="N", help="Name the images that take more tokens than this."),
]
Csv = Annotated[
    bool, typer.Option("--csv", help="Print a line for every image and scheme on standard output.")
]
Verify = Annotated[
    bool, typer.Option("--verify", help="Hash every tar again: finds bytes that changed in place.")
]
Show = Annotated[
    bool,
    typer.Option(
        "--show",
        help="Draw it in the terminal: the cut over the photograph, or the first sample's tokens.",
    ),
]
Save = Annotated[
    Path | None,
    typer.Option("--save", metavar="PNG", help="Write the same picture, large, to a file."),
]
