"""Published tokenizers by short names: where they are, and what their files do not say.

A table, and nothing else. Licences are those of the weights as their authors state them, `not seen`
where no page that states it was looked at. Addresses are from their authors' pages and code, and
not all of them were looked up again; no file was fetched when this was written. What a row says of
its model is checked when one is loaded, and a file that has moved is an error that names it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vtok.codeshape import CodeShape
from vtok.records import Grid

Pixels = Literal["[-1, 1]", "[0, 1]", "[0.1, 0.9]"]


@dataclass(frozen=True, slots=True)
class Preset:
    """A published tokenizer.

    Attributes:
        family: What it is.
        downsample: Pixels per latent cell along one side.
        codebook_size: Number of codes.
        licence: Of the weights.
        hub_id: Its repository on the hub; empty where its authors have it elsewhere.
        files: The files of it that are needed, the weights first.
        pixels: What bytes become.
        codes: The shape of an image's indices.
        fixed_px: The one side of square images that it takes; None for any size.
        config: What the files do not say and this package needs to know.
        page: Where its authors have it, if not on the hub.
        alignment_px: What sides must be multiples of; None for `downsample`.
    """

    family: str
    downsample: int
    codebook_size: int
    licence: str
    hub_id: str
    files: tuple[str, ...]
    pixels: Pixels = "[-1, 1]"
    codes: CodeShape = field(default_factory=CodeShape)
    fixed_px: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    page: str = ""
    alignment_px: int | None = None


_TENCENT = "TencentARC"
_HUB_FORM = ("pytorch_model.bin", "config.json")
_TAMING_FORM = ("last.ckpt", "model.yaml")
_HEIBOX = "https://heibox.uni-heidelberg.de/d/"
_KAKAO = "https://twg.kakaocdn.net/brainrepo/models/RQVAE/"
_LDM = "https://ommer-lab.com/files/latent-diffusion/"


def _llamagen(downsample: int, hub_id: str, file: str) -> Preset:
    return Preset("llamagen", downsample, 16384, "MIT", hub_id, (file,))


def _ibq(codebook_size: int, repository: str, file: str) -> Preset:
    hub_id = f"{_TENCENT}/IBQ-Tokenizer-{repository}"
    return Preset("ibq", 16, codebook_size, "Apache-2.0", hub_id, (file,))


def _magvit2(downsample: int, codebook_size: int, repository: str, file: str) -> Preset:
    hub_id = f"{_TENCENT}/Open-MAGVIT2-Tokenizer-{repository}"
    return Preset("open-magvit2", downsample, codebook_size, "Apache-2.0", hub_id, (file,))


def _taming(family: str, downsample: int, codebook_size: int, page: str) -> Preset:
    return Preset(family, downsample, codebook_size, "MIT", "", _TAMING_FORM, page=_HEIBOX + page)


def _cosmos(downsample: int) -> Preset:
    return Preset(
        "cosmos",
        downsample,
        64000,
        "NVIDIA Open Model License",
        f"nvidia/Cosmos-0.1-Tokenizer-DI{downsample}x{downsample}",
        ("encoder.jit", "decoder.jit"),
        alignment_px=16,
    )


def _ldm(downsample: int, codebook_size: int, file: str) -> Preset:
    return Preset(
        "latent-diffusion",
        downsample,
        codebook_size,
        "MIT",
        "",
        ("model.ckpt", "config.yaml"),
        page=f"{_LDM}{file}",
    )


def _rqvae(codebook_size: int, page: str) -> Preset:
    return Preset(
        "rq-vae",
        32,
        codebook_size,
        "CC-BY-NC-SA-4.0",
        "",
        ("model.pt",),
        codes=CodeShape(kind="deep-grid", depth=4),
        page=f"{_KAKAO}{page}",
    )


def _vitvqgan(size: str) -> Preset:
    hub_id, file = f"thuanz123/vitvqgan-imagenet-{size}", f"imagenet_vitvq_{size}.ckpt"
    return Preset("vit-vqgan", 8, 8192, "MIT", hub_id, (file,), pixels="[0, 1]", fixed_px=256)


def _var(side_px: int, sides: tuple[int, ...]) -> Preset:
    return Preset(
        "var",
        16,
        4096,
        "MIT",
        "FoundationVision/var",
        ("vae_ch160v4096z32.pth",),
        codes=CodeShape(kind="scales", scales=tuple(Grid(rows=n, cols=n) for n in sides)),
        fixed_px=side_px,
        config={"v_patch_nums": list(sides)},
    )


def _muse(family: str, downsample: int, codebook_size: int, repository: str) -> Preset:
    return Preset(
        family,
        downsample,
        codebook_size,
        "not seen",
        f"openMUSE/{repository}",
        _HUB_FORM,
        pixels="[0, 1]",
    )


def _titok(codebook_size: int, length: int, hub_id: str) -> Preset:
    return Preset(
        "titok",
        16,
        codebook_size,
        "Apache-2.0",
        hub_id,
        ("model.safetensors", "config.json"),
        pixels="[0, 1]",
        codes=CodeShape(kind="codebooks", length=length),
        fixed_px=256,
    )


PRESETS: dict[str, Preset] = {
    "amused-256": Preset(
        "amused",
        16,
        8192,
        "OpenRAIL++",
        "amused/amused-256",
        ("vqvae/diffusion_pytorch_model.safetensors", "vqvae/config.json"),
        pixels="[0, 1]",
    ),
    "chameleon": Preset(
        "chameleon",
        16,
        8192,
        "Chameleon research licence",
        "",
        ("vqgan.ckpt", "vqgan.yaml"),
        page="https://ai.meta.com/resources/models-and-libraries/chameleon-downloads/",
    ),
    "cosmos-di8x8": _cosmos(8),
    "cosmos-di16x16": _cosmos(16),
    "dalle": Preset(
        "dalle",
        8,
        8192,
        "modified MIT",
        "",
        ("encoder.pkl", "decoder.pkl"),
        pixels="[0.1, 0.9]",
        page="https://cdn.openai.com/dall-e/encoder.pkl and .../decoder.pkl",
    ),
    "emu3": Preset(
        "emu3",
        8,
        32768,
        "Apache-2.0",
        "BAAI/Emu3-VisionTokenizer",
        ("model.safetensors", "config.json"),
    ),
    "ibq-1024": _ibq(1024, "1024", "imagenet256_1024.ckpt"),
    "ibq-8192": _ibq(8192, "8192", "imagenet256_8192.ckpt"),
    "ibq-16384": _ibq(16384, "16384", "imagenet256_16384.ckpt"),
    "ibq-16384-pretrain": _ibq(16384, "16384-Pretrain", "IBQ_pretrain_16384.ckpt"),
    "ibq-262144": _ibq(262144, "262144", "imagenet256_262144.ckpt"),
    "ibq-262144-pretrain": _ibq(262144, "262144-Pretrain", "IBQ_pretrain_262144.ckpt"),
    # Inside the whole model's file (some 4 GB), under the names of LlamaGen, whose networks it has.
    "janus-pro-1b": Preset(
        "llamagen",
        16,
        16384,
        "DeepSeek Model License",
        "deepseek-ai/Janus-Pro-1B",
        ("pytorch_model.bin",),
    ),
    "kandinsky-movq-f8": Preset(
        "kandinsky-movq",
        8,
        16384,
        "not seen",
        "ai-forever/Kandinsky_2.1",
        ("movq_final.ckpt",),
    ),
    "ldm-vq-f4": _ldm(4, 8192, "vq-f4.zip"),
    "ldm-vq-f8": _ldm(8, 16384, "vq-f8.zip"),
    "ldm-vq-f8-256": _ldm(8, 256, "vq-f8-n256.zip"),
    "ldm-vq-f16": _ldm(16, 16384, "vq-f16.zip"),
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
        pixels="[0, 1]",
    ),
    "muse-movq-f8": _muse("movq", 8, 16384, "movq-lion-high-res-f8-16384"),
    "muse-vqgan-f16": _muse("muse-vqgan", 16, 8192, "vqgan-f16-8192-laion"),
    "open-magvit2-128": _magvit2(8, 262144, "128-resolution", "imagenet_128_L.ckpt"),
    "open-magvit2-256": _magvit2(16, 262144, "256-resolution", "imagenet_256_L.ckpt"),
    "open-magvit2-16384-pretrain": _magvit2(16, 16384, "16384-Pretrain", "pretrain256_16384.ckpt"),
    "open-magvit2-262144-pretrain": _magvit2(
        16, 262144, "262144-Pretrain", "pretrain256_262144.ckpt"
    ),
    "paella-f4": _muse("paella", 4, 8192, "paellavq-f4-8192-laion"),
    "paella-f8": _muse("paella", 8, 8192, "paellavq-f8-8192-laion"),
    "paella-wuerstchen": Preset(
        "paella",
        4,
        8192,
        "MIT",
        "warp-ai/wuerstchen",
        ("vqgan/diffusion_pytorch_model.safetensors", "vqgan/config.json"),
        pixels="[0, 1]",
    ),
    "rqvae-ffhq": _rqvae(2048, "d47570aeff6ba300735606a806f54663/ffhq.tar.gz"),
    "rqvae-imagenet": _rqvae(16384, "7518a004fe39120fcffbba76005dc6c3/imagenet_480M.tar.gz"),
    "rqvae-imagenet-50e": _rqvae(
        16384, "6714b47bb9382076923590eff08b1ee5/imagenet_1.4B_rqvae_50e.tar.gz"
    ),
    "rqvae-lsun-bedroom": _rqvae(16384, "06b72c164cd2fe64fc8ebd6b42b0040f/bedroom.tar.gz"),
    "rqvae-lsun-cat": _rqvae(16384, "92b4e6a9ace09c9ab8ff9d3b3e688367/cat.tar.gz"),
    "rqvae-lsun-church": _rqvae(16384, "deeb3e0ac6e09923754e3e594ede7b01/church.tar.gz"),
    "show-o-magvitv2": Preset("show-o", 16, 8192, "Apache-2.0", "showlab/magvitv2", _HUB_FORM),
    "taming-imagenet-f16-1024": _taming("taming", 16, 1024, "8088892a516d4e3baf92/"),
    "taming-imagenet-f16-16384": _taming("taming", 16, 16384, "a7530b09fed84f80a887/"),
    "taming-openimages-gumbel-f8": _taming("taming-gumbel", 8, 8192, "2e5662443a6b4307b470/"),
    "tatitok-bl-32-vq": _titok(8192, 32, "turkeyju/tokenizer_tatitok_bl32_vq"),
    "tatitok-bl-64-vq": _titok(8192, 64, "turkeyju/tokenizer_tatitok_bl64_vq"),
    "tatitok-bl-128-vq": _titok(8192, 128, "turkeyju/tokenizer_tatitok_bl128_vq"),
    "titok-l-32": _titok(4096, 32, "yucornetto/tokenizer_titok_l32_imagenet"),
    "titok-b-64": _titok(4096, 64, "yucornetto/tokenizer_titok_b64_imagenet"),
    "titok-s-128": _titok(4096, 128, "yucornetto/tokenizer_titok_s128_imagenet"),
    "titok-bl-64-vq8k": _titok(8192, 64, "yucornetto/tokenizer_titok_bl64_vq8k_imagenet"),
    "titok-bl-128-vq8k": _titok(8192, 128, "yucornetto/tokenizer_titok_bl128_vq8k_imagenet"),
    "titok-sl-256-vq8k": _titok(8192, 256, "yucornetto/tokenizer_titok_sl256_vq8k_imagenet"),
    "unitok-256": Preset(
        "unitok",
        16,
        4096,
        "MIT",
        "FoundationVision/unitok_tokenizer",
        ("unitok_tokenizer.pth",),
        codes=CodeShape(kind="codebooks", num_codebooks=8),
        fixed_px=256,
    ),
    "var-256": _var(256, (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)),
    "var-512": _var(512, (1, 2, 3, 4, 6, 9, 13, 18, 24, 32)),
    "vitvqgan-base": _vitvqgan("base"),
    "vitvqgan-small": _vitvqgan("small"),
}


def num_indices(preset: Preset, side_px: int = 256) -> int:
    """Return how many indices a square image has, at the model's own side where that is fixed."""
    side = (preset.fixed_px or side_px) // preset.downsample
    total = 1
    for axis in preset.codes.shape_of(Grid(rows=side, cols=side)):
        total *= axis
    return total
