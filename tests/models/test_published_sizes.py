"""Published configurations make models of the size of the published files.

The sizes are those that the hub shows beside the files, in megabytes of fp32 to three digits. They
need no download, and hold the widths and depths of networks that only small copies are run of.
"""

import pytest
import torch

from vtok.models.base import Tokenizer
from vtok.models.families.convolutional import CONV_FAMILIES
from vtok.models.families.paella import PaellaShape, PaellaTokenizer

MUSE_VQGAN = {  # as `vae/config.json` of amused/muse-512-finetuned has it
    "attn_resolutions": [],
    "channel_mult": [1, 2, 2, 4, 6],
    "hidden_channels": 128,
    "no_attn_mid_block": True,
    "num_embeddings": 8192,
    "num_res_blocks": 2,
    "quantized_embed_dim": 64,
    "resolution": 256,
    "z_channels": 64,
}


def megabytes(tokenizer: Tokenizer) -> float:
    return sum(tensor.numel() * 4 for tensor in tokenizer.state_dict().values()) / 1e6


def test_open_muse_vqgan_is_as_large_as_amused_that_was_made_of_it() -> None:
    """amused-512's `vqvae/diffusion_pytorch_model.safetensors` has 585 MB."""
    has_decoder = {"decoder.conv_in.bias": torch.zeros(1)}
    with torch.device("meta"):
        tokenizer = CONV_FAMILIES["muse-vqgan"].maker(MUSE_VQGAN, has_decoder, "muse")()
    assert megabytes(tokenizer) == pytest.approx(585, abs=0.5)
    assert (tokenizer.spec.downsample, tokenizer.spec.codebook_size) == (16, 8192)


def test_paella_is_as_large_as_wuerstchens() -> None:
    """warp-ai/wuerstchen's `vqgan/diffusion_pytorch_model.bin` has 73.7 MB, names among them."""
    shape = PaellaShape(
        fold_px=2, width=384, num_levels=2, num_bottleneck=12, codebook_size=8192, code_dim=4
    )
    with torch.device("meta"):
        tokenizer = PaellaTokenizer(shape, name="paella")
    assert megabytes(tokenizer) == pytest.approx(73.7, abs=0.1)
    assert tokenizer.spec.downsample == 4
