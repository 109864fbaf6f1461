"""InternViT and InternVL as their authors publish them, in the terms of transformers.

In: a configuration of OpenGVLab's own classes (`intern_vit_6b`, `internvl_chat`), the names of its
tensors. Out: the configuration of transformers' `internvl_vision` or `internvl`, and the tensors
under those names, queries, keys and values apart. None of the repository's own code is run.
Source: `modeling_intern_vit.py` and `modeling_internvl_chat.py` of OpenGVLab/InternVL.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vtok.errors import WeightsError
from vtok.models.files.folder import CONFIG_NAME
from vtok.models.files.partial import open_weights
from vtok.models.files.sources import ModelSource, read_json
from vtok.models.files.tensors import Tensors, rows_of

Facts = Mapping[str, Any]

TOWER, WHOLE = "intern_vit_6b", "internvl_chat"

# Their configuration's names for ours, and what they stand for where the file is silent.
_VISION: dict[str, tuple[str, Any]] = {
    "hidden_size": ("hidden_size", 3200),
    "num_hidden_layers": ("num_hidden_layers", 48),
    "num_attention_heads": ("num_attention_heads", 25),
    "intermediate_size": ("intermediate_size", 12800),
    "image_size": ("image_size", 224),
    "patch_size": ("patch_size", 14),
    "hidden_act": ("hidden_act", "gelu"),
    "layer_norm_eps": ("layer_norm_eps", 1e-6),
    "norm_type": ("norm_type", "rms_norm"),
    "qkv_bias": ("attention_bias", False),
    "qk_normalization": ("use_qk_norm", True),
}
_RENAMED = (
    (r"^embeddings\.class_embedding$", "embeddings.cls_token"),
    (r"^embeddings\.position_embedding$", "embeddings.position_embeddings"),
    (r"^embeddings\.patch_embedding\.", "embeddings.patch_embeddings.projection."),
    (r"^encoder\.layers\.", "encoder.layer."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.ls([12])$", r".lambda_\1"),
    (r"\.attn\.proj\.", ".attention.projection_layer."),
    (r"\.attn\.", ".attention."),
)
_PROJECTOR = {"mlp1.0.": "layer_norm.", "mlp1.1.": "linear_1.", "mlp1.3.": "linear_2."}
_FUSED, _PARTS = ".qkv.", (".q_proj.", ".k_proj.", ".v_proj.")
_IMAGENET = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}


def config_of(source: ModelSource) -> Facts | None:
    """Return the configuration of any model, in the terms of transformers; None if there is none.

    Raises:
        WeightsError: it is no mapping, or of a model that transformers' classes do not compute.
    """
    config = read_json(source, CONFIG_NAME)
    if config is None or not _is_original(config):
        return config
    try:
        return _tower(config) if config["model_type"] == TOWER else _whole(config)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{source.where}: the configuration is not understood: {error}"
        ) from error


def processor_of(source: ModelSource) -> dict[str, Any] | None:
    """Return what the code of InternVL does to an image, as transformers' processor says it.

    None for every other model: a file says it.
    """
    config = read_json(source, CONFIG_NAME)
    if config is None or config.get("model_type") != WHOLE:
        return None
    side, is_cut = config["vision_config"]["image_size"], config.get("dynamic_image_size", False)
    return {
        "image_processor_type": "GotOcr2ImageProcessor",
        "size": {"height": side, "width": side},
        "crop_to_patches": True,
        "min_patches": config.get("min_dynamic_patch", 1) if is_cut else 1,
        "max_patches": config.get("max_dynamic_patch", 6) if is_cut else 1,
        **_IMAGENET,
    }


def tensors_of(source: ModelSource) -> Tensors:
    """Return the tensors of any model, under names that transformers knows.

    Raises:
        WeightsError: there are none, or they are damaged.
    """
    tensors = open_weights(source)
    config = read_json(source, CONFIG_NAME)
    is_theirs = config is not None and _is_original(config)
    return TranslatedTensors(tensors, source.where) if is_theirs else tensors


def _is_original(config: Facts) -> bool:
    return config.get("model_type") in (TOWER, WHOLE)


def _tower(config: Facts) -> dict[str, Any]:
    found = {ours: config.get(theirs, usual) for theirs, (ours, usual) in _VISION.items()}
    return {"model_type": "internvl_vision", "use_mean_pooling": True, **found}


def _whole(config: Facts) -> dict[str, Any]:
    vision, language = config["vision_config"], config["llm_config"]
    if config.get("ps_version", "v1") != "v2":
        raise ValueError("ps_version v1 lays its vectors out transposed")
    forced = config.get("force_image_size") or vision["image_size"]
    if forced != vision["image_size"]:
        raise ValueError(f"force_image_size {forced} is not the tower's {vision['image_size']}")
    return {
        "model_type": "internvl",
        "vision_config": _tower(vision),
        # Never built: of the language model only the length of a vector counts.
        "text_config": {
            "model_type": "qwen2",
            "hidden_size": language["hidden_size"],
            "num_hidden_layers": 1,
            "num_attention_heads": 1,
            "num_key_value_heads": 1,
        },
        "downsample_ratio": config.get("downsample_ratio", 0.5),
        "vision_feature_layer": config.get("select_layer", -1),
    }


class _Held(NamedTuple):
    """Where a tensor of ours is among theirs.

    Attributes:
        name: Theirs.
        part: Which third of its rows; None for all of it.
    """

    name: str
    part: int | None = None


class TranslatedTensors:
    """Their tensors under transformers' names.

    Args:
        theirs: As they are stored.
        where: For messages.
    """

    def __init__(self, theirs: Tensors, where: str) -> None:
        self._theirs = theirs
        self._where = where
        self._held = dict(each for name in theirs.names for each in _our_names(name))

    @property
    def names(self) -> Collection[str]:
        """The names that transformers gives them."""
        return self._held.keys()

    @property
    def num_bytes_read(self) -> int:
        """Bytes of the files, up to now."""
        return self._theirs.num_bytes_read

    @property
    def sha256(self) -> str:
        """Digest of the stored tensors read so far."""
        return self._theirs.sha256

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
        """Yield these tensors; as `Tensors.read`."""
        wanted: dict[str, list[tuple[str, int | None]]] = {}
        for name in names:
            held = self._held[name]
            wanted.setdefault(held.name, []).append((name, held.part))
        for stored, tensor in self._theirs.read(wanted):
            for name, part in wanted[stored]:
                yield name, tensor if part is None else tensor.chunk(3)[part].clone()

    def read_rows(self, name: str, rows: Iterable[int]) -> Tensor:
        """Return some rows of a tensor; as `Tensors.read_rows`."""
        held = self._held[name]
        if held.part is None:
            return self._theirs.read_rows(held.name, rows)
        whole: Tensor = dict(self._theirs.read([held.name]))[held.name]
        return rows_of(torch.chunk(whole, 3)[held.part], rows, name, self._where)


def _our_names(name: str) -> list[tuple[str, _Held]]:
    """Return the names in transformers of a stored tensor: three, where it is three in one."""
    for theirs, ours in _PROJECTOR.items():
        if name.startswith(theirs):
            found = f"model.multi_modal_projector.{ours}{name.removeprefix(theirs)}"
            return [(found, _Held(name))]
    if name.startswith("language_model."):
        return [(name, _Held(name))]
    own = name.removeprefix("vision_model.")
    prefix = "" if own == name else "model.vision_tower."
    for pattern, ours in _RENAMED:
        own = re.sub(pattern, ours, own)
    if _FUSED not in own:
        return [(prefix + own, _Held(name))]
    return [
        (prefix + own.replace(_FUSED, part), _Held(name, number))
        for number, part in enumerate(_PARTS)
    ]
