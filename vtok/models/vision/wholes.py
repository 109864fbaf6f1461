"""Whole vision-language models: where their tower and projector are, and how the two are joined.

In: a model of transformers without its language model, pixels (B, 3, H, W). Out: the vectors that
its `get_image_features` gives for each view by itself, before any packing. A table with a row a
model. Imports no transformers.

Dimension letters: B batch, H W pixels, N patches, S tokens before them, M vectors, D channels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vtok.models.vision.towers import Layers, Tower, image_px_of, patch_px_of, qwen_output

Project = Callable[[Any, Tower, Tensor, Layers], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A model.

    Attributes:
        class_name: Of the model, without its language head, in transformers.
        tower: Name of the attribute that is the tower.
        projector: Names of the attributes that lie between tower and language model.
        language: Names of the attributes that are never built: the language model.
        project: Pixels to vectors in the language model's space.
        merge: Configuration → patches along one side that one vector stands for.
        keeps_prefix: Configuration → how many of `S` tokens before the patches are projected too.
        own_layers: Configuration → the hidden states that it reads; empty for the tower's last.
        takes_layers: Whether others can be asked for.
        last_is_normed: Whether its layer -1 is the state after the tower's last norm.
        takes_sizes: Whether its projector takes grids of other sizes than its tower's own.
    """

    class_name: str
    tower: str = "vision_tower"
    projector: tuple[str, ...] = ("multi_modal_projector",)
    language: tuple[str, ...] = ("language_model",)
    project: Project
    merge: Callable[[Any], int] = lambda config: 1
    keeps_prefix: Callable[[Any, int], int] = lambda config, num_prefix: 0
    own_layers: Callable[[Any], Layers] = lambda config: ()
    takes_layers: bool = False
    last_is_normed: bool = False
    takes_sizes: bool = True

    def tower_layers(self, config: Any) -> Layers:
        """Return the states of the tower that it reads, for those who want them unprojected."""
        layers = self.own_layers(config)
        return () if self.last_is_normed and layers == (-1,) else layers


def _feature_layers(config: Any) -> Layers:
    layers = config.vision_feature_layer
    return (layers,) if isinstance(layers, int) else tuple(layers)


def _kept_by_strategy(config: Any, num_prefix: int) -> int:
    """Return how many tokens before the patches are kept; `default` takes off exactly one."""
    return num_prefix - int(config.vision_feature_select_strategy == "default")


def _selected(model: Any, tower: Tower, pixels: Tensor, layers: Layers) -> Tensor:
    tokens = tower.see(model.vision_tower, pixels, layers).tokens
    return tokens[:, 1:] if model.config.vision_feature_select_strategy == "default" else tokens


def _llava(model: Any, tower: Tower, pixels: Tensor, layers: Layers) -> Tensor:
    projected: Tensor = model.multi_modal_projector(_selected(model, tower, pixels, layers))
    return projected


def _internvl(model: Any, tower: Tower, pixels: Tensor, layers: Layers) -> Tensor:
    # Its layer -1 is the state after the last norm, which hidden states do not hold.
    tokens = _selected(model, tower, pixels, () if layers == (-1,) else layers)
    patch = patch_px_of(model.config.vision_config)
    rows, cols = pixels.shape[2] // patch, pixels.shape[3] // patch
    grid = tokens.reshape(len(pixels), rows, cols, -1)  # (B, h, w, D)
    shuffled = model.pixel_shuffle(grid, scale_factor=model.config.downsample_ratio)
    projected: Tensor = model.multi_modal_projector(shuffled.flatten(1, 2))
    return projected


def _mistral3(model: Any, tower: Tower, pixels: Tensor, layers: Layers) -> Tensor:
    tokens = tower.see(model.vision_tower, pixels, layers).tokens
    sizes = [tuple(pixels.shape[2:])] * len(pixels)
    projected: Tensor = model.multi_modal_projector(tokens.flatten(0, 1), sizes)  # (B M, D)
    return projected.reshape(len(pixels), -1, projected.shape[-1])  # (B, M, D)


def _qwen(model: Any, tower: Tower, pixels: Tensor, layers: Layers) -> Tensor:
    output, _, _ = qwen_output(model.visual, pixels, layers)
    merged: Tensor = output.pooler_output  # (B M, D)
    return merged.reshape(len(pixels), -1, merged.shape[-1])  # (B, M, D)


def _idefics3(model: Any, tower: Tower, pixels: Tensor, layers: Layers) -> Tensor:
    projected: Tensor = model.connector(tower.see(model.vision_model, pixels, layers).tokens)
    return projected


def _last_state(model: Any, tower: Tower, pixels: Tensor, layers: Layers) -> Tensor:
    tokens = tower.see(model.vision_tower, pixels, layers).tokens
    projected: Tensor = model.multi_modal_projector(tokens)
    return projected


def _mllama(model: Any, tower: Tower, pixels: Tensor, layers: Layers) -> Tensor:
    tokens = tower.see(model.vision_model, pixels, layers).tokens
    projected: Tensor = model.multi_modal_projector(tokens)
    return projected


def _pixel_shuffle_merge(config: Any) -> int:
    merge: int = round(1 / config.downsample_ratio)
    return merge


def gemma_merge(config: Any) -> int:
    """Return the patches along one side that Gemma 3 averages into one vector."""
    vision = config.vision_config
    per_side = image_px_of(vision) // patch_px_of(vision)
    return per_side // int(config.mm_tokens_per_image**0.5)


def _scale_factor(config: Any) -> int:
    return int(config.scale_factor)


def _own_merge(config: Any) -> int:
    return int(config.spatial_merge_size)


def _vision_merge(config: Any) -> int:
    return int(config.vision_config.spatial_merge_size)


def _all(config: Any, num_prefix: int) -> int:
    return num_prefix


def _llava_like(class_name: str) -> Whole:
    return Whole(
        class_name=class_name,
        project=_llava,
        keeps_prefix=_kept_by_strategy,
        own_layers=_feature_layers,
        takes_layers=True,
    )


def _qwen_like(class_name: str) -> Whole:
    return Whole(
        class_name=class_name, tower="visual", projector=(), project=_qwen, merge=_vision_merge
    )


def _idefics_like(class_name: str) -> Whole:
    return Whole(
        class_name=class_name,
        tower="vision_model",
        projector=("connector",),
        language=("text_model",),
        project=_idefics3,
        merge=_scale_factor,
    )


WHOLES: dict[str, Whole] = {
    "llava": _llava_like("LlavaModel"),
    "llava_next": _llava_like("LlavaNextModel"),
    "llava_onevision": _llava_like("LlavaOnevisionModel"),
    "internvl": Whole(
        class_name="InternVLModel",
        project=_internvl,
        merge=_pixel_shuffle_merge,
        keeps_prefix=_kept_by_strategy,
        own_layers=_feature_layers,
        takes_layers=True,
        last_is_normed=True,
    ),
    "mistral3": Whole(
        class_name="Mistral3Model",
        project=_mistral3,
        merge=_own_merge,
        own_layers=_feature_layers,
        takes_layers=True,
    ),
    "qwen2_vl": _qwen_like("Qwen2VLModel"),
    "qwen2_5_vl": _qwen_like("Qwen2_5_VLModel"),
    "qwen3_vl": _qwen_like("Qwen3VLModel"),
    "idefics3": _idefics_like("Idefics3Model"),
    "smolvlm": _idefics_like("SmolVLMModel"),
    "paligemma": Whole(class_name="PaliGemmaModel", project=_last_state),
    "gemma3": Whole(
        class_name="Gemma3Model", project=_last_state, merge=gemma_merge, takes_sizes=False
    ),
    "mllama": Whole(
        class_name="MllamaModel", tower="vision_model", project=_mllama, keeps_prefix=_all
    ),
}
