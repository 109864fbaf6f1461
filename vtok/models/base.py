"""What every model promises: the specifications and the two abstract classes.

In: pixels, (B, 3, H, W) float in the range that the specification states. Out: latents, indices,
codes, pixels (a tokenizer) or features (an encoder). This file knows nothing of files, batches,
devices or any one architecture.

Dimension letters: B batch, H W pixels, D channels, h w latent grid, K codebook size, N tokens.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from vtok.codeshape import CodeShape
from vtok.errors import ShardError, UsageError
from vtok.models.reach import Reach
from vtok.records import Grid, Size

Interpolation = Literal["bicubic", "bilinear"]
SizePolicy = Literal["any", "fixed"]
Output = Literal["patches", "projected", "pooled", "cls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelRange:
    """How a byte becomes a model input: (byte / 255 - mean) / std, channel by channel."""

    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerSpec:
    """The facts of a discrete tokenizer that planning, storing and decoding need.

    Attributes:
        name: The name it was asked for by.
        family: The architecture's family (`vtok-base`, `llamagen`, ...).
        downsample: Pixels per latent cell along one side (f).
        codebook_size: Number of codes (K); indices are in [0, K).
        code_dim: Length of one code (D).
        pixels: The input range, which is the output range too.
        codes: The shape of one view's indices.
        size_policy: `any` multiple of the alignment, or one `fixed` size.
        fixed_size: The size, where the policy is `fixed`.
        alignment_px: Sides must be multiples of this many pixels.
        can_decode: Whether the weights have a decoder.
        diffusion_sweeps: Rounds in which codes are chosen with regard to their neighbours; 0 where
            each is the nearest.
    """

    name: str
    family: str
    downsample: int
    codebook_size: int
    code_dim: int
    pixels: PixelRange
    codes: CodeShape = field(default_factory=CodeShape)
    size_policy: SizePolicy = "any"
    fixed_size: Size | None = None
    alignment_px: int
    can_decode: bool = True
    diffusion_sweeps: int = 0

    @property
    def index_dtype(self) -> np.dtype[np.unsignedinteger]:
        """The smallest unsigned dtype that holds the largest index."""
        return np.dtype(np.min_scalar_type(self.codebook_size - 1))

    def latent_grid(self, size: Size) -> Grid:
        """Return the grid of latents of an (aligned) view of this size in pixels."""
        return Grid(rows=size.height // self.downsample, cols=size.width // self.downsample)

    def index_shape(self, size: Size) -> tuple[int, ...]:
        """Return the shape of the indices of an (aligned) view of this size in pixels."""
        return self.codes.shape_of(self.latent_grid(size))

    def image_size(self, index_shape: Sequence[int]) -> Size:
        """Return the size in pixels of the image that indices of this shape decode to.

        Raises:
            ShardError: the model gives no indices of such a shape.
        """
        problem = self.codes.problem(index_shape)
        grid = None if problem else self.codes.grid_of(index_shape)
        if self.fixed_size is not None and not problem:
            fits = tuple(index_shape) == self.index_shape(self.fixed_size)
            problem = None if fits else f"indices of an image that is not {self.fixed_size}"
            grid = self.latent_grid(self.fixed_size)
        if problem or grid is None:
            raise ShardError(f"{self.name} cannot decode {problem or 'a sequence of any grid'}")
        return Size(height=grid.rows * self.downsample, width=grid.cols * self.downsample)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectorFacts:
    """A projector that the user put behind an encoder.

    Attributes:
        kind: Which of `vtok.nn`'s: `linear`, `mlp`, `pixel-shuffle`, `resampler`.
        number: Side of a square of `pixel-shuffle`, tokens of `resampler`; 0 for the others.
        in_dim: Length of the encoder's vectors.
        out_dim: Length of its own.
        weights_sha256: Digest of its file; of its weights, where they were drawn.
        seed: Of the draw; None where they were not.
    """

    kind: str
    number: int
    in_dim: int
    out_dim: int
    weights_sha256: str
    seed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSpec:
    """The facts of a continuous encoder that planning and storing need.

    Attributes:
        name: The name it was asked for by.
        family: The architecture's family (`vtok-base`, `clip`, ...).
        patch_px: Pixels per patch along one side.
        dim: Length of one feature vector (D).
        pixels: The input range.
        size_policy: `any` multiple of the alignment, or one `fixed` size.
        fixed_size: The size, where the policy is `fixed`.
        alignment_px: Sides must be multiples of this many pixels, but for those of `fixed_size`,
            of which patches may leave a rest.
        output: What its features are: of patches; `projected` into a language model's space;
            one `pooled` vector or the `cls` token's a view.
        layers: The hidden states that were asked for, 0 before the first layer, -1 after the last;
            several lie one after the other in each vector. Empty for the model's own choice.
        merge: Patches along one side that one feature vector stands for.
        num_tokens: Vectors of a view of any size where they form no grid; None where they do.
        scheme: The resolution scheme that its own image processor follows; None for none.
        scheme_options: The numbers of that scheme, as `SchemeOptions` names them.
        reads_tiles_together: Whether the tiles of an image see each other: it is then given them as
            the canvas that they were cut from.
        interpolation: How a table of learned positions reaches sizes that it was not trained at;
            None where there is no table, or no other size.
        packs: Whether views of different sizes are computed as one sequence (`features_packed`).
        projector: What the user put behind it; None for nothing.
    """

    name: str
    family: str
    patch_px: int
    dim: int
    pixels: PixelRange
    size_policy: SizePolicy = "any"
    fixed_size: Size | None = None
    alignment_px: int
    output: Output = "patches"
    layers: tuple[int, ...] = ()
    merge: int = 1
    num_tokens: int | None = None
    scheme: str | None = None
    scheme_options: Mapping[str, Any] = field(default_factory=dict)
    reads_tiles_together: bool = False
    interpolation: Interpolation | None = None
    packs: bool = False
    projector: ProjectorFacts | None = None

    def token_grid(self, size: Size) -> Grid | None:
        """Return the grid of feature vectors, row-major, of an (aligned) view of this size.

        None where they form none: a pooled vector, resampled ones.
        """
        if self.num_tokens is not None:
            return None
        cell_px = self.patch_px * self.merge
        return Grid(rows=size.height // cell_px, cols=size.width // cell_px)


class Tokenizer(nn.Module, ABC):
    """Pixels to indices and back: encode, quantize, lookup, decode; tokenize, decode_indices.

    Attributes:
        spec: The facts of the model.
        weights_sha256: Digest of the weights file it was loaded from; empty if it was not.
        source_sha256: Digest of the weights that those were converted from, as their folder says;
            empty if they were not.
        reach: How far its networks see; None where every cell depends on the whole image. With it,
            an image coded in pieces has the indices of the whole image.
    """

    spec: TokenizerSpec
    weights_sha256: str = ""
    source_sha256: str = ""
    reach: Reach | None = None

    @abstractmethod
    def encode(self, pixels: Tensor) -> Tensor:
        """Return latents (B, D, h, w) of pixels (B, 3, H, W); H and W aligned.

        Of a sequence that is no grid, latents are (B, D, 1, L).
        """

    @abstractmethod
    def quantize(self, latents: Tensor) -> Tensor:
        """Return a codebook index, int64 in [0, K), for every latent.

        The nearest; or, of a family that says so, one chosen with regard to its neighbours.

        (B, h, w), or B of whatever other shape `spec.codes` says.

        Raises:
            NonFiniteError: a latent is NaN or infinite.
        """

    @abstractmethod
    def lookup(self, indices: Tensor) -> Tensor:
        """Return the codes (B, D, h, w) at indices as `quantize` gives them.

        Raises:
            ShardError: an index is outside [0, K).
        """

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W), unclamped, of codes (B, D, h, w)."""

    def tokenize(self, pixels: Tensor) -> Tensor:
        """Return indices of pixels (B, 3, H, W): encode, then quantize."""
        return self.quantize(self.encode(pixels))

    def decode_indices(self, indices: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W) of indices: lookup, then decode."""
        return self.decode(self.lookup(indices))


class Encoder(nn.Module, ABC):
    """Pixels to continuous tokens.

    Attributes:
        spec: The facts of the model.
        weights_sha256: Digest of the weights file it was loaded from; empty if it was not.
        can_pack: Whether `features_packed` makes one sequence of views, where they are of any size.
        note: What of its preprocessing is a guess, in one line; empty where nothing is.
    """

    spec: EncoderSpec
    weights_sha256: str = ""
    note: str = ""
    can_pack: bool = False

    @abstractmethod
    def features(self, pixels: Tensor) -> Tensor:
        """Return features (B, N, D), row-major over the token grid, of pixels (B, 3, H, W).

        An encoder that reads tiles together is given a canvas of whole tiles, and returns the
        features of each tile after those of the one before, row-major.
        """

    def take_sizes(self, interpolation: Interpolation) -> None:
        """Take views of other sizes than its own from now on.

        Args:
            interpolation: How learned positions reach them.

        Raises:
            UsageError: it cannot.
        """
        if self.spec.fixed_size is not None:
            raise UsageError(
                f"{self.spec.name} takes views of {self.spec.fixed_size} alone: leave --size out"
            )

    def features_packed(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Return the features (N, D) of each of some images (3, H, W) of any sizes.

        An encoder that packs computes them as one sequence without padding, in which no image sees
        another; here they are computed one by one.
        """
        return [self.features(image.unsqueeze(0))[0] for image in images]
