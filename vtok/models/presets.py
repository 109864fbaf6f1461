"""Published tokenizers by short names: where they are, and what their files do not say.

A table, and nothing else. Licences are those of the weights as their authors state them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A published tokenizer.

    Attributes:
        hub_id: Its repository on the hub.
        files: The files of it that are needed: weights first, then the configuration.
        family: What it is.
        downsample: Pixels per latent cell along one side, which sides must be multiples of.
        codebook_size: Number of codes.
        licence: Of the weights.
    """

    hub_id: str
    files: tuple[str, ...]
    family: str
    downsample: int
    codebook_size: int
    licence: str


PRESETS: dict[str, Preset] = {
    "llamagen-vq16": Preset(
        hub_id="FoundationVision/LlamaGen",
        files=("vq_ds16_c2i.pt",),
        family="llamagen",
        downsample=16,
        codebook_size=16384,
        licence="MIT",
    ),
    "llamagen-vq16-t2i": Preset(
        hub_id="peizesun/llamagen_t2i",
        files=("vq_ds16_t2i.pt",),
        family="llamagen",
        downsample=16,
        codebook_size=16384,
        licence="MIT",
    ),
    "llamagen-vq8": Preset(
        hub_id="FoundationVision/LlamaGen",
        files=("vq_ds8_c2i.pt",),
        family="llamagen",
        downsample=8,
        codebook_size=16384,
        licence="MIT",
    ),
    "maskgit-vqgan-f16": Preset(
        hub_id="openMUSE/maskgit-vqgan-imagenet-f16-256",
        files=("pytorch_model.bin", "config.json"),
        family="maskgit",
        downsample=16,
        codebook_size=1024,
        licence="Apache-2.0",
    ),
    "magvitv2-show-o": Preset(
        hub_id="showlab/magvitv2",
        files=("pytorch_model.bin", "config.json"),
        family="show-o",
        downsample=16,
        codebook_size=8192,
        licence="Apache-2.0",
    ),
}
