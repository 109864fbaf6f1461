"""An `Encoder` around a vision tower, or around tower and projector of a whole model.

In: a network with its tensors, and what is to come out of it. Out: features (B, N, D), row-major.
Reads no files.

Dimension letters: B batch, H W pixels, N vectors of a view, S tokens before the patches, T tiles,
D channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from vtok.errors import WeightsError
from vtok.models.base import Encoder, EncoderSpec, Interpolation
from vtok.models.vision.packing import SeePacked, prepare, qwen_packed
from vtok.models.vision.positions import set_interpolation
from vtok.models.vision.towers import Layers, Tower, image_px_of, interpolating
from vtok.models.vision.wholes import Whole

Compute = Callable[[Any, Tensor], Tensor]
ComputePacked = Callable[[Any, Sequence[Tensor]], list[Tensor]]


class VisionEncoder(Encoder):
    """A network of transformers as an encoder.

    Args:
        network: With its tensors.
        compute: Network, pixels (B, 3, H, W) → features (B, N, D).
        spec: The facts.
        has_table: Whether it has learned positions that can be interpolated.
        compute_packed: Network, pictures (3, H, W) of any sizes → features (N, D) of each; None
            where it takes them one by one.

    Attributes:
        num_bytes_read: Of its weights files, where it was loaded from some.
    """

    def __init__(
        self,
        network: nn.Module,
        compute: Compute,
        spec: EncoderSpec,
        *,
        has_table: bool = False,
        compute_packed: ComputePacked | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.spec = spec
        self.num_bytes_read = 0
        self._compute = compute
        self._has_table = has_table
        self._compute_packed = compute_packed
        if compute_packed is not None:
            prepare(network)
            self.can_pack = True

    def features(self, pixels: Tensor) -> Tensor:
        """Return features (B, N, D) of pixels (B, 3, H, W).

        Raises:
            WeightsError: the model gives vectors of another length than its configuration says.
        """
        features = self._compute(self.network, pixels)
        if features.ndim != 3 or features.shape[2] != self.spec.dim:
            raise WeightsError(
                f"{self.spec.name}: features of shape {tuple(features.shape)}, and its "
                f"configuration says (B, N, {self.spec.dim})"
            )
        return features

    def features_packed(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Return the features (N, D) of each of some pictures (3, H, W) of any sizes."""
        if self._compute_packed is None:
            return super().features_packed(images)
        return self._compute_packed(self.network, images)

    def take_sizes(self, interpolation: Interpolation) -> None:
        """Take views of other sizes; learned positions are interpolated.

        Raises:
            UsageError: its positions are of one size.
        """
        if not self._has_table:
            super().take_sizes(interpolation)
            return
        set_interpolation(self.network, interpolation)
        self.spec = replace(self.spec, interpolation=interpolation)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "VisionEncoder":
        """Move or convert, but for tables that are computed, not stored: angles stay in fp32."""
        tables = [
            (module, name, table)
            for module in self.network.modules()
            for name, table in module.named_buffers(recurse=False)
            if name in module._non_persistent_buffers_set and table.is_floating_point()
        ]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for module, name, table in tables:
            moved = getattr(module, name)
            if moved.dtype != table.dtype:
                setattr(module, name, table.to(moved.device))
        return self


def patches_of(attribute: str | None, tower: Tower, config: Any, layers: Layers) -> Compute:
    """Return what computes the vectors of patches, without the tokens before them.

    Args:
        attribute: Of the network, where the tower is a part of it.
        tower: The tower's row.
        config: The tower's configuration.
        layers: The states to take; empty for the last.
    """
    num_prefix = tower.num_prefix(config)

    def compute(network: Any, pixels: Tensor) -> Tensor:
        tokens = tower.see(_part(network, attribute), pixels, layers).tokens
        if not tower.reads_tiles_together:
            return tokens[:, num_prefix:]
        tiles = _by_tile(tokens, pixels, config)  # (B, T, S + N, D)
        return tiles[:, :, num_prefix:].flatten(1, 2)  # (B, T N, D)

    return compute


def packed_patches_of(
    see: SeePacked, attribute: str | None, tower: Tower, config: Any, layers: Layers
) -> ComputePacked:
    """Return what computes the vectors of patches of pictures of any sizes; as above."""
    num_prefix = tower.num_prefix(config)

    def compute(network: Any, images: Sequence[Tensor]) -> list[Tensor]:
        return [tokens[num_prefix:] for tokens in see(_part(network, attribute), images, layers)]

    return compute


def qwen_projected(network: Any, images: Sequence[Tensor]) -> list[Tensor]:
    """Return the vectors (M, D) of each picture in the language model's space (Qwen-VL)."""
    output, grids = qwen_packed(network.visual, images)
    cells = network.visual.config.spatial_merge_size**2
    merged: Tensor = output.pooler_output
    return list(torch.split(merged, [rows * cols // cells for rows, cols in grids]))


def cls_of(attribute: str | None, tower: Tower, config: Any, layers: Layers) -> Compute:
    """Return what computes the class token's vector (B, 1, D), or (B, T, D); as above."""

    def compute(network: Any, pixels: Tensor) -> Tensor:
        tokens = tower.see(_part(network, attribute), pixels, layers).tokens
        if not tower.reads_tiles_together:
            return tokens[:, :1]
        return _by_tile(tokens, pixels, config)[:, :, 0]  # (B, T, D)

    return compute


def pooled_of(attribute: str | None, tower: Tower) -> Compute:
    """Return what computes the tower's own pooled vector (B, 1, D)."""

    def compute(network: Any, pixels: Tensor) -> Tensor:
        pooled = tower.see(_part(network, attribute), pixels, ()).pooled
        assert pooled is not None
        return pooled.unsqueeze(1)

    return compute


def projected_of(whole: Whole, tower: Tower, layers: Layers) -> Compute:
    """Return what computes the vectors in the language model's space."""

    def compute(network: Any, pixels: Tensor) -> Tensor:
        return whole.project(network, tower, pixels, layers)

    return compute


def embedding(network: Any, pixels: Tensor) -> Tensor:
    """Return the vector (B, 1, D) of a picture in the space that it shares with texts (CLIP)."""
    found: Tensor = network(pixels, **interpolating(network.config, pixels)).image_embeds
    return found.unsqueeze(1)


def _part(network: Any, attribute: str | None) -> Any:
    return network if attribute is None else getattr(network, attribute)


def _by_tile(tokens: Tensor, canvas: Tensor, config: Any) -> Tensor:
    side = image_px_of(config)
    num_tiles = (canvas.shape[2] // side) * (canvas.shape[3] // side)
    return tokens.reshape(len(tokens), num_tiles, -1, tokens.shape[-1])  # (B, T, S + N, D)
