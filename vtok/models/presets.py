"""Published tokenizers by short names: where they are, and what their files do not say.

A table, and nothing else. The pixel range is the family's. Licences are those of the weights as
their authors state them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preset:
    """A published tokenizer.

    Attributes:
        family: What it is.
        downsample: Pixels per latent cell along one side, which sides must be multiples of.
        codebook_size: Number of codes.
        licence: Of the weights.
        hub_id: Its repository on the hub.
        files: The files of it that are needed, the weights first.
    """

    family: str
    downsample: int
    codebook_size: int
    licence: str
    hub_id: str
    files: tuple[str, ...]


_TENCENT = "TencentARC"
_HUB_FORM = ("pytorch_model.bin", "config.json")


def _llamagen(downsample: int, hub_id: str, file: str) -> Preset:
    return Preset("llamagen", downsample, 16384, "MIT", hub_id, (file,))


def _ibq(codebook_size: int, repository: str, file: str) -> Preset:
    hub_id = f"{_TENCENT}/IBQ-Tokenizer-{repository}"
    return Preset("ibq", 16, codebook_size, "Apache-2.0", hub_id, (file,))


def _magvit2(downsample: int, codebook_size: int, repository: str, file: str) -> Preset:
    hub_id = f"{_TENCENT}/Open-MAGVIT2-Tokenizer-{repository}"
    return Preset("open-magvit2", downsample, codebook_size, "Apache-2.0", hub_id, (file,))


PRESETS: dict[str, Preset] = {
    "ibq-1024": _ibq(1024, "1024", "imagenet256_1024.ckpt"),
    "ibq-8192": _ibq(8192, "8192", "imagenet256_8192.ckpt"),
    "ibq-16384": _ibq(16384, "16384", "imagenet256_16384.ckpt"),
    "ibq-16384-pretrain": _ibq(16384, "16384-Pretrain", "IBQ_pretrain_16384.ckpt"),
    "ibq-262144": _ibq(262144, "262144", "imagenet256_262144.ckpt"),
    "ibq-262144-pretrain": _ibq(262144, "262144-Pretrain", "IBQ_pretrain_262144.ckpt"),
    "llamagen-vq16": _llamagen(16, "FoundationVision/LlamaGen", "vq_ds16_c2i.pt"),
    "llamagen-vq16-t2i": _llamagen(16, "peizesun/llamagen_t2i", "vq_ds16_t2i.pt"),
    "llamagen-vq8": _llamagen(8, "FoundationVision/LlamaGen", "vq_ds8_c2i.pt"),
    "maskgit-vqgan-f16": Preset(
        "maskgit",
        16,
        1024,
        "Apache-2.0",
        "openMUSE/maskgit-vqgan-imagenet-f16-256",
        _HUB_FORM,
    ),
    "open-magvit2-128": _magvit2(8, 262144, "128-resolution", "imagenet_128_L.ckpt"),
    "open-magvit2-256": _magvit2(16, 262144, "256-resolution", "imagenet_256_L.ckpt"),
    "open-magvit2-16384-pretrain": _magvit2(16, 16384, "16384-Pretrain", "pretrain256_16384.ckpt"),
    "open-magvit2-262144-pretrain": _magvit2(
        16, 262144, "262144-Pretrain", "pretrain256_262144.ckpt"
    ),
    "show-o-magvitv2": Preset("show-o", 16, 8192, "Apache-2.0", "showlab/magvitv2", _HUB_FORM),
}
