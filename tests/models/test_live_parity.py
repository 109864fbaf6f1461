"""Small random models that the libraries make and save, against the libraries' own outputs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import hub
from parity import MAX_LATENT_ERROR, NEAR_TIE, Arrays, assert_parity, errors, recorded, references
from torch import Tensor, nn
from torch.nn import functional

from vtok.models.registry import load_tokenizer

pytestmark = pytest.mark.slow  # importing the libraries is most of it

SIZES = {"sq": (2, 64, 64), "ns": (1, 64, 96)}


def arrays(
    network: nn.Module,
    encode: Callable[[Tensor], Tensor],
    decode: Callable[[Tensor], Tensor],
    codebook: Tensor,
    *,
    unit: bool = False,
    cosine: bool = False,
) -> Arrays:
    """What the library gives, in the form of the stored references."""
    network.eval()
    found: dict[str, np.ndarray] = {}
    if cosine:
        codebook = functional.normalize(codebook, dim=1)
    for tag, (batch, height, width) in SIZES.items():
        random = np.random.default_rng(height + width)
        images = random.integers(0, 256, (batch, height // 4, width // 4, 3), dtype=np.uint8)
        images = images.repeat(4, axis=1).repeat(4, axis=2)
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            latents = encode(pixels if unit else pixels * 2 - 1)
            cells = latents.movedim(1, -1).flatten(0, -2).double()
            if cosine:
                cells = functional.normalize(cells, dim=1)
            distances = torch.cdist(cells, codebook.double()).square()
            best = distances.topk(2, dim=1, largest=False)
            shape = (batch, *latents.shape[2:])
            indices = best.indices[:, 0].reshape(shape)
            found[f"dec_{tag}"] = decode(indices).numpy()
        found |= {
            f"img_{tag}": images,
            f"z_{tag}": latents.numpy(),
            f"idx_{tag}": indices.numpy(),
            f"gap_{tag}": (best.values[:, 1] - best.values[:, 0]).reshape(shape).numpy(),
        }
    return found


def check(label: str, folder: Path, expected: Arrays, family: str) -> None:
    tokenizer = load_tokenizer(str(folder))
    assert tokenizer.spec.family == family
    for tag in SIZES:
        assert_parity(tokenizer, expected, label, tag)
        assert (expected[f"gap_{tag}"] >= NEAR_TIE).mean() > 0.8


def randomise(network: nn.Module) -> None:
    """Draw every weight, so that no bias is zero and no norm is the identity."""
    torch.manual_seed(7)
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            scale = 1.0 if "embedding" in name else parameter[0].numel() ** -0.5
            nn.init.normal_(parameter, std=scale)
        else:
            nn.init.normal_(parameter, mean=float("norm" in name and "weight" in name), std=0.1)
    for name, buffer in network.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)


@pytest.mark.parametrize("kind", ["group", "spatial"])
def test_diffusers(kind: str, tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    network = diffusers.VQModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        latent_channels=8,
        vq_embed_dim=8,
        num_vq_embeddings=256,
        norm_type=kind,
        lookup_from_codebook=kind == "group",
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )
    randomise(network)
    network.save_pretrained(tmp_path)
    codebook = network.quantize.embedding.weight.detach()

    def decode(indices: Tensor) -> Tensor:
        codes = codebook[indices].movedim(-1, 1).contiguous()
        style = codes if kind == "spatial" else None
        return network.decoder(network.post_quant_conv(codes), style)

    expected = arrays(
        network, lambda x: network.encode(x).latents, decode, codebook, unit=kind == "group"
    )
    family = "amused" if kind == "group" else "diffusers-vq"
    check(family, tmp_path, expected, family)


def test_diffusers_paella(tmp_path: Path) -> None:
    """Würstchen's copy of Paella's tokenizer, under its own name for the codebook."""
    pytest.importorskip("diffusers")
    from diffusers.pipelines.deprecated.wuerstchen import PaellaVQModel

    network = PaellaVQModel(
        levels=3, bottleneck_blocks=2, embed_dim=32, latent_channels=4, num_vq_embeddings=256
    )
    randomise(network)
    network.save_pretrained(tmp_path)
    codebook = network.vquantizer.embedding.weight.detach()

    def decode(indices: Tensor) -> Tensor:
        return network.decode(codebook[indices].movedim(-1, 1)).sample

    expected = arrays(network, lambda x: network.encode(x).latents, decode, codebook, unit=True)
    check("paella (diffusers)", tmp_path, expected, "paella")


def test_emu3(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    network = transformers.Emu3VQVAE(
        transformers.Emu3VQVAEConfig(
            codebook_size=256,
            embed_dim=4,
            latent_channels=4,
            base_channels=32,
            channel_multiplier=[1, 1, 1],
            num_res_blocks=1,
            attn_resolutions=[2],
            hidden_size=32,
        )
    )
    randomise(network)
    network.save_pretrained(tmp_path)
    codebook = network.quantize.embedding.weight.detach()

    def encode(pixels: Tensor) -> Tensor:
        frames = pixels.unsqueeze(1).repeat(1, 4, 1, 1, 1)
        return network.quant_conv(network.encoder(frames).permute(0, 2, 1, 3, 4))[:, :, 0]

    check("emu3", tmp_path, arrays(network, encode, network.decode, codebook), "emu3")


@pytest.mark.parametrize("tag", SIZES)
def test_emu3_in_its_authors_file(tag: str, tmp_path: Path) -> None:
    """Their names and configuration, run by transformers: against what their own code gave."""
    (tmp_path / "emu3").mkdir()
    tokenizer = load_tokenizer(str(hub(tmp_path / "emu3")))
    assert tokenizer.spec.family == "emu3"
    assert_parity(tokenizer, references("emu3"), "emu3 (BAAI)", tag)


def test_janus(tmp_path: Path) -> None:
    """transformers leaves out the official l2 norm of the search, and decodes squares alone."""
    transformers = pytest.importorskip("transformers")
    network = transformers.JanusVQVAE(
        transformers.JanusVQVAEConfig(
            embed_dim=8,
            num_embeddings=256,
            latent_channels=32,
            base_channels=32,
            channel_multiplier=[1, 1, 2],
            num_res_blocks=1,
            num_patches=16,
        )
    )
    randomise(network)
    network.save_pretrained(tmp_path)
    codebook = network.quantize.embedding.weight.detach()

    def decode(indices: Tensor) -> Tensor:
        network.quantize.quant_state_dims = list(indices.shape[1:])
        return network.decode(indices.flatten(1))

    expected = arrays(
        network, lambda x: network.quant_conv(network.encoder(x)), decode, codebook, cosine=True
    )
    check("janus", tmp_path, expected, "janus")


def test_chameleon_with_attention_at_a_level(tmp_path: Path) -> None:
    """The encoder alone: transformers has no decoder."""
    transformers = pytest.importorskip("transformers")
    config = transformers.ChameleonVQVAEConfig(
        embed_dim=16,
        num_embeddings=256,
        latent_channels=16,
        base_channels=32,
        resolution=128,
        channel_multiplier=[1, 1, 2],
        num_res_blocks=2,
        attn_resolutions=[64],
    )
    network = transformers.ChameleonVQVAE(config)
    randomise(network)
    network.save_pretrained(tmp_path)
    codebook = network.quantize.embedding.weight.detach()
    expected = arrays(
        network,
        lambda x: network.quant_conv(network.encoder(x)),
        lambda indices: torch.zeros(1),
        codebook,
    )
    tokenizer = load_tokenizer(str(tmp_path))
    for tag in SIZES:
        latents, wrong, decoded = recorded(
            "chameleon (attn)", tag, errors(tokenizer, expected, tag)
        )
        assert latents <= MAX_LATENT_ERROR
        assert wrong == 0
        assert decoded is None
