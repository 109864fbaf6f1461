"""A vision transformer: patches, positions of any kind, pre-norm blocks; any size patches divide.

In: pixels (B, 3, H, W), normalised by the caller. Out: one vector per patch, row-major, and the
residual stream after any layer asked for. Knows nothing of files, schemes, losses or published
weights.

Dimension letters: B batch, H W pixels, P patch side, N = (H/P)(W/P) patches, D channels, T prefix
tokens (a class token, registers).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from vtok.nn.block import Block
from vtok.nn.packing import Packing
from vtok.nn.position import (
    Interpolation,
    LearnedPosition1d,
    LearnedPosition2d,
    RotaryPosition2d,
    Rotation,
    SineCosinePosition2d,
    grid_positions,
)
from vtok.nn.windows import Windows
from vtok.records import Grid

PositionKind = Literal["learned-1d", "learned-2d", "sine-cosine-2d", "rotary-2d"]

_INIT_STD = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class VitConfig:
    """The shape of a vision transformer.

    Attributes:
        patch_px: Side of a patch (P).
        dim: Channels (D).
        depth: Number of blocks.
        num_heads: Divides dim.
        mlp_ratio: Channels inside an MLP, as a multiple of dim.
        position: Which positions; rotary ones work at any size without a training grid.
        grid: Training grid of learned positions; needed by these and only by these.
        interpolation: How `learned-1d` positions reach other grids.
        rotary_base: Base of rotary frequencies.
        num_prefix: Learned tokens before the patches (T).
        window: Side of attention windows in cells, None for attention over the whole image. Every
            second block's windows are shifted by half. Excludes prefix tokens.
        norm_eps: Of every LayerNorm.
        layer_scale: Initial factor of the residual branches, None for branches without.
        in_channels: 3 for RGB.
    """

    patch_px: int
    dim: int
    depth: int
    num_heads: int
    mlp_ratio: float = 4.0
    position: PositionKind = "rotary-2d"
    grid: Grid | None = None
    interpolation: Interpolation = "bilinear"
    rotary_base: float = 10000.0
    num_prefix: int = 0
    window: int | None = None
    norm_eps: float = 1e-6
    layer_scale: float | None = None
    in_channels: int = 3

    def __post_init__(self) -> None:
        if self.position.startswith("learned") != (self.grid is not None):
            raise ValueError(
                f"position {self.position!r} with grid {self.grid}: learned positions"
                " need a training grid, and only they"
            )
        if self.window is not None and self.num_prefix:
            raise ValueError("prefix tokens lie in no window: set num_prefix=0 or window=None")


@dataclass(frozen=True, slots=True, kw_only=True)
class VitOutput:
    """What a vision transformer saw.

    Attributes:
        tokens: (B, N, D) after the last norm, row-major over the grid.
        prefix: (B, T, D) likewise.
        grid: Rows and columns of patches.
        layers: (B, N, D) residual stream by the number that was asked for, before any last norm.
    """

    tokens: Tensor
    prefix: Tensor
    grid: Grid
    layers: dict[int, Tensor] = field(default_factory=dict)


class VisionTransformer(nn.Module):
    """ViT (arXiv 2010.11929) with a choice of positions and optional windows.

    Args:
        config: Its shape.
    """

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        self.config = config
        patch = config.patch_px
        self.patch_embed = nn.Conv2d(
            config.in_channels, config.dim, kernel_size=patch, stride=patch
        )
        self.prefix = nn.Parameter(torch.empty(config.num_prefix, config.dim))
        self.position = _added_position(config)
        self.rotary = (
            RotaryPosition2d(config.dim // config.num_heads, config.rotary_base)
            if config.position == "rotary-2d"
            else None
        )
        self.blocks = nn.ModuleList(
            Block(
                config.dim,
                config.num_heads,
                round(config.dim * config.mlp_ratio),
                norm_eps=config.norm_eps,
                layer_scale=config.layer_scale,
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.apply(_initialise)
        nn.init.trunc_normal_(self.prefix, std=_INIT_STD)

    def grid_of(self, pixels: Tensor) -> Grid:
        """Return the grid of patches of pixels (..., H, W).

        Raises:
            ValueError: Patches do not divide the image.
        """
        height, width, patch = pixels.shape[-2], pixels.shape[-1], self.config.patch_px
        if height % patch or width % patch or not height or not width:
            raise ValueError(
                f"patches of {patch} pixels do not divide an image of {width}x{height}"
            )
        return Grid(rows=height // patch, cols=width // patch)

    def forward(self, pixels: Tensor, *, layers: Sequence[int] = ()) -> VitOutput:
        """Return one vector per patch.

        Args:
            pixels: (B, 3, H, W) float; H and W multiples of patch_px.
            layers: Numbers of further outputs, as transformers counts `hidden_states`: 0 before the
                first block, i after block i, -1 after the last, -2 (LLaVA's) one earlier.
        """
        grid = self.grid_of(pixels)
        wanted = _layer_numbers(layers, self.config.depth)
        x = self._embed(pixels, grid)  # (B, T + N, D)
        rotation = self._rotation(grid, x.device)
        num_prefix = self.config.num_prefix
        kept = {asked: x[:, num_prefix:] for asked, number in wanted.items() if number == 0}
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, rotation=rotation, windows=self._windows(grid, number))
            kept |= {asked: x[:, num_prefix:] for asked, at in wanted.items() if at == number}
        x = self.norm(x)
        return VitOutput(tokens=x[:, num_prefix:], prefix=x[:, :num_prefix], grid=grid, layers=kept)

    def forward_packed(
        self, images: Sequence[Tensor], *, layers: Sequence[int] = ()
    ) -> list[VitOutput]:
        """Return what `forward` would of each image, computed as one sequence without padding.

        The linear layers see all images at once, attention sees one at a time: no image sees
        another, and each comes out as it would alone, but for rounding (NaViT, arXiv 2307.06304).

        Args:
            images: Each (3, H, W) float, of any sizes; sides multiples of patch_px.
            layers: As in `forward`.

        Returns:
            For each image its output, with B = 1.
        """
        if self.config.window is not None:
            raise ValueError("images are packed for global attention; windows need no packing")
        grids = [self.grid_of(image) for image in images]
        wanted = _layer_numbers(layers, self.config.depth)
        parts = [
            self._embed(image.unsqueeze(0), grid) for image, grid in zip(images, grids, strict=True)
        ]
        packing = Packing.of_lengths([part.shape[1] for part in parts])
        x = torch.cat(parts, dim=1)  # (1, sum of T + N, D)
        rotation = _joined([self._rotation(grid, x.device) for grid in grids])
        kept = {asked: x for asked, number in wanted.items() if number == 0}
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, rotation=rotation, packing=packing)
            kept |= {asked: x for asked, at in wanted.items() if at == number}
        whole = torch.split(self.norm(x), packing.lengths, dim=1)
        states = {
            asked: torch.split(state, packing.lengths, dim=1) for asked, state in kept.items()
        }
        num_prefix = self.config.num_prefix
        return [
            VitOutput(
                tokens=each[:, num_prefix:],
                prefix=each[:, :num_prefix],
                grid=grids[number],
                layers={asked: parts[number][:, num_prefix:] for asked, parts in states.items()},
            )
            for number, each in enumerate(whole)
        ]

    def _embed(self, pixels: Tensor, grid: Grid) -> Tensor:
        """Return prefix and patches with their added positions: (B, T + N, D)."""
        patches = self.patch_embed(pixels).flatten(2).transpose(1, 2)  # (B, N, D)
        prefix = self.prefix.to(patches.dtype).expand(len(patches), -1, -1)
        x = torch.cat((prefix, patches), dim=1)
        if self.position is None:
            return x
        positions: Tensor = self.position(grid)
        return x + positions.to(device=x.device, dtype=x.dtype)

    def _rotation(self, grid: Grid, device: torch.device) -> Rotation | None:
        """Return the angles of prefix and patches; the prefix is not turned."""
        if self.rotary is None:
            return None
        rows, cols = grid_positions(grid, device)
        nowhere = rows.new_zeros(self.config.num_prefix)
        return self.rotary.angles(torch.cat((nowhere, rows)), torch.cat((nowhere, cols)))

    def _windows(self, grid: Grid, number: int) -> Windows | None:
        """Return the windows of a block (from 1 on): shifted by half in the even ones."""
        window = self.config.window
        if window is None:
            return None
        return Windows(grid=grid, window=window, shift=0 if number % 2 else window // 2)


def _joined(rotations: Sequence[Rotation | None]) -> Rotation | None:
    """Return the angles of images laid end to end, if there are any."""
    turned = [rotation for rotation in rotations if rotation is not None]
    if not turned:
        return None
    return Rotation(
        cos=torch.cat([rotation.cos for rotation in turned]),
        sin=torch.cat([rotation.sin for rotation in turned]),
    )


def _added_position(config: VitConfig) -> nn.Module | None:
    """Return the module whose vectors are added to the tokens, if positions are of that kind."""
    if config.position == "rotary-2d":
        return None
    if config.position == "sine-cosine-2d":
        return SineCosinePosition2d(config.dim, num_prefix=config.num_prefix)
    assert config.grid is not None
    if config.position == "learned-2d":
        return LearnedPosition2d(config.grid, config.dim, num_prefix=config.num_prefix)
    return LearnedPosition1d(
        config.grid, config.dim, num_prefix=config.num_prefix, mode=config.interpolation
    )


def _layer_numbers(layers: Sequence[int], depth: int) -> dict[int, int]:
    """Return for every number asked for the block after which it is taken, 0 for none."""
    numbers = {}
    for asked in layers:
        if not -(depth + 1) <= asked <= depth:
            raise ValueError(f"layer {asked} of a transformer of {depth} blocks")
        numbers[asked] = asked if asked >= 0 else depth + 1 + asked
    return numbers


def _initialise(module: nn.Module) -> None:
    """Draw weights as ViT does: truncated normal of 0.02, biases 0."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=_INIT_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
