"""The networks of the tokenizer that ships: pixels to latents, codes to pixels.

Any size: nothing in them depends on a grid, positions are rotary and attention looks inside shifted
windows, so that cost grows with the area.

A straight path runs beside each network: latents are a linear map of the patch plus what the
encoder adds, pixels a linear map of the code plus what the decoder adds. Started from principal
components (`vtok.training.start`), the model is a transform coder before its first step, and
learns only what a transform coder cannot do. There are no norms on the convolutional branches
(EDSR, arXiv 1707.02921); every branch starts at zero.

Dimension letters: B batch, H W pixels, P patch side, h w latent grid, D code channels, C width.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtok.errors import WeightsError
from vtok.nn.attention import SelfAttention
from vtok.nn.position import RotaryPosition2d
from vtok.nn.windows import Windows
from vtok.quantities import counted
from vtok.records import Grid

FAMILY = "vtok-base"
MAX_LAYERS = 256
"""In each network: a configuration can claim any number, and each is made before it is missed."""
MAX_SWEEPS = 16
"""Over the codes of an image; the third one already gains little."""
LayerKind = Literal["conv", "attention"]
_LETTERS: dict[str, LayerKind] = {"c": "conv", "a": "attention"}


@dataclass(frozen=True, slots=True, kw_only=True)
class VtokBaseConfig:
    """The shape of the model.

    Attributes:
        patch_px: Side of a patch (P): pixels per latent cell along one side.
        width: Channels of both networks (C).
        hidden: Channels between the two convolutions of a layer.
        encoder_layers: One letter a layer: `c` convolutions, `a` attention.
        decoder_layers: Likewise.
        num_heads: Of the attention layers; width / num_heads is a multiple of 4.
        window: Side of attention windows, in cells; every second one is shifted by half.
        codebook_size: Number of codes (K).
        code_dim: Length of one code (D).
        diffusion_sweeps: Rounds in which codes are chosen with regard to their neighbours
            (`vtok.nn.quantizer.diffusion`), by a filter among the weights; 0 where there is none,
            and each latent has the nearest code.
    """

    patch_px: int = 8
    width: int = 256
    hidden: int = 252
    encoder_layers: str = "cc"
    decoder_layers: str = "cccccc"
    num_heads: int = 4
    window: int = 16
    codebook_size: int = 8192
    code_dim: int = 8
    diffusion_sweeps: int = 2

    def __post_init__(self) -> None:
        for letters in (self.encoder_layers, self.decoder_layers):
            if not letters or set(letters) - set(_LETTERS):
                raise WeightsError(f"layers are written with c and a, not {letters[:40]!r}")
            if len(letters) > MAX_LAYERS:
                layers = counted(len(letters), "layer")
                raise WeightsError(f"a network of {layers} (at most {MAX_LAYERS})")

        if self.diffusion_sweeps > MAX_SWEEPS:
            raise WeightsError(f"{self.diffusion_sweeps} sweeps over codes (at most {MAX_SWEEPS})")

    def to_json(self) -> dict[str, Any]:
        """Return the content of the model folder's config.json."""
        return {"family": FAMILY, **asdict(self)}


class ConvLayer(nn.Module):
    """x + convolution(relu(convolution(x))), 3x3 both; the second starts at zero.

    Args:
        width: Channels (C).
        hidden: Channels between the convolutions.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, hidden, 3, padding=1)
        self.conv2 = _zeroed(nn.Conv2d(hidden, width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, h, w) of x (B, C, h, w)."""
        change: Tensor = self.conv2(functional.relu(self.conv1(x)))
        return x + change


class AttentionLayer(nn.Module):
    """x + attention(norm(x)) inside windows, positions rotary; the projection starts at zero.

    Args:
        width: Channels (C).
        num_heads: Divides width.
        window: Side of a window, in cells.
        shift: Where the first window border lies, in cells.
    """

    def __init__(self, width: int, num_heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.window = window
        self.shift = shift
        self.position = RotaryPosition2d(width // num_heads)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.attention = SelfAttention(width, num_heads)
        nn.init.zeros_(self.attention.proj.weight)
        nn.init.zeros_(self.attention.proj.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, h, w) of x (B, C, h, w)."""
        grid = Grid(rows=x.shape[2], cols=x.shape[3])
        tokens = self.norm(x.flatten(2).transpose(1, 2))  # (B, hw, C)
        mixed = self.attention(
            tokens,
            rotation=self.position.grid_angles(grid, x.device),
            windows=Windows(grid=grid, window=self.window, shift=self.shift),
        )
        change: Tensor = mixed.transpose(1, 2).unflatten(2, (grid.rows, grid.cols))
        return x + change  # (B, C, h, w)


class Analysis(nn.Module):
    """Pixels to features, and features to latents.

    Args:
        config: The shape of the model.
    """

    def __init__(self, config: VtokBaseConfig) -> None:
        super().__init__()
        self.patch_px = config.patch_px
        patch_dim = 3 * config.patch_px**2
        self.straight = nn.Conv2d(patch_dim, config.code_dim, 1)
        self.stem = nn.Conv2d(patch_dim, config.width, 1)
        self.layers = _layers(config, config.encoder_layers)
        self.head = _zeroed(nn.Conv2d(config.width, config.code_dim, 1))
        self.whitening = _identity(config.width).requires_grad_(False)

    def whitened(self, pixels: Tensor) -> Tensor:
        """Return the last features of pixels (B, 3, H, W) in other coordinates: (B, C, h, w).

        There, what views of one image differ in is small and alike in all directions
        (`vtok.training.whitening`), so that distances mean something. Nothing is lost: the map is
        linear and has an inverse.
        """
        whitened: Tensor = self.whitening(self.features(pixels))
        return whitened

    def features(self, pixels: Tensor, *, num_layers: int | None = None) -> Tensor:
        """Return the features (B, C, h, w) of pixels (B, 3, H, W), after the last layer or n."""
        return self._run(self._patches(pixels), num_layers)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return latents (B, D, h, w) of pixels (B, 3, H, W)."""
        patches = self._patches(pixels)
        features = self._run(patches, None)
        with _full_precision(pixels):
            latents: Tensor = self.straight(patches.float()) + self.head(features.float())
        return latents

    def _patches(self, pixels: Tensor) -> Tensor:
        return functional.pixel_unshuffle(pixels, self.patch_px)  # (B, 3PP, h, w)

    def _run(self, patches: Tensor, num_layers: int | None) -> Tensor:
        x: Tensor = self.stem(patches)
        for layer in list(self.layers)[:num_layers]:
            x = layer(x)
        return x


class Synthesis(nn.Module):
    """Codes to pixels.

    Args:
        config: The shape of the model.
    """

    def __init__(self, config: VtokBaseConfig) -> None:
        super().__init__()
        self.patch_px = config.patch_px
        patch_dim = 3 * config.patch_px**2
        self.straight = nn.Conv2d(config.code_dim, patch_dim, 1)
        self.stem = nn.Conv2d(config.code_dim, config.width, 1)
        self.layers = _layers(config, config.decoder_layers)
        self.head = _zeroed(nn.Conv2d(config.width, patch_dim, 3, padding=1))

    def forward(self, codes: Tensor) -> Tensor:
        """Return pixels (B, 3, H, W) of codes (B, D, h, w)."""
        features = self.layers(self.stem(codes))
        with _full_precision(codes):
            patches = self.straight(codes.float()) + self.head(features.float())
        return functional.pixel_shuffle(patches, self.patch_px)  # (B, 3, H, W)


def _layers(config: VtokBaseConfig, letters: str) -> nn.Sequential:
    """Return the layers that the letters name; every second attention layer is shifted."""
    layers: list[nn.Module] = []
    num_attention = 0
    for letter in letters:
        if _LETTERS[letter] == "conv":
            layers.append(ConvLayer(config.width, config.hidden))
            continue
        shift = (num_attention % 2) * (config.window // 2)
        layers.append(AttentionLayer(config.width, config.num_heads, config.window, shift))
        num_attention += 1
    return nn.Sequential(*layers)


def _identity(width: int) -> nn.Conv2d:
    """Return a map of each vector by itself, which changes nothing yet."""
    layer = nn.Conv2d(width, width, 1)
    nn.init.eye_(layer.weight.flatten(1))  # in one go, unlike dirac_, whatever the width
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def _full_precision(like: Tensor) -> torch.autocast:
    return torch.autocast(like.device.type, enabled=False)


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """Return the layer with weights and bias at zero."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
