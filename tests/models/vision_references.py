"""What transformers' own models give: patches, class tokens, pooled and projected vectors.

Every function takes a model's name in `vision_models`, the model, and what its image processor made
of one picture. Letters: N patches, M vectors after the projector, D channels.
"""

from typing import Any

import torch
from vision_models import dual_configs

DUALS = frozenset(dual_configs())
HAS_CLS = ("clip", "clip-dual", "vit", "dinov2", "dinov2-registers", "dinov3", "internvit")
NUM_PREFIX = {"dinov2-registers": 4, "dinov3": 3}


def their_tower(name: str, model: Any, inputs: dict[str, Any], layer: int | None) -> Any:
    """The output of a tower; its states after a layer are among the hidden ones."""
    known = ("pixel_values", "pixel_attention_mask", "spatial_shapes", "image_sizes")
    call = {key: inputs[key] for key in known if key in inputs}
    tower = model.vision_model if name in DUALS else model
    return tower(**call, output_hidden_states=True)


def their_states(name: str, output: Any, inputs: dict[str, Any], layer: int | None) -> Any:
    tokens = output.last_hidden_state if layer is None else output.hidden_states[layer]
    if "pixel_attention_mask" in inputs:
        tokens = tokens[:, : int(inputs["pixel_attention_mask"].sum())]
    return tokens


def their_patches(
    name: str, model: Any, inputs: dict[str, Any], layer: int | None = None
) -> torch.Tensor:
    output = their_tower(name, model, inputs, layer)
    prefix = NUM_PREFIX.get(name, 1) if name in HAS_CLS else 0
    return their_states(name, output, inputs, layer)[:, prefix:]


def their_pooled(name: str, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    return their_tower(name, model, inputs, None).pooler_output[:, None]


def their_cls(name: str, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    output = their_tower(name, model, inputs, None)
    return their_states(name, output, inputs, None)[:, :1]


def their_projected(name: str, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """(views, M, D): what the projector gave for each view, before any packing."""
    if name in DUALS:
        keys = ("pixel_values", "pixel_attention_mask", "spatial_shapes")
        call = {key: inputs[key] for key in keys if key in inputs}
        return model.get_image_features(**call).pooler_output[:, None]
    core = model.model
    if name == "llama-3.2-vision":
        call = {key: inputs[key] for key in ("aspect_ratio_ids", "aspect_ratio_mask")}
        states = core.vision_model(inputs["pixel_values"], **call).last_hidden_state
        num_tiles = int(inputs["aspect_ratio_mask"].sum())
        return core.multi_modal_projector(states)[0, 0, :num_tiles]
    if "image_grid_thw" in inputs:
        call = {key: inputs[key] for key in ("pixel_values", "image_grid_thw")}
        return core.get_image_features(**call).pooler_output[0][None]
    keys = ["pixel_values"]
    if name not in ("llava-1.5", "llava-siglip-2-layers"):
        keys.append("image_sizes")
    call = {key: inputs[key] for key in keys if key in inputs}
    found: list[torch.Tensor] = []
    module = getattr(core, "connector", None) or getattr(core, "multi_modal_projector", None)
    handle = module.register_forward_hook(lambda *call: found.append(call[2]))
    core.get_image_features(**call)
    handle.remove()
    return found[-1] if found[-1].ndim == 3 else found[-1][None]


def their_read(name: str, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """(views, N, D): what the projector of a whole model was given for each view, by its layers."""
    core = model.model
    found: list[torch.Tensor] = []
    if name == "internvl":  # which shuffles pixels first
        hook = core.vision_tower.register_forward_hook(lambda *call: found.append(call[2]))
    elif name.startswith("qwen"):
        merger = core.visual.merger
        hook = merger.register_forward_pre_hook(lambda module, call: found.append(call[0]))
    else:
        module = getattr(core, "connector", None) or core.multi_modal_projector
        hook = module.register_forward_pre_hook(lambda module, call: found.append(call[0]))
    their_projected(name, model, inputs)
    hook.remove()
    states: Any = found[-1]
    if name == "internvl":
        return states.last_hidden_state[:, 1:]
    if name.startswith("qwen"):
        (_, rows, cols), windows = inputs["image_grid_thw"][0].tolist(), name == "qwen2.5-vl"
        return states[place_of_patches(rows, cols, 2 if windows else max(rows, cols))][None]
    if name == "llama-3.2-vision":
        num_tiles = int(inputs["aspect_ratio_mask"].sum())
        return states[0, 0, :num_tiles, 1:]
    return states if states.ndim == 3 else states[None]


def place_of_patches(rows: int, cols: int, side: int) -> torch.Tensor:
    """(rows * cols,): where each patch lies, row by row, in a sequence of windows of cells."""
    places = [
        (row // (2 * side), col // (2 * side), row // 2, col // 2, row, col)
        for row in range(rows)
        for col in range(cols)
    ]
    return torch.tensor([sorted(places).index(place) for place in places])


def their_pixels(inputs: dict[str, Any]) -> torch.Tensor:
    """(views, 3, H, W), or the patches of one view as they are fed."""
    pixels = inputs["pixel_values"]
    if "aspect_ratio_mask" in inputs:
        return pixels[0, 0, : int(inputs["aspect_ratio_mask"].sum())]
    if "spatial_shapes" in inputs:
        return pixels[:, : int(inputs["pixel_attention_mask"].sum())]
    return pixels.flatten(0, -4) if pixels.ndim >= 4 else pixels
