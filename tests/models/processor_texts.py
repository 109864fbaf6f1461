"""The text that transformers' own processors put in an image's place, separators and all.

Many of these classes cannot be made without torchvision; the one method that writes the text needs
nothing of them but a few facts, given here for the small models of `vision_models`.
"""

from types import SimpleNamespace
from typing import Any

from transformers.models.gemma3.processing_gemma3 import Gemma3Processor
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor
from transformers.models.internvl.processing_internvl import InternVLProcessor
from transformers.models.llava.processing_llava import LlavaProcessor
from transformers.models.paligemma.processing_paligemma import PaliGemmaProcessor
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor
from vision_models import PATCH


class _Pixtral:
    @staticmethod
    def replace_image_token(self: Any, image_inputs: Any, image_idx: int) -> str:
        height, width = image_inputs["image_sizes"][image_idx]
        row = self.image_token * (width // self.cell_px)
        return "[IMG_BREAK]".join([row] * (height // self.cell_px)) + "[IMG_END]"


_QWEN = {"image_processor": SimpleNamespace(merge_size=2)}
_TAGS = {"fake_image_token": "<fake_token_around_image>"}
_SOFT = "<image_soft_token>"
_LLAVA = {"patch_size": PATCH, "vision_feature_select_strategy": "default"}

# Model → the class, what stands for one vector, and the facts.
_CLASSES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "llava-1.5": (LlavaProcessor, "<image>", {**_LLAVA, "num_additional_image_tokens": 1}),
    "llava-siglip-2-layers": (
        LlavaProcessor,
        "<image>",
        {
            "patch_size": PATCH, "vision_feature_select_strategy": "full",
            "num_additional_image_tokens": 0,
        },
    ),
    "internvl": (
        InternVLProcessor,
        "<IMG_CONTEXT>",
        {"image_seq_length": 4, "start_image_token": "<img>", "end_image_token": "</img>"},
    ),
    "mistral3": (_Pixtral, "[IMG]", {"cell_px": 2 * PATCH}),
    "pixtral-llava": (_Pixtral, "[IMG]", {"cell_px": PATCH}),
    "idefics3": (
        Idefics3Processor,
        "<image>",
        {**_TAGS, "image_seq_len": 16, "global_image_tag": "<global-img>"},
    ),
    "smolvlm": (
        SmolVLMProcessor,
        "<image>",
        {**_TAGS, "image_seq_len": 4, "global_image_token": "<global-img>"},
    ),
    "qwen2-vl": (Qwen2VLProcessor, "<|image_pad|>", _QWEN),
    "qwen2.5-vl": (Qwen2VLProcessor, "<|image_pad|>", _QWEN),
    "qwen3-vl": (Qwen3VLProcessor, "<|image_pad|>", _QWEN),
    "paligemma": (PaliGemmaProcessor, "<image>", {"image_seq_length": 16}),
    "gemma3": (
        Gemma3Processor,
        _SOFT,
        {"full_image_sequence": f"\n\n<start_of_image>{_SOFT * 4}<end_of_image>\n\n"},
    ),
}  # fmt: skip
NAMES = tuple(_CLASSES)


def placeholder_of(name: str) -> str:
    """Return the token that stands for one of the projector's vectors."""
    return _CLASSES[name][1]


def text_of(name: str, inputs: Any) -> str:
    """Return the text for the first of the images that its image processor made inputs of."""
    make, placeholder, facts = _CLASSES[name]
    processor = SimpleNamespace(image_token=placeholder, **facts)
    text: str = make.replace_image_token(processor, inputs, 0)
    return text
