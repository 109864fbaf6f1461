"""The vision towers of transformers: how each is called, and which of its tokens are what.

In: a network of transformers, pixels (B, 3, H, W). Out: its tokens after the last layer, or after
those that were asked for, in reading order; its own pooled vector. A table with a row an
architecture. Imports no transformers: networks and configurations come from outside.

Dimension letters: B batch, H W pixels, N patches, S tokens before them, D channels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vtok.models.vision.inputs import (
    grids_thw,
    merged_patches,
    naflex_patches,
    reading_order,
    tiles_of,
    windows_undone,
)

Layers = tuple[int, ...]


class Seen(NamedTuple):
    """What a tower makes of pictures.

    Attributes:
        tokens: (B, S + N, D), the class token and registers first; of several layers, one after the
            other in D.
        pooled: (B, D) where the tower pools.
    """

    tokens: Tensor
    pooled: Tensor | None


See = Callable[[Any, Tensor, Layers], Seen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tower:
    """An architecture.

    Attributes:
        class_name: Of its network in transformers.
        see: Calls it.
        num_prefix: Configuration → tokens before the patches.
        has_cls: Whether the first of them is a class token.
        pools: Configuration → whether it has a pooled vector of its own.
        is_fixed: Whether it takes pictures of its own size alone.
        merge: Configuration → patches along one side that its sides must be multiples of.
        width: Name of the configuration's field with the length of a vector.
        depth: Name of the field with the number of layers.
        takes_layers: Whether the states between its layers can be asked for.
        reads_tiles_together: Whether an image's tiles see each other.
        has_table: Whether its positions are a table that is interpolated to other sizes.
    """

    class_name: str
    see: See
    num_prefix: Callable[[Any], int] = lambda config: 0
    has_cls: bool = False
    pools: Callable[[Any], bool] = lambda config: False
    is_fixed: bool = True
    merge: Callable[[Any], int] = lambda config: 1
    width: str = "hidden_size"
    depth: str = "num_hidden_layers"
    takes_layers: bool = True
    reads_tiles_together: bool = False
    has_table: bool = False


def patch_px_of(config: Any) -> int:
    """Return the side of a tower's patches."""
    patch = config.patch_size
    return int(patch[0] if isinstance(patch, list | tuple) else patch)


def image_px_of(config: Any) -> int:
    """Return the side of the pictures that a tower was made for."""
    size = config.image_size
    return int(size[0] if isinstance(size, list | tuple) else size)


def _states(layers: Layers) -> dict[str, Any]:
    return {"output_hidden_states": list(layers)} if layers else {}


def _chosen(output: Any, layers: Layers) -> Tensor:
    """Return the states that were asked for, as the models join them: along the channels."""
    if not layers:
        last: Tensor = output.last_hidden_state
        return last
    return torch.cat([output.hidden_states[layer] for layer in layers], dim=-1)


def _see(network: Any, pixels: Tensor, layers: Layers) -> Seen:
    output = network(pixels, **_states(layers))
    return Seen(_chosen(output, layers), getattr(output, "pooler_output", None))


def _see_by_table(network: Any, pixels: Tensor, layers: Layers) -> Seen:
    output = network(pixels, **_states(layers), **interpolating(network.config, pixels))
    return Seen(_chosen(output, layers), getattr(output, "pooler_output", None))


def interpolating(config: Any, pixels: Tensor) -> dict[str, bool]:
    """Return what asks a tower to interpolate its positions, for pictures not of its own size."""
    own = image_px_of(config)
    is_own = tuple(pixels.shape[2:]) == (own, own)
    return {} if is_own else {"interpolate_pos_encoding": True}


def _see_naflex(network: Any, pixels: Tensor, layers: Layers) -> Seen:
    patch = patch_px_of(network.config)
    batch, rows, cols = len(pixels), pixels.shape[2] // patch, pixels.shape[3] // patch
    output = network(
        naflex_patches(pixels, patch),
        pixel_attention_mask=torch.ones(
            batch, rows * cols, dtype=torch.int64, device=pixels.device
        ),
        spatial_shapes=torch.tensor([[rows, cols]] * batch, device=pixels.device),
        **_states(layers),
    )
    return Seen(_chosen(output, layers), output.pooler_output)


def _see_pixtral(network: Any, pixels: Tensor, layers: Layers) -> Seen:
    output = network(pixels, **_states(layers))
    tokens = _chosen(output, layers)  # (1, B N, D)
    return Seen(tokens.reshape(len(pixels), -1, tokens.shape[-1]), None)  # (B, N, D)


def _see_qwen(network: Any, pixels: Tensor, layers: Layers) -> Seen:
    output, rows, cols = qwen_output(network, pixels, layers)
    tokens = _chosen(output, layers)  # (B N, D)
    tokens = tokens.reshape(len(pixels), rows * cols, -1)  # (B, N, D)
    return Seen(qwen_order(network, tokens, rows, cols), None)


def qwen_order(network: Any, tokens: Tensor, rows: int, cols: int) -> Tensor:
    """Return a Qwen-VL tower's tokens (B, N, D) of pictures of one size in reading order."""
    merge, window_px = network.config.spatial_merge_size, getattr(network, "window_size", None)
    if window_px is not None:
        side = window_px // merge // patch_px_of(network.config)
        tokens = windows_undone(tokens, rows, cols, merge, side)
    return reading_order(tokens, rows, cols, merge)


def qwen_output(network: Any, pixels: Tensor, layers: Layers) -> tuple[Any, int, int]:
    """Return what a Qwen-VL tower gives, its merged tokens among it, and rows and columns."""
    config = network.config
    patch = patch_px_of(config)
    rows, cols = pixels.shape[2] // patch, pixels.shape[3] // patch
    patches = merged_patches(pixels, patch, config.spatial_merge_size, config.temporal_patch_size)
    grids = grids_thw(len(pixels), rows, cols, pixels.device)
    return network(patches, grid_thw=grids, **_states(layers)), rows, cols


def _see_mllama(network: Any, canvas: Tensor, layers: Layers) -> Seen:
    tile_px, most = network.config.image_size, network.config.max_num_tiles
    rows, cols = canvas.shape[2] // tile_px, canvas.shape[3] // tile_px
    tiles = tiles_of(canvas, tile_px)  # (B, T, 3, S, S)
    batch, num_tiles = tiles.shape[:2]
    padding = tiles.new_zeros(batch, most - num_tiles, *tiles.shape[2:])
    arrangements = [(r, c) for r in range(1, most + 1) for c in range(1, most + 1) if r * c <= most]
    number = arrangements.index((rows, cols)) + 1
    mask = torch.zeros(batch, 1, most, dtype=torch.int64, device=canvas.device)
    mask[:, :, :num_tiles] = 1
    output = network(
        torch.cat((tiles, padding), dim=1).unsqueeze(1),  # (B, 1, most, 3, S, S)
        aspect_ratio_ids=torch.full((batch, 1), number, device=canvas.device),
        aspect_ratio_mask=mask,
    )
    states = output.last_hidden_state[:, 0, :num_tiles]  # (B, T, 1 + N, D)
    return Seen(states.flatten(1, 2), None)  # (B, T (1 + N), D)


def _one(config: Any) -> int:
    return 1


def _with_registers(config: Any) -> int:
    return 1 + int(config.num_register_tokens)


def _always(config: Any) -> bool:
    return True


def _with_head(config: Any) -> bool:
    return bool(getattr(config, "vision_use_head", True))


def _spatial_merge(config: Any) -> int:
    return int(config.spatial_merge_size)


_QWEN: dict[str, Any] = {
    "see": _see_qwen,
    "is_fixed": False,
    "merge": _spatial_merge,
    "depth": "depth",
}

TOWERS: dict[str, Tower] = {
    "clip_vision_model": Tower(
        class_name="CLIPVisionModel",
        see=_see_by_table,
        has_table=True,
        num_prefix=_one,
        has_cls=True,
        pools=_always,
    ),
    "siglip_vision_model": Tower(
        class_name="SiglipVisionModel", see=_see_by_table, has_table=True, pools=_with_head
    ),
    "siglip2_vision_model": Tower(
        class_name="Siglip2VisionModel", see=_see_naflex, is_fixed=False, pools=_with_head
    ),
    "vit": Tower(
        class_name="ViTModel",
        see=_see_by_table,
        has_table=True,
        num_prefix=_one,
        has_cls=True,
        pools=_always,
    ),
    "dinov2": Tower(
        class_name="Dinov2Model",
        see=_see,
        has_table=True,
        num_prefix=_one,
        has_cls=True,
        is_fixed=False,
        pools=_always,
    ),
    "dinov2_with_registers": Tower(
        class_name="Dinov2WithRegistersModel",
        see=_see,
        has_table=True,
        num_prefix=_with_registers,
        has_cls=True,
        pools=_always,
        is_fixed=False,
    ),
    "dinov3_vit": Tower(
        class_name="DINOv3ViTModel",
        see=_see,
        num_prefix=_with_registers,
        has_cls=True,
        pools=_always,
        is_fixed=False,
    ),
    "internvl_vision": Tower(
        class_name="InternVLVisionModel", see=_see, has_table=True, num_prefix=_one, has_cls=True
    ),
    "pixtral": Tower(class_name="PixtralVisionModel", see=_see_pixtral, is_fixed=False),
    "qwen2_vl_vision": Tower(
        class_name="Qwen2VisionTransformerPretrainedModel", width="embed_dim", **_QWEN
    ),
    "qwen2_5_vl_vision": Tower(class_name="Qwen2_5_VisionTransformerPretrainedModel", **_QWEN),
    "qwen3_vl_vision": Tower(class_name="Qwen3VLVisionModel", **_QWEN),
    "idefics3_vision": Tower(class_name="Idefics3VisionTransformer", see=_see),
    "smolvlm_vision": Tower(class_name="SmolVLMVisionTransformer", see=_see),
    "mllama_vision_model": Tower(
        class_name="MllamaVisionModel",
        see=_see_mllama,
        num_prefix=_one,
        has_cls=True,
        width="vision_output_dim",
        takes_layers=False,
        reads_tiles_together=True,
    ),
}
