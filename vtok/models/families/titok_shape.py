"""The shape of a TiTok: from its tensors, held against its configuration.

In: a state dict as its authors call the tensors, and the configuration beside it, which may be
empty. Out: the tensors under this package's names, and a `TitokShape`. Knows nothing of files.
Source: Yu et al., arXiv 2406.07550; the configurations of bytedance/1d-tokenizer.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vtok.errors import WeightsError
from vtok.models.families.convnet.reading import stack_from_tensors, tensor_size
from vtok.models.families.convnet.shape import Stack
from vtok.models.families.keymaps import MASKGIT, KeyMap
from vtok.nn.quantizer import Metric
from vtok.quantities import counted

HEAD_CHANNELS = 64

_TOWERS = {"small": (512, 8), "base": (768, 12), "large": (1024, 24)}  # name → width, layers
_MAX_LAYERS = 256
_MAX_GRID = 1 << 10
_KEYS = KeyMap(
    renames=(
        (r"^(encoder|decoder)\.transformer\.", r"\1.blocks."),
        (r"\.ln_([12])\.", r".norm\1."),
        (r"\.ln_(pre|post)\.", r".norm_\1."),
        (r"\.attn\.in_proj_", ".attention.qkv."),
        (r"\.attn\.out_proj\.", ".attention.proj."),
        (r"\.mlp\.c_fc\.", ".mlp.0."),
        (r"\.mlp\.c_proj\.", ".mlp.2."),
        (r"^quantize\.embedding\.weight$", "quantizer.codebook"),
        (r"^pixel_quantize\.embedding\.weight$", "proxy_codes"),
        (r"^decoder\.ffn\.", "decoder.head."),
        *MASKGIT.renames,
    ),
    drops=r"quantize\.embed_prob",  # how often codes were hit in training
)
_NO_DECODER = "its weights have no decoder"
_STAGE_ONE = (
    "its decoder ends in the codes of a MaskGIT VQGAN, whose own decoder the file does not have "
    "(it is of the first of two training stages)"
)
_NEEDS_TEXT = "its decoder reads a caption beside the tokens (TA-TiTok)"


@dataclass(frozen=True, slots=True, kw_only=True)
class TowerShape:
    """A transformer over the cells of a square grid and the latent tokens.

    Attributes:
        width: Channels, a multiple of those of a head.
        num_layers: Blocks.
        grid: Cells along one side.
        patch_px: Pixels of a cell along one side.
    """

    width: int
    num_layers: int
    grid: int
    patch_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TitokShape:
    """A whole tokenizer.

    Attributes:
        encoder: Pixels to latents.
        decoder: Codes to pixels or proxies; None where it cannot be run.
        no_decoder: Why it cannot; empty where it can.
        num_tokens: Latent tokens of an image (L).
        codebook_size: Number of codes (K).
        code_dim: Length of one code (D).
        metric: Of the search.
        legacy: Whether latents are made of a transposed view of the tokens, as in the first
            release.
        proxies: Number and length of the codes that the decoder chooses among instead of giving
            pixels; None where it gives pixels.
        pixel_decoder: From these codes to pixels; None likewise.
    """

    encoder: TowerShape
    decoder: TowerShape | None
    no_decoder: str
    num_tokens: int
    codebook_size: int
    code_dim: int
    metric: Metric
    legacy: bool
    proxies: tuple[int, int] | None = None
    pixel_decoder: Stack | None = None

    @property
    def side_px(self) -> int:
        """Side of the square images that it takes."""
        return self.encoder.grid * self.encoder.patch_px


def titok_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that can be run, under this package's names.

    Raises:
        WeightsError: two tensors would have the same name.
    """
    ours = _KEYS.renamed(state)
    if _no_decoder(ours):
        runs = ("encoder.", "latent_tokens", "quantizer.")
        return {name: tensor for name, tensor in ours.items() if name.startswith(runs)}
    return ours


def titok_shape(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> TitokShape:
    """Return the shape that tensors have, and what they do not say from the configuration.

    Without one, those with a decoder of proxies (L-32, B-64, S-128) search by cosine and the later
    ones by distance, as all published ones do.

    Args:
        config: The content of the configuration file.
        state: The tensors as their authors call them.

    Raises:
        WeightsError: the model is continuous, a tensor is missing, or they contradict each other.
    """
    facts = _facts(config)
    ours = _KEYS.renamed(state)
    if "quantizer.codebook" not in ours or facts.get("quantize_mode", "vq") != "vq":
        raise WeightsError(
            "a TiTok VAE: its tokens are vectors, it has no codebook: take one of its vq siblings"
        )
    no_decoder = _no_decoder(ours)
    if no_decoder == _NO_DECODER and not facts:
        raise WeightsError("a TiTok without decoder needs its configuration beside it")
    has_pixels = "decoder.conv_out.weight" in ours
    default = not has_pixels if "decoder.mask_token" in ours else True
    legacy = _flag(facts, "is_legacy", default)
    if "decoder.mask_token" in ours and legacy == has_pixels:
        raise WeightsError(f"the configuration's is_legacy cannot be {legacy} with these tensors")
    patch_px = tensor_size(ours, "encoder.patch_embed.weight", 2)
    encoder = _tower(ours, "encoder", facts.get("vit_enc_model_size"), patch_px)
    proxies, pixels, decoder = None, None, None
    if not no_decoder:
        if legacy:
            proxies = (tensor_size(ours, "proxy_codes", 0), tensor_size(ours, "proxy_codes", 1))
            stem = tensor_size(ours, "pixel_decoder.conv_out.weight", 1)
            pixels = stack_from_tensors(ours, "pixel_decoder", "up", stem)
            decoder_px = 1 << (len(pixels.levels) - 1)
        else:
            decoder_px = math.isqrt(tensor_size(ours, "decoder.head.0.weight", 0) // 3)
        decoder = _tower(ours, "decoder", facts.get("vit_dec_model_size"), decoder_px)
        if decoder.grid * decoder_px != encoder.grid * patch_px:
            raise WeightsError(
                f"it reads images of {encoder.grid * patch_px} px and gives images of "
                f"{decoder.grid * decoder_px} px"
            )
    shape = TitokShape(
        encoder=encoder,
        decoder=decoder,
        no_decoder=no_decoder,
        num_tokens=tensor_size(ours, "latent_tokens", 0),
        codebook_size=tensor_size(ours, "quantizer.codebook", 0),
        code_dim=tensor_size(ours, "quantizer.codebook", 1),
        metric="cosine" if _flag(facts, "use_l2_norm", legacy) else "l2",
        legacy=legacy,
        proxies=proxies,
        pixel_decoder=pixels,
    )
    _hold_against(facts, shape)
    return shape


def _facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that describe the tokenizer, in one mapping."""
    facts: dict[str, Any] = {}
    for path in (("model", "vq_model"), ("dataset", "preprocessing")):
        inner: Any = config
        for step in path:
            inner = inner.get(step) if isinstance(inner, Mapping) else None
        if isinstance(inner, Mapping):
            facts |= inner
    return facts


def _flag(facts: Mapping[str, Any], field: str, default: bool) -> bool:
    value = facts.get(field, default)
    if type(value) is not bool:
        raise WeightsError(f"the configuration's {field} cannot be {value!r}")
    return value


def _hold_against(facts: Mapping[str, Any], shape: TitokShape) -> None:
    """Require what the configuration says of the tensors to be so."""
    found = {
        "codebook_size": shape.codebook_size,
        "token_size": shape.code_dim,
        "num_latent_tokens": shape.num_tokens,
        "vit_enc_patch_size": shape.encoder.patch_px,
        "crop_size": shape.side_px,
    }
    for field, value in found.items():
        if facts.get(field, value) != value:
            raise WeightsError(
                f"the configuration's {field} cannot be {facts[field]!r}: the tensors have {value}"
            )


def _no_decoder(state: Mapping[str, Tensor]) -> str:
    """Return why these tensors, under this package's names, cannot decode; empty if they can."""
    if "decoder.mask_token" not in state:
        return _NO_DECODER
    if "decoder.text_guidance_proj.weight" in state:
        return _NEEDS_TEXT
    if "decoder.conv_out.weight" not in state and "proxy_codes" not in state:
        return _STAGE_ONE
    return ""


def _tower(state: Mapping[str, Tensor], side: str, size: object, patch_px: int) -> TowerShape:
    """Return an encoder or decoder; one of a published size has the layers of that size."""
    width = tensor_size(state, f"{side}.class_embedding", 1)
    cells = tensor_size(state, f"{side}.positional_embedding", 0) - 1
    grid = math.isqrt(max(0, cells))
    if patch_px < 1 or grid * grid != cells or not 1 <= grid <= _MAX_GRID:
        raise WeightsError(f"the {side}'s {cells} positions are no square grid of patches")
    if width % HEAD_CHANNELS:
        raise WeightsError(f"{width} channels are not a multiple of a head's {HEAD_CHANNELS}")
    blocks = {name.split(".")[2] for name in state if name.startswith(f"{side}.blocks.")}
    num_layers = len(blocks)
    if isinstance(size, str) and size in _TOWERS:
        wanted, num_layers = _TOWERS[size]
        if wanted != width:
            raise WeightsError(f"the {side} of a {size} model is {wanted} wide, not {width}")
    if not 1 <= num_layers <= _MAX_LAYERS:
        raise WeightsError(f"no {side} has {counted(num_layers, 'layer')}")
    return TowerShape(width=width, num_layers=num_layers, grid=grid, patch_px=patch_px)
