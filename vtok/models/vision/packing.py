"""Pictures of any sizes through a tower of transformers as one sequence, none seeing another.

In: a tower's network, pictures (3, H, W). Out: the tokens of each, as the tower gives them alone.
Patches and positions are made picture by picture, then lie end to end; the tower's own layers take
them as one sequence, and are told where pictures begin by a `Packing` in the place of a mask. A
table with a row for every way in.

Dimension letters: H W pixels, N patches, S tokens before them, D channels, P patch side.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vtok.models.vision.inputs import merged_patches, naflex_patches
from vtok.models.vision.towers import Layers, interpolating, patch_px_of, qwen_order
from vtok.nn.packing import Packing, attend_packed

SeePacked = Callable[[Any, Sequence[Tensor], Layers], list[Tensor]]

_IMPLEMENTATION = "vtok-packed"


def prepare(network: nn.Module) -> None:
    """Have a network's attention look for a `Packing`; without one it is what it was."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(_IMPLEMENTATION, _attend)
    AttentionMaskInterface.register(_IMPLEMENTATION, sdpa_mask)
    for module in network.modules():
        config = getattr(module, "config", None)
        if config is not None:
            config._attn_implementation = _IMPLEMENTATION


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **options: Any
) -> tuple[Tensor, None]:
    """Return attention (B, N, heads, C), as transformers' interface wants it."""
    if isinstance(attention_mask, Packing):
        mixed = attend_packed(query, key, value, attention_mask, attention_mask)
        return mixed.transpose(1, 2), None
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    found: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, **options
    )
    return found


def _through(
    blocks: Sequence[Any], parts: Sequence[Tensor], layers: Layers, **options: Any
) -> tuple[list[Tensor], Packing]:
    """Return the states (1, sum of N, D) that were asked for; the last where none were.

    Args:
        blocks: The tower's layers.
        parts: For each picture (1, N, D).
        layers: As transformers counts them.
        options: What else the layers are given.
    """
    packing = Packing.of_lengths([part.shape[1] for part in parts])
    states = [torch.cat(list(parts), dim=1)]
    for block in blocks:
        states.append(block(states[-1], attention_mask=packing, **options))
        if not layers:
            states = states[-1:]  # the others are not needed
    return [states[layer] for layer in layers] or states, packing


def _apart(states: Sequence[Tensor], packing: Packing) -> list[Tensor]:
    joined = torch.cat(list(states), dim=-1)[0]
    return list(torch.split(joined, packing.lengths))


def _naflex(network: Any, images: Sequence[Tensor], layers: Layers) -> list[Tensor]:
    patch = patch_px_of(network.config)
    parts = []
    for image in images:
        grid = torch.tensor([[image.shape[1] // patch, image.shape[2] // patch]])
        parts.append(network.embeddings(naflex_patches(image.unsqueeze(0), patch), grid))
    states, packing = _through(network.encoder.layers, parts, layers)
    return _apart(states if layers else [network.post_layernorm(states[0])], packing)


def _by_table(network: Any, images: Sequence[Tensor], layers: Layers) -> list[Tensor]:
    parts = [
        network.embeddings(image.unsqueeze(0), **interpolating(network.config, image.unsqueeze(0)))
        for image in images
    ]
    if hasattr(network, "pre_layrnorm"):  # CLIP's; so it is written
        states, packing = _through(
            network.encoder.layers, [network.pre_layrnorm(part) for part in parts], layers
        )
        return _apart(states, packing)
    states, packing = _through(network.encoder.layers, parts, layers)
    return _apart(states if layers else [network.post_layernorm(states[0])], packing)


def _vit(network: Any, images: Sequence[Tensor], layers: Layers) -> list[Tensor]:
    parts = [
        network.embeddings(image.unsqueeze(0), **interpolating(network.config, image.unsqueeze(0)))
        for image in images
    ]
    states, packing = _through(network.layers, parts, layers)
    return _apart(states if layers else [network.layernorm(states[0])], packing)


def _dino(network: Any, images: Sequence[Tensor], layers: Layers) -> list[Tensor]:
    parts = [network.embeddings(image.unsqueeze(0)) for image in images]
    states, packing = _through(network.encoder.layer, parts, layers)
    return _apart(states if layers else [network.layernorm(states[0])], packing)


def _pixtral(network: Any, images: Sequence[Tensor], layers: Layers) -> list[Tensor]:
    parts, places = [], []
    for image in images:
        cells = network.patch_conv(image.unsqueeze(0).to(network.patch_conv.weight.dtype))[0]
        parts.append(network.ln_pre(cells.flatten(1).T.unsqueeze(0)))  # (1, N, D)
        rows, cols = (torch.arange(side, device=cells.device) for side in cells.shape[1:])
        places.append(torch.cartesian_prod(rows, cols).reshape(-1, 2))
    angles = network.patch_positional_embedding(parts[0], torch.cat(places))
    options = {"position_embeddings": angles}
    states, packing = _through(network.transformer.layers, parts, layers, **options)
    return _apart(states, packing)


def _qwen(network: Any, images: Sequence[Tensor], layers: Layers) -> list[Tensor]:
    output, grids = qwen_packed(network, images, layers)
    if layers:
        joined = torch.cat([output.hidden_states[layer] for layer in layers], dim=-1)
    else:
        joined = output.last_hidden_state
    pieces = torch.split(joined, [rows * cols for rows, cols in grids])
    return [
        qwen_order(network, piece.unsqueeze(0), rows, cols)[0]
        for piece, (rows, cols) in zip(pieces, grids, strict=True)
    ]


def qwen_packed(
    network: Any, images: Sequence[Tensor], layers: Layers = ()
) -> tuple[Any, list[tuple[int, int]]]:
    """Return what a Qwen-VL tower gives of all pictures, and rows and columns of patches of each.

    Its own code keeps pictures apart.
    """
    config = network.config
    patch = patch_px_of(config)
    grids = [(image.shape[1] // patch, image.shape[2] // patch) for image in images]
    patches = [
        merged_patches(
            image.unsqueeze(0), patch, config.spatial_merge_size, config.temporal_patch_size
        )
        for image in images
    ]
    thw = torch.tensor([[1, rows, cols] for rows, cols in grids], device=images[0].device)
    options = {"output_hidden_states": list(layers)} if layers else {}
    return network(torch.cat(patches), grid_thw=thw, **options), grids


PACKED: dict[str, SeePacked] = {
    "clip_vision_model": _by_table,
    "siglip_vision_model": _by_table,
    "siglip2_vision_model": _naflex,
    "vit": _vit,
    "dinov2": _dino,
    "dinov2_with_registers": _dino,
    "pixtral": _pixtral,
    "qwen2_vl_vision": _qwen,
    "qwen2_5_vl_vision": _qwen,
    "qwen3_vl_vision": _qwen,
}
