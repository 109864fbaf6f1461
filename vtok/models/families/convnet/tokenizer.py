"""A tokenizer of convolutional networks around any quantizer.

In: pixels (B, 3, H, W) in the range of its specification. Out: latents, indices, codes and pixels.
Knows nothing of files or of how families name their tensors.

Dimension letters: B batch, H W pixels, h w cells, D channels of a code, K codebook size.
"""

from typing import Literal

from torch import Tensor, nn

from vtok.codeshape import CodeShape
from vtok.errors import WeightsError
from vtok.models.base import PixelRange, TokenizerSpec
from vtok.models.families.convnet.networks import Analysis, ConvStyle, Synthesis
from vtok.models.families.convnet.shape import ConvShape
from vtok.models.quantized import QuantizedTokenizer
from vtok.nn.quantizer import (
    BinaryQuantizer,
    FiniteScalarQuantizer,
    LogitQuantizer,
    Metric,
    MultiScaleQuantizer,
    Quantizer,
    ResidualQuantizer,
    VectorQuantizer,
)
from vtok.records import Grid, Size

QuantizerKind = Literal[
    "l2", "cosine", "dot", "logits", "big", "little", "fsq", "residual", "multi-scale"
]

_METRICS: dict[QuantizerKind, Metric] = {"l2": "l2", "cosine": "cosine", "dot": "dot"}


class ProjectedLogits(LogitQuantizer):
    """The largest of K logits that a linear map makes of a latent.

    Args:
        codebook_size: Number of codes and of logits (K).
        latent_dim: Channels of a latent.
        code_dim: Channels of a code (D); None for one-hot codes.
    """

    def __init__(self, codebook_size: int, latent_dim: int, code_dim: int | None) -> None:
        super().__init__(codebook_size, code_dim)
        self.proj = nn.Conv2d(latent_dim, codebook_size, 1)

    def quantize(self, latents: Tensor) -> Tensor:
        """Return indices (..., h, w) int64 of latents (..., h, w, C).

        Raises:
            NonFiniteError: a logit is NaN or infinite.
        """
        logits: Tensor = self.proj(latents.movedim(-1, -3))  # (..., K, h, w)
        return super().quantize(logits.movedim(-3, -1))


class ConvTokenizer(QuantizedTokenizer):
    """Images to indices and back, at any size that the downsampling factor divides.

    Args:
        shape: Of the networks and the codebook.
        style: What the family does differently.
        quantizer: `l2`, `cosine` or `dot` search; argmax of `logits`; signs, of which channel 0 is
            the most (`big`) or the least (`little`) significant bit; rounding of each channel
            (`fsq`); L2 search again and again in what is left over (`residual`), or over
            `multi-scale` grids.
        name: The name it was asked for by.
        family: The family's name.
        pixels: The input range.
        clamped: Whether the decoder's output is kept in [-1, 1].
    """

    def __init__(
        self,
        shape: ConvShape,
        style: ConvStyle,
        quantizer: QuantizerKind,
        *,
        name: str,
        family: str,
        pixels: PixelRange,
        clamped: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = Analysis(shape.encoder, shape.latent_channels, style)
        self.decoder: Synthesis | None = None
        if shape.decoder is not None:
            self.decoder = Synthesis(shape.decoder, shape.latent_channels, style, shape.code_dim)
        self.quant_conv: nn.Conv2d | None = None
        self.post_quant_conv: nn.Conv2d | None = None
        if shape.quant_conv:
            kernel, dims = shape.quant_kernel, (shape.latent_channels, shape.code_dim)
            self.quant_conv = nn.Conv2d(*dims, kernel, padding=kernel // 2)
            if shape.post_quant_conv:
                self.post_quant_conv = nn.Conv2d(*dims[::-1], kernel, padding=kernel // 2)
        elif shape.latent_channels != shape.code_dim:
            raise WeightsError(
                f"latents of {shape.latent_channels} channels and codes of {shape.code_dim} do "
                "not fit without a convolution between them"
            )
        self.quantizer = _quantizer(quantizer, shape)
        self.clamped = clamped
        self.patching = shape.patching
        codes, fixed = CodeShape(), None
        if quantizer == "residual":
            codes = CodeShape(kind="deep-grid", depth=shape.depth)
        if shape.scales:
            grids = tuple(Grid(rows=rows, cols=cols) for rows, cols in shape.scales)
            codes = CodeShape(kind="scales", scales=grids)
            factor = shape.downsample
            fixed = Size(height=grids[-1].rows * factor, width=grids[-1].cols * factor)
        self.spec = TokenizerSpec(
            name=name,
            family=family,
            downsample=shape.downsample,
            codebook_size=self.quantizer.codebook_size,
            code_dim=shape.code_dim,
            pixels=pixels,
            codes=codes,
            size_policy="fixed" if fixed else "any",
            fixed_size=fixed,
            alignment_px=shape.alignment_px or shape.downsample,
            can_decode=shape.decoder is not None,
        )

    def encode(self, pixels: Tensor) -> Tensor:
        """Return latents (B, D, h, w) of pixels (B, 3, H, W)."""
        cells = pixels if self.patching is None else self.patching.apart(pixels)
        latents: Tensor = self.encoder(cells)
        return latents if self.quant_conv is None else self.quant_conv(latents)

    def decode(self, codes: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W), unclamped, of codes (B, D, h, w).

        Raises:
            WeightsError: the checkpoint has no decoder.
        """
        if self.decoder is None:
            raise WeightsError(
                f"{self.spec.name} cannot decode: its weights have no decoder (transformers keeps "
                "only the encoder of some families; the authors' own checkpoint has both)"
            )
        latents = codes if self.post_quant_conv is None else self.post_quant_conv(codes)
        pixels: Tensor = self.decoder(latents, codes)
        if self.patching is not None:
            pixels = self.patching.together(pixels)
        return pixels.clamp(-1, 1) if self.clamped else pixels


def _quantizer(kind: QuantizerKind, shape: ConvShape) -> Quantizer:
    if kind == "multi-scale":
        return MultiScaleQuantizer(
            shape.codebook_size, shape.code_dim, shape.scales, num_refiners=shape.num_refiners
        )
    if kind == "residual":
        num_codebooks = 1 if shape.shares_codebook else shape.depth
        books = [VectorQuantizer(shape.codebook_size, shape.code_dim) for _ in range(num_codebooks)]
        return ResidualQuantizer(books * shape.depth if shape.shares_codebook else books)
    if kind == "fsq":
        return FiniteScalarQuantizer(shape.digits)
    if kind == "logits":
        return ProjectedLogits(shape.codebook_size, shape.code_dim, shape.code_dim)
    if kind == "big" or kind == "little":
        if shape.codebook_size != 1 << shape.code_dim:
            raise WeightsError(
                f"{shape.code_dim} bits make {1 << shape.code_dim} codes, not {shape.codebook_size}"
            )
        return BinaryQuantizer(shape.code_dim, bit_order=kind)
    return VectorQuantizer(shape.codebook_size, shape.code_dim, _METRICS[kind])
