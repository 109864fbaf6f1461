"""Published vision models by short names: where they are, and what of them is loaded.

A table, and nothing else. No file was fetched when this was written: what a repository holds is
found when one is loaded, and one that has moved is an error that names it. Some ask for a licence
to be accepted on the hub first.
"""

from typing import NamedTuple


class PublishedEncoder(NamedTuple):
    """A published vision model.

    Attributes:
        hub_id: Its repository on the hub.
        family: As its configuration calls it, roughly: CLIP, Qwen2.5-VL.
        has_projector: Whether its `--output projected` is what a language model is given.
    """

    hub_id: str
    family: str
    has_projector: bool


def _towers(family: str, **hub_ids: str) -> dict[str, PublishedEncoder]:
    return {
        name.replace("_", "-"): PublishedEncoder(hub_id, family, has_projector=False)
        for name, hub_id in hub_ids.items()
    }


def _wholes(family: str, hub_ids: dict[str, str]) -> dict[str, PublishedEncoder]:
    return {
        name: PublishedEncoder(hub_id, family, has_projector=True)
        for name, hub_id in hub_ids.items()
    }


ENCODERS: dict[str, PublishedEncoder] = {
    **_towers(
        "CLIP",
        clip_b32="openai/clip-vit-base-patch32",
        clip_b16="openai/clip-vit-base-patch16",
        clip_l14="openai/clip-vit-large-patch14",
        clip_l14_336="openai/clip-vit-large-patch14-336",
    ),
    **_towers(
        "SigLIP",
        siglip_b16_224="google/siglip-base-patch16-224",
        siglip_l16_384="google/siglip-large-patch16-384",
        siglip_so400m_384="google/siglip-so400m-patch14-384",
    ),
    **_towers(
        "SigLIP 2",
        siglip2_b16_224="google/siglip2-base-patch16-224",
        siglip2_so400m_384="google/siglip2-so400m-patch14-384",
        siglip2_b16_naflex="google/siglip2-base-patch16-naflex",
        siglip2_so400m_naflex="google/siglip2-so400m-patch16-naflex",
    ),
    **_towers("ViT", vit_b16_224="google/vit-base-patch16-224-in21k"),
    **_towers(
        "DINOv2",
        dinov2_s14="facebook/dinov2-small",
        dinov2_b14="facebook/dinov2-base",
        dinov2_l14="facebook/dinov2-large",
        dinov2_g14="facebook/dinov2-giant",
        dinov2_b14_registers="facebook/dinov2-with-registers-base",
        dinov2_l14_registers="facebook/dinov2-with-registers-large",
    ),
    **_towers(
        "DINOv3",
        dinov3_s16="facebook/dinov3-vits16-pretrain-lvd1689m",
        dinov3_b16="facebook/dinov3-vitb16-pretrain-lvd1689m",
        dinov3_l16="facebook/dinov3-vitl16-pretrain-lvd1689m",
        dinov3_7b16="facebook/dinov3-vit7b16-pretrain-lvd1689m",
    ),
    **_towers(
        "InternViT",
        internvit_300m_448="OpenGVLab/InternViT-300M-448px-V2_5",
        internvit_6b_448="OpenGVLab/InternViT-6B-448px-V2_5",
    ),
    **_wholes("Pixtral", {"pixtral-12b": "mistral-community/pixtral-12b"}),
    **_wholes(
        "LLaVA-1.5",
        {
            "llava-1.5-7b": "llava-hf/llava-1.5-7b-hf",
            "llava-1.5-13b": "llava-hf/llava-1.5-13b-hf",
        },
    ),
    **_wholes(
        "LLaVA-NeXT",
        {
            "llava-next-mistral-7b": "llava-hf/llava-v1.6-mistral-7b-hf",
            "llava-next-vicuna-7b": "llava-hf/llava-v1.6-vicuna-7b-hf",
        },
    ),
    **_wholes(
        "LLaVA-OneVision",
        {
            "llava-onevision-0.5b": "llava-hf/llava-onevision-qwen2-0.5b-ov-hf",
            "llava-onevision-7b": "llava-hf/llava-onevision-qwen2-7b-ov-hf",
        },
    ),
    **_wholes(
        "InternVL",
        {
            "internvl3-1b": "OpenGVLab/InternVL3-1B-hf",
            "internvl3-8b": "OpenGVLab/InternVL3-8B-hf",
        },
    ),
    **_wholes("Mistral 3", {"mistral-3.1-24b": "mistralai/Mistral-Small-3.1-24B-Instruct-2503"}),
    **_wholes(
        "Qwen2-VL",
        {"qwen2-vl-2b": "Qwen/Qwen2-VL-2B-Instruct", "qwen2-vl-7b": "Qwen/Qwen2-VL-7B-Instruct"},
    ),
    **_wholes(
        "Qwen2.5-VL",
        {
            "qwen2.5-vl-3b": "Qwen/Qwen2.5-VL-3B-Instruct",
            "qwen2.5-vl-7b": "Qwen/Qwen2.5-VL-7B-Instruct",
        },
    ),
    **_wholes(
        "Qwen3-VL",
        {
            "qwen3-vl-4b": "Qwen/Qwen3-VL-4B-Instruct",
            "qwen3-vl-8b": "Qwen/Qwen3-VL-8B-Instruct",
        },
    ),
    **_wholes("Idefics3", {"idefics3-8b": "HuggingFaceM4/Idefics3-8B-Llama3"}),
    **_wholes(
        "SmolVLM",
        {
            "smolvlm-256m": "HuggingFaceTB/SmolVLM-256M-Instruct",
            "smolvlm2-2.2b": "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
        },
    ),
    **_wholes(
        "PaliGemma",
        {
            "paligemma-3b-224": "google/paligemma-3b-pt-224",
            "paligemma2-3b-224": "google/paligemma2-3b-pt-224",
        },
    ),
    **_wholes(
        "Gemma 3", {"gemma3-4b": "google/gemma-3-4b-it", "gemma3-12b": "google/gemma-3-12b-it"}
    ),
    **_wholes(
        "Llama 3.2 Vision", {"llama-3.2-vision-11b": "meta-llama/Llama-3.2-11B-Vision-Instruct"}
    ),
}
