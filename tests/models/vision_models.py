"""Small random vision towers and whole models, as transformers makes and saves them.

Every weight is drawn, so that no bias is zero and no norm the identity. Sides are in pixels.
"""

from typing import Any

import torch
import transformers as tf

TILE, PATCH = 28, 7
UNEVEN = 34  # as 384 is of patches of 14: four of 7, and 6 pixels that none sees
_CORE = {"hidden_size": 32, "intermediate_size": 40, "num_attention_heads": 4}
_VIT = {**_CORE, "num_hidden_layers": 3, "image_size": TILE, "patch_size": PATCH}
_LLAMA = {**_CORE, "num_hidden_layers": 1, "num_key_value_heads": 2, "vocab_size": 120}
_QWEN_VISION = {
    "depth": 3, "num_heads": 4, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2,
}  # fmt: skip
_ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}


def llama(width: int = 24) -> Any:
    return tf.LlamaConfig(**{**_LLAMA, "hidden_size": width})


def clip(side: int = TILE) -> Any:
    return tf.CLIPVisionConfig(**{**_VIT, "image_size": side}, projection_dim=20)


def siglip(side: int = TILE, *, head: bool = True) -> Any:
    return tf.SiglipVisionConfig(**{**_VIT, "image_size": side}, vision_use_head=head)


def onevision(side: int) -> Any:
    return tf.LlavaOnevisionConfig(
        vision_config=siglip(side, head=False),
        text_config=tf.Qwen2Config(**_LLAMA),
        image_grid_pinpoints=[[side * i, side * j] for i in range(1, 7) for j in range(1, 7)],
    )


def tower_configs() -> dict[str, Any]:
    return {
        "clip": clip(),
        "siglip": siglip(),
        "siglip-uneven": siglip(UNEVEN),
        "siglip2-naflex": tf.Siglip2VisionConfig(
            **_CORE, num_hidden_layers=3, patch_size=PATCH, num_patches=16
        ),
        "vit": tf.ViTConfig(**_VIT),
        "dinov2": tf.Dinov2Config(**_VIT),
        "dinov2-registers": tf.Dinov2WithRegistersConfig(**_VIT, num_register_tokens=3),
        "dinov3": tf.DINOv3ViTConfig(**_VIT, num_register_tokens=2),
        "internvit": tf.InternVLVisionConfig(**_VIT, use_mean_pooling=False),
        "pixtral": tf.PixtralVisionConfig(**_VIT),
    }


def whole_configs() -> dict[str, Any]:
    idefics = {**_VIT, "image_size": 56}
    qwen_text = {**_LLAMA, "hidden_size": 32, "rope_parameters": _ROPE}
    return {
        "llava-1.5": tf.LlavaConfig(vision_config=clip(), text_config=llama()),
        "llava-siglip-2-layers": tf.LlavaConfig(
            vision_config=siglip(head=False),
            text_config=llama(),
            vision_feature_layer=[-3, -2],
            vision_feature_select_strategy="full",
        ),
        "pixtral-llava": tf.LlavaConfig(
            vision_config=tf.PixtralVisionConfig(**_VIT),
            text_config=llama(),
            vision_feature_layer=-1,
            vision_feature_select_strategy="full",
        ),
        "llava-next": tf.LlavaNextConfig(
            vision_config=clip(),
            text_config=llama(),
            image_grid_pinpoints=[[28, 56], [56, 28], [56, 56], [84, 28], [28, 84]],
        ),
        "llava-onevision": onevision(TILE),
        "llava-onevision-uneven": onevision(UNEVEN),
        "internvl": tf.InternVLConfig(
            vision_config=tf.InternVLVisionConfig(
                **{**_VIT, "image_size": [TILE, TILE], "patch_size": [PATCH, PATCH]}
            ),
            text_config=tf.Qwen2Config(**_LLAMA),
        ),
        "mistral3": tf.Mistral3Config(
            vision_config=tf.PixtralVisionConfig(**_VIT),
            text_config=tf.MistralConfig(**_LLAMA, head_dim=8),
        ),
        "qwen2-vl": tf.Qwen2VLConfig(
            vision_config={**_QWEN_VISION, "embed_dim": 32, "hidden_size": 32},
            text_config=qwen_text,
        ),
        "qwen2.5-vl": tf.Qwen2_5_VLConfig(
            vision_config={
                **_QWEN_VISION, "hidden_size": 32, "intermediate_size": 40, "out_hidden_size": 32,
                "window_size": 56, "fullatt_block_indexes": [2],
            },
            text_config=qwen_text,
        ),
        "qwen3-vl": tf.Qwen3VLConfig(
            vision_config={
                **_QWEN_VISION, "hidden_size": 32, "intermediate_size": 40, "out_hidden_size": 32,
                "patch_size": 16, "num_position_embeddings": 16, "deepstack_visual_indexes": [0],
            },
            text_config={**qwen_text, "head_dim": 8},
        ),
        "idefics3": tf.Idefics3Config(
            vision_config=idefics, text_config=llama(), scale_factor=2, pad_token_id=0
        ),
        "smolvlm": tf.SmolVLMConfig(
            vision_config=idefics, text_config=llama(), scale_factor=4, pad_token_id=0
        ),
        "paligemma": tf.PaliGemmaConfig(
            vision_config={
                **_VIT, "model_type": "siglip_vision_model", "projection_dim": 24,
                "vision_use_head": False,
            },
            text_config=tf.GemmaConfig(**{**_LLAMA, "hidden_size": 24}, head_dim=8),
            projection_dim=24,
        ),
        "gemma3": tf.Gemma3Config(
            vision_config={**_VIT, "image_size": 56, "vision_use_head": False},
            text_config=tf.Gemma3TextConfig(**{**_LLAMA, "hidden_size": 24}, head_dim=8),
            mm_tokens_per_image=4,
        ),
        "llama-3.2-vision": tf.MllamaConfig(
            vision_config={
                "hidden_size": 32, "intermediate_size": 40, "attention_heads": 4,
                "num_hidden_layers": 3, "num_global_layers": 1, "image_size": TILE,
                "patch_size": PATCH, "max_num_tiles": 4, "intermediate_layers_indices": [0, 2],
                "vision_output_dim": 96,
                "supported_aspect_ratios": [
                    [r, c] for r in range(1, 5) for c in range(1, 5) if r * c <= 4
                ],
            },
            text_config={**_LLAMA, "cross_attention_layers": [0], "pad_token_id": 0},
        ),
    }  # fmt: skip


def dual_configs() -> dict[str, Any]:
    text = {"hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 1, "vocab_size": 60}
    text |= {"num_attention_heads": 2}
    return {
        "clip-dual": tf.CLIPConfig(
            vision_config=_VIT, text_config=text | {"projection_dim": 20}, projection_dim=20
        ),
        "siglip-dual": tf.SiglipConfig(
            vision_config=_VIT, text_config=text | {"projection_size": 32}
        ),
        "siglip2-dual": tf.Siglip2Config(
            vision_config={**_CORE, "num_hidden_layers": 3, "patch_size": PATCH, "num_patches": 16},
            text_config=text | {"projection_size": 32},
        ),
    }


def made(config: Any) -> Any:
    """Return the model that a checkpoint of this configuration is published as, random."""
    kind = config.model_type
    if kind in tf.models.auto.modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        model = tf.AutoModelForImageTextToText.from_config(config)
    else:
        model = tf.AutoModel.from_config(config)
    torch.manual_seed(11)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=max(0.02, parameter[0].numel() ** -0.5))
        else:
            torch.nn.init.normal_(
                parameter, mean=float("norm" in name and "weight" in name), std=0.2
            )
    return model.eval()
