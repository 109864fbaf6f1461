"""The shape of a UniTok: from its tensors, and its configuration's size of images.

In: the tensors of its authors' file. Out: those of the tokenizer under this package's names, and
the numbers that the networks are made from. Knows nothing of files or networks.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from vtok.errors import WeightsError
from vtok.models.families.unitok.vitamin import DOWNSAMPLE, HEAD_DIM, BlocksShape
from vtok.models.families.unitok.vitamin_conv import Stage
from vtok.records import Grid, Size

_SIDE_PX = 256
_MAX_SIDE_PX = 1 << 14
_MAX_BLOCKS = 256
_MAX_CODEBOOKS = 256
_NOT_OURS = re.compile(
    r"text_encoder\..*|fc_norm\..*|projection\..*|logit_scale"
    r"|quantizer\.codebooks\.\d+\.vocab_usage"
)
_CODEBOOK = re.compile(r"quantizer\.codebooks\.(\d+)\.codebook\.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitokShape:
    """The shape of the networks and the codebooks.

    Attributes:
        size: Of the images.
        stem: Channels of the encoder at half the size.
        down: The encoder's stages at a quarter and an eighth.
        encoder: Its blocks.
        decoder: The decoder's blocks.
        up: The decoder's stages that lead to a quarter and a half.
        num_queries: Learned tokens in front of those of the image.
        attends: Whether the projections around the quantizer are by attention; else linear.
        num_codebooks: Indices of one position (G).
        codebook_size: Codes of each (K).
        code_dim: Channels of the codes of one position together (D).
    """

    size: Size
    stem: int
    down: tuple[Stage, Stage]
    encoder: BlocksShape
    decoder: BlocksShape
    up: tuple[Stage, Stage]
    num_queries: int
    attends: bool
    num_codebooks: int
    codebook_size: int
    code_dim: int

    @property
    def grid(self) -> Grid:
        """The cells of an image."""
        return Grid(rows=self.size.height // DOWNSAMPLE, cols=self.size.width // DOWNSAMPLE)


def unitok_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the tokenizer under this package's names, the text tower left out."""
    ours: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if _NOT_OURS.fullmatch(name):
            continue
        name = name.replace("encoder.patch_embed.backbone.", "encoder.")
        ours[_CODEBOOK.sub(r"quantizer.parts.\1.codebook", name)] = tensor
    return ours


def unitok_shape(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> UnitokShape:
    """Return the shape of a UniTok.

    Args:
        config: Its `img_size`, one side or (height, width); 256 where it says nothing.
        state: Its tensors under this package's names.

    Raises:
        WeightsError: one that the shape depends on is missing, or it is no such model's.
    """
    tensors = _Tensors(state)
    codebooks = tensors.count("quantizer.parts", _MAX_CODEBOOKS)
    codebook_size, part_dim = tensors.shape("quantizer.parts.0.codebook", 2)
    queries = state.get("encoder.reg_token")
    shape = UnitokShape(
        size=_size(config.get("img_size", _SIDE_PX)),
        stem=tensors.shape("encoder.stem.conv1.weight", 4)[0],
        down=(tensors.stage("encoder.stages.0"), tensors.stage("encoder.stages.1")),
        encoder=tensors.blocks("encoder"),
        decoder=tensors.blocks("decoder"),
        up=(tensors.stage("decoder.up_conv2"), tensors.stage("decoder.up_conv3")),
        num_queries=queries.shape[1] if queries is not None and queries.ndim == 3 else 0,
        attends="quant_proj.attn.qkv.weight" in state,
        num_codebooks=codebooks,
        codebook_size=codebook_size,
        code_dim=codebooks * part_dim,
    )
    for dim in (shape.encoder.dim, shape.decoder.dim):
        if dim % HEAD_DIM or (shape.attends and dim % shape.code_dim):
            raise WeightsError(
                f"{dim} channels are no multiple of heads of {HEAD_DIM}, or of codes of "
                f"{shape.code_dim}"
            )
    return shape


@dataclass(frozen=True, slots=True)
class _Tensors:
    """The tensors of a file, asked for what they say of the shape.

    Attributes:
        state: By this package's names.
    """

    state: Mapping[str, Tensor]

    def shape(self, name: str, num_axes: int) -> tuple[int, ...]:
        """Return the shape of one of them."""
        tensor = self.state.get(name)
        if tensor is None or tensor.ndim != num_axes:
            raise WeightsError(f"missing: {name}, without which the shape of the model is unknown")
        return tuple(tensor.shape)

    def count(self, name: str, largest: int) -> int:
        """Return how many modules a list has, from the highest of their numbers."""
        pattern = re.compile(rf"{re.escape(name)}\.(\d{{1,4}})\.")
        found = [int(each[1]) for held in self.state if (each := pattern.match(held))]
        if not found:
            raise WeightsError(
                f"missing: {name}.0, without which the shape of the model is unknown"
            )
        if max(found) >= largest:
            raise WeightsError(f"{name}.{max(found)}: more than {largest} are no such model's")
        return max(found) + 1

    def stage(self, name: str) -> Stage:
        """Return the convolutional blocks of this name."""
        num_blocks = self.count(name, _MAX_BLOCKS)
        channels = self.shape(f"{name}.0.conv3_1x1.weight", 4)[0]
        return Stage(channels=channels, num_blocks=num_blocks)

    def blocks(self, name: str) -> BlocksShape:
        """Return the transformer blocks of this name."""
        hidden_dim, dim = self.shape(f"{name}.blocks.0.mlp.w0.weight", 2)
        num_blocks = self.count(f"{name}.blocks", _MAX_BLOCKS)
        return BlocksShape(dim=dim, num_blocks=num_blocks, hidden_dim=hidden_dim)


def _size(given: object) -> Size:
    sides = [given, given] if type(given) is int else given
    if isinstance(sides, Sequence) and len(sides) == 2:
        height, width = sides
        if all(type(n) is int and 0 < n <= _MAX_SIDE_PX and not n % DOWNSAMPLE for n in sides):
            return Size(height=height, width=width)
    raise WeightsError(f"the configuration's img_size cannot be {given!r}")
