"""Models of published sizes with random weights, in the formats in which they are published.

What a model costs does not depend on what its weights are, so that benchmarks need no download.
"""

import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file

from vtok.models.families.convolutional import CONV_FAMILIES


class ClipSize(NamedTuple):
    """The vision tower of a CLIP: pixels a side of image and patch, width, layers, heads."""

    image_px: int = 224
    patch_px: int = 32
    width: int = 768
    layers: int = 12
    heads: int = 12


CLIP_SIZES = {
    "CLIP ViT-B/32": ClipSize(),
    "CLIP ViT-B/16": ClipSize(patch_px=16),
    "CLIP ViT-L/14-336": ClipSize(image_px=336, patch_px=14, width=1024, layers=24, heads=16),
}
VQGAN_CONFIG = {
    "model": {
        "target": "taming.models.vqgan.VQModel",
        "params": {
            "embed_dim": 256,
            "n_embed": 16384,
            "ddconfig": {
                "double_z": False,
                "z_channels": 256,
                "resolution": 256,
                "ch": 128,
                "ch_mult": [1, 1, 2, 2, 4],
                "num_res_blocks": 2,
                "attn_resolutions": [16],
            },
        },
    }
}


def save_clip(folder: Path, size: ClipSize) -> Path:
    """Save the vision tower of a CLIP and its image processor there; needs transformers."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(0)
    config = CLIPVisionConfig(
        image_size=size.image_px,
        patch_size=size.patch_px,
        hidden_size=size.width,
        intermediate_size=4 * size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
    )
    CLIPVisionModel(config).save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": size.image_px},
        crop_size={"height": size.image_px, "width": size.image_px},
    ).save_pretrained(folder)
    return folder


def save_vqgan(folder: Path) -> Path:
    """Save a VQGAN of 16 px an index and 16,384 codes there, as taming-transformers does."""
    torch.manual_seed(0)
    # Its decoder is asked for by any tensor of one.
    state = {"decoder.conv_in.weight": torch.zeros(1)}
    tokenizer = CONV_FAMILIES["taming"].maker(VQGAN_CONFIG, state, "full-size")()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tokenizer.state_dict(), folder / "model.safetensors")
    (folder / "model.yaml").write_text(json.dumps(VQGAN_CONFIG))
    return folder
