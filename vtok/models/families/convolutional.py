"""The convolutional families: what each one's files look like, and how they become a tokenizer.

In: a configuration and the names of a file's tensors. Out: the family they are of, and a tokenizer
with the very networks, quantizer and pixel range of its authors' code. Reads no files.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor

from vtok.errors import WeightsError
from vtok.models.base import PixelRange
from vtok.models.families import keymaps
from vtok.models.families.convnet import networks
from vtok.models.families.convnet.networks import ConvStyle
from vtok.models.families.convnet.reading import ConfigFields, shape_from_config, shape_from_tensors
from vtok.models.families.convnet.shape import ConvShape
from vtok.models.families.convnet.tokenizer import ConvTokenizer, QuantizerKind
from vtok.models.families.cosmos import FAMILY as COSMOS
from vtok.models.families.cosmos import MARKS as COSMOS_MARKS
from vtok.models.families.keymaps import KeyMap
from vtok.models.families.rqvae import FAMILY as RQVAE
from vtok.models.families.rqvae import MARK as RQVAE_MARK
from vtok.models.families.vitvqgan import FAMILY as VIT_VQGAN
from vtok.models.families.vitvqgan import MARK as VIT_VQGAN_MARK

_VAR_SCALES = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)
_MAX_SIDE = 1 << 10
SIGNED = PixelRange()  # [-1, 1]
UNIT = PixelRange(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))  # [0, 1]

_HF = ConfigFields(
    channels="base_channels",
    multipliers="channel_multiplier",
    latent_channels="latent_channels",
    codebook_size="num_embeddings",
)


_MUSE = ConfigFields(
    channels="hidden_channels",
    multipliers="channel_mult",
    codebook_size="num_embeddings",
    code_dim="quantized_embed_dim",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvFamily:
    """A family of convolutional tokenizers.

    Attributes:
        name: As users write it.
        keys: Its names for tensors.
        quantizer: How latents become indices.
        style: What its networks do differently.
        pixels: Its input range.
        fields: Its spellings of the configuration's fields, the first that fits.
        mid: Its layers at the lowest resolution.
        more_decoder_blocks: Blocks that a level of the decoder has more than one of the encoder.
        quant_conv: Whether there are 1x1 convolutions around the quantizer.
        clamped: Whether the decoder's output is kept in [-1, 1].
    """

    name: str
    keys: KeyMap
    quantizer: QuantizerKind
    style: ConvStyle = networks.TAMING
    pixels: PixelRange = SIGNED
    fields: tuple[ConfigFields, ...] = (ConfigFields(),)
    mid: Literal["attention", "blocks"] = "attention"
    more_decoder_blocks: int = 1
    quant_conv: bool = True
    clamped: bool = False

    def shape(self, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> ConvShape:
        """Return the shape that a configuration describes; without one, what the tensors have.

        Args:
            config: The content of the configuration file.
            state: The tensors under this package's names.

        Raises:
            WeightsError: neither describes a model.
        """
        bits = self.quantizer in ("big", "little")
        flat = flat_config(config)
        for fields in self.fields:
            if fields.multipliers in flat:
                shape = shape_from_config(
                    flat,
                    fields,
                    mid=self.mid,
                    more_decoder_blocks=self.more_decoder_blocks,
                    quant_conv=self.quant_conv,
                )
                return shape if _has_decoder(state) else _without_decoder(shape)
        shape = shape_from_tensors(state, bits=bits)
        if self.quantizer == "multi-scale":
            shape = replace(shape, scales=_scales(flat))
        return shape

    def maker(
        self, config: Mapping[str, Any], state: Mapping[str, Tensor], name: str
    ) -> Callable[[], ConvTokenizer]:
        """Return what makes the empty tokenizer; arguments and errors as above."""
        shape = self.shape(config, state)
        return lambda: ConvTokenizer(
            shape,
            self.style,
            self.quantizer,
            name=name,
            family=self.name,
            pixels=self.pixels,
            clamped=self.clamped,
        )


CONV_FAMILIES: dict[str, ConvFamily] = {
    family.name: family
    for family in (
        ConvFamily(name="taming", keys=keymaps.TAMING, quantizer="l2"),
        ConvFamily(name="taming-gumbel", keys=keymaps.GUMBEL, quantizer="logits"),
        ConvFamily(name="latent-diffusion", keys=keymaps.TAMING, quantizer="l2"),
        ConvFamily(
            name="chameleon", keys=keymaps.TAMING, quantizer="l2", fields=(ConfigFields(), _HF)
        ),
        ConvFamily(name="ibq", keys=keymaps.TAMING, quantizer="dot"),
        ConvFamily(name="llamagen", keys=keymaps.LLAMAGEN, quantizer="cosine", fields=()),
        ConvFamily(name="janus", keys=keymaps.JANUS, quantizer="cosine", fields=()),
        ConvFamily(
            name="maskgit",
            keys=keymaps.MASKGIT,
            quantizer="l2",
            style=networks.MASKGIT,
            pixels=UNIT,
            fields=(replace(_MUSE, attention=None),),  # its code reads, and never uses them
            mid="blocks",
            more_decoder_blocks=0,
            quant_conv=False,
        ),
        ConvFamily(
            name="muse-vqgan",
            keys=keymaps.TAMING,
            quantizer="l2",
            style=networks.MUSE,
            pixels=UNIT,
            fields=(_MUSE,),
        ),
        ConvFamily(
            name="movq",
            keys=keymaps.MOVQ,
            quantizer="l2",
            style=networks.MUSE_MOVQ,
            pixels=UNIT,
            fields=(_MUSE,),
        ),
        ConvFamily(name="kandinsky-movq", keys=keymaps.MOVQ, quantizer="l2", style=networks.MOVQ),
        ConvFamily(
            name="open-magvit2",
            keys=keymaps.MAGVIT2,
            quantizer="little",
            style=networks.MAGVIT2,
            fields=(ConfigFields(attention=None),),
            mid="blocks",
            more_decoder_blocks=0,
            quant_conv=False,
        ),
        ConvFamily(name="var", keys=keymaps.VAR, quantizer="multi-scale", fields=(), clamped=True),
        ConvFamily(name="show-o", keys=keymaps.SHOWO, quantizer="big", fields=()),
    )
}


def flat_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return all fields of a configuration that describe the model, in one mapping.

    Taming's lie in `model.params` and its `ddconfig`, Lightning's in `model.init_args`,
    transformers' of a larger model in `vq_config`.
    """
    flat = dict(config)
    for step in ("model", "params", "init_args", "vq_config", "ddconfig"):
        inner = flat.get(step)
        if isinstance(inner, Mapping):
            flat |= inner
    return flat


def recognised(config: Mapping[str, Any], names: frozenset[str]) -> str | None:
    """Return the family of a model, or None for one that looks like none of these.

    Args:
        config: The content of its configuration; may be empty.
        names: Of its tensors, as its authors call them.
    """
    flat = flat_config(config)
    target = f"{flat.get('target', '')} {flat.get('class_path', '')}"
    for part, family in _TARGETS:
        if part in target:
            return family
    if flat.get("_class_name") == "VQModel":
        # The class does not say the pixel range; only aMUSEd's codes are looked up this way.
        return "amused" if flat.get("lookup_from_codebook") is True else "diffusers-vq"
    for field in ("model_type", "_class_name"):
        value = flat.get(field)
        if isinstance(value, str) and value in _CLASSES:
            return _CLASSES[value]
    for part, family in _MARKS:
        if any(part in name for name in names):
            return COSMOS if family == "taming" and _has_no_quantizer(names) else family
    return None


def _has_no_quantizer(names: frozenset[str]) -> bool:
    """Return whether taming's networks stand around a quantizer that has nothing to store."""
    return "quant_conv.weight" in names and not any(name.startswith("quanti") for name in names)


_TARGETS = (  # parts of the class that a trainer's configuration names
    ("GumbelVQ", "taming-gumbel"),
    ("lfqgan", "open-magvit2"),
    ("IBQ", "ibq"),
    ("ibqgan", "ibq"),
    ("ldm.", "latent-diffusion"),
    ("taming.", "taming"),
)
_CLASSES = {
    "chameleon_vqgan": "chameleon",
    "chameleon": "chameleon",
    "janus_vqgan": "janus",
    "janus": "janus",
    "MaskGitVQGAN": "maskgit",
    "MAGVITv2": "show-o",
    "MOVQ": "movq",
    "VQGANModel": "muse-vqgan",
    "PaellaVQModel": "paella",
    "emu3_vqgan": "emu3",
    "Emu3VisionVQ": "emu3",
    "flava_image_codebook": "dalle",
}
_MARKS = (  # parts of names that one family alone has
    *((mark, COSMOS) for mark in COSMOS_MARKS),
    ("quantize.quant_resi.", "var"),
    ("latent_token_positional_embedding", "titok"),
    ("encoder.conv_blocks.", "llamagen"),
    ("quantize.proj.weight", "taming-gumbel"),
    ("decoder.adaptive.", "open-magvit2"),
    ("decoder.norm_out.conv_y.", "kandinsky-movq"),
    ("vquantizer.", "paella"),
    (RQVAE_MARK, RQVAE),
    (VIT_VQGAN_MARK, VIT_VQGAN),
    ("quantizer.codebooks.", "unitok"),
    ("encoder.quant_conv.", "show-o"),
    (".upsample_conv.", "maskgit"),
    ("encoder.mid.block_1.", "taming"),
    ("blocks.group_1.block_1.res_path.", "dalle"),
)


def _scales(config: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """Return the grids that a configuration names by their sides, or the published ten for 256 px.

    Raises:
        WeightsError: it names none.
    """
    given = config.get("v_patch_nums", _VAR_SCALES)
    sides = [[each, each] if type(each) is int else each for each in given or ()]
    sound = all(
        isinstance(pair, Sequence) and len(pair) == 2 and all(type(n) is int for n in pair)
        for pair in sides
    )
    if not sides or not sound or not all(1 <= n <= _MAX_SIDE for pair in sides for n in pair):
        raise WeightsError(f"the configuration's v_patch_nums cannot be {given!r}")
    return tuple((rows, columns) for rows, columns in sides)


def _has_decoder(state: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("decoder.") for name in state)


def _without_decoder(shape: ConvShape) -> ConvShape:
    return replace(shape, decoder=None)
