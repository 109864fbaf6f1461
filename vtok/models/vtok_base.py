"""The tokenizer that ships: convolutions, and where asked windowed attention, at 1/8 scale.

In: pixels (B, 3, H, W) in [-1, 1], H and W multiples of the patch. Out: latents, indices, codes,
pixels; or the encoder's features. Knows nothing of files, losses or how it is trained.

Dimension letters: B batch, H W pixels, P patch side, h w latent grid, D code channels, C width.
"""

import torch
from torch import Tensor

from vtok.errors import UsageError
from vtok.models.base import Encoder, EncoderSpec, PixelRange, TokenizerSpec
from vtok.models.quantized import QuantizedTokenizer
from vtok.models.reach import Reach
from vtok.models.vtok_base_networks import FAMILY, Analysis, Synthesis, VtokBaseConfig
from vtok.nn.quantizer import Choice, ErrorDiffusion, VectorQuantizer
from vtok.nn.quantizer.diffusion import PERIOD_CELLS
from vtok.quantities import counted


class VtokBaseTokenizer(QuantizedTokenizer):
    """Images to indices of 8,192 codes and back, at any size that the patch divides.

    Args:
        config: The shape of the model.
        name: The name it was asked for by.
    """

    quantizer: VectorQuantizer

    def __init__(self, config: VtokBaseConfig, *, name: str = FAMILY) -> None:
        super().__init__()
        self.config = config
        self.spec = TokenizerSpec(
            name=name,
            family=FAMILY,
            downsample=config.patch_px,
            codebook_size=config.codebook_size,
            code_dim=config.code_dim,
            pixels=PixelRange(),
            alignment_px=config.patch_px,
            diffusion_sweeps=config.diffusion_sweeps,
        )
        self.analysis = Analysis(config)
        self.quantizer = VectorQuantizer(config.codebook_size, config.code_dim)
        self.synthesis = Synthesis(config)
        self.reach = Reach.of(self.analysis, self.synthesis)
        self.diffusion: ErrorDiffusion | None = None
        if config.diffusion_sweeps:
            self.diffusion = ErrorDiffusion(config.code_dim, config.diffusion_sweeps)
            self.reach = self.reach.behind(self.diffusion.reach_cells, PERIOD_CELLS)

    def encode(self, pixels: Tensor) -> Tensor:
        """Return latents (B, D, h, w) of pixels (B, 3, H, W) in [-1, 1]."""
        latents: Tensor = self.analysis(pixels)
        return latents

    def quantize(self, latents: Tensor) -> Tensor:
        """Return indices (B, h, w) of latents (B, D, h, w), chosen together over the grid.

        Raises:
            NonFiniteError: a latent is NaN or infinite.
        """
        return self.choose(latents).indices

    def choose(self, latents: Tensor) -> Choice:
        """Return the codes of latents (B, D, h, w), and what each is the nearest one to.

        Raises:
            NonFiniteError: a latent is NaN or infinite.
        """
        channels_last = latents.movedim(1, -1)  # (B, h, w, D)
        if self.diffusion is None:
            return Choice(self.quantizer.quantize(channels_last), channels_last.detach().float())
        return self.diffusion.choose(channels_last, self.quantizer)

    def decode(self, codes: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W), about [-1, 1] and unclamped, of codes (B, D, h, w)."""
        pixels: Tensor = self.synthesis(codes)
        return pixels


class VtokBaseEncoder(Encoder):
    """The same encoder's features as continuous tokens: one vector per 8x8 patch.

    Args:
        config: The shape of the model.
        name: The name it was asked for by.
        layers: The states to give as they are, one after the other: that before layer 0, 1, ...,
            or counted from -1 after the last; empty for the last one whitened.

    Raises:
        UsageError: there is no such layer.
    """

    def __init__(
        self, config: VtokBaseConfig, *, name: str = FAMILY, layers: tuple[int, ...] = ()
    ) -> None:
        super().__init__()
        depth = len(config.encoder_layers)
        for layer in layers:
            if not -depth - 1 <= layer <= depth:
                raise UsageError(
                    f"{name} has {counted(depth, 'layer')}: a layer is in "
                    f"[{-depth - 1}, {depth}] (0 before the first, -1 after the last), not {layer}"
                )
        self.config = config
        self.depths = [layer % (depth + 1) for layer in layers]
        self.spec = EncoderSpec(
            name=name,
            family=FAMILY,
            patch_px=config.patch_px,
            dim=config.width * max(1, len(self.depths)),
            layers=layers,
            pixels=PixelRange(),
            alignment_px=config.patch_px,
        )
        self.analysis = Analysis(config)

    def features(self, pixels: Tensor) -> Tensor:
        """Return features (B, hw, C), row-major, of pixels (B, 3, H, W) in [-1, 1].

        C is the width times the number of layers that were asked for.
        """
        if self.depths:
            states = [self.analysis.features(pixels, num_layers=depth) for depth in self.depths]
            chosen = torch.cat(states, 1)
        else:
            chosen = self.analysis.whitened(pixels)
        return chosen.flatten(2).transpose(1, 2)  # (B, hw, C)
