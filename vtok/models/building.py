"""A model's files to what makes it: every family this package knows, by name.

In: a family's name, or none, a configuration, and the tensors under their authors' names. Out: a
function that makes the empty tokenizer, and the tensors under its own names. Opens no files.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from vtok.errors import UnknownNameError, WeightsError
from vtok.models.base import PixelRange, Tokenizer
from vtok.models.families.convnet.networks import TAMING
from vtok.models.families.convnet.tokenizer import ConvTokenizer
from vtok.models.families.convolutional import CONV_FAMILIES, SIGNED, UNIT, flat_config, recognised
from vtok.models.families.cosmos import FAMILY as COSMOS
from vtok.models.families.cosmos import cosmos_model
from vtok.models.families.dalle import FAMILY as DALLE
from vtok.models.families.dalle import DalleTokenizer, dalle_shape, dalle_state
from vtok.models.families.emu3 import emu3_config, emu3_state
from vtok.models.families.paella import FAMILY as PAELLA
from vtok.models.families.paella import PaellaTokenizer, paella_shape, paella_state
from vtok.models.families.rqvae import FAMILY as RQVAE
from vtok.models.families.rqvae import rqvae_model
from vtok.models.families.titok import FAMILY as TITOK
from vtok.models.families.titok import TitokTokenizer
from vtok.models.families.titok_shape import titok_shape, titok_state
from vtok.models.families.unitok.shape import unitok_shape, unitok_state
from vtok.models.families.unitok.tokenizer import FAMILY as UNITOK
from vtok.models.families.unitok.tokenizer import UnitokTokenizer
from vtok.models.families.vitvqgan import FAMILY as VIT_VQGAN
from vtok.models.families.vitvqgan import VitVqTokenizer
from vtok.models.families.vitvqgan_shape import vitvq_shape, vitvq_state
from vtok.models.families.wrapped import DiffusersTokenizer, Emu3Tokenizer
from vtok.models.vtok_base import VtokBaseTokenizer
from vtok.models.vtok_base_networks import FAMILY, VtokBaseConfig

_CODEBOOK = "quantizer.codebook"

Config = Mapping[str, Any]
State = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a tokenizer is put together from.

    Attributes:
        make: Makes the tokenizer, without its weights.
        state: Its tensors, under its own names.
    """

    make: Callable[[], Tokenizer]
    state: State


def tokenizer_parts(config: Config, state: State, *, name: str, family: str | None) -> Parts:
    """Return the parts of a tokenizer.

    Args:
        config: The content of its configuration; may be empty.
        state: Its tensors, as its authors call them.
        name: The name it was asked for by.
        family: What it is; None to find out.

    Raises:
        UnknownNameError: there is no such family.
        WeightsError: it is none that this package knows, or its configuration is wrong.
    """
    found = family or family_of(config, frozenset(state))
    if found not in _BUILDERS:
        near = difflib.get_close_matches(found, family_names(), n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else f"there are: {_listed()}"
        raise UnknownNameError(f"no family {found!r}: {hint}")
    return _BUILDERS[found](config, state, name)


def family_of(config: Config, names: frozenset[str]) -> str:
    """Return the family of a model from its configuration and its tensors' names.

    Raises:
        WeightsError: it is none of those that this package knows.
    """
    own = config.get("family")
    if isinstance(own, str) and own in _BUILDERS:
        return own
    found = recognised(config, names)
    if found is None:
        said = f"family {own!r} is not one of" if own is not None else "of no known family; known"
        raise WeightsError(f"{said}: {_listed()}")
    return found


def family_names() -> tuple[str, ...]:
    """Return the names of the families."""
    return tuple(sorted(_BUILDERS))


def vtok_base_config(config: Config) -> VtokBaseConfig:
    """Return the shape that a config.json of this package's own model describes.

    Raises:
        WeightsError: a field is missing, unknown, or of another type.
    """
    given = {name: value for name, value in config.items() if name != "family"}
    given.setdefault("diffusion_sweeps", 0)  # folders from before there were any
    types = {field.name: field.type for field in fields(VtokBaseConfig)}
    if given.keys() != types.keys():
        odd = ", ".join(sorted(given.keys() ^ types.keys()))
        raise WeightsError(f"the configuration has missing or unknown fields: {odd}")
    for name, value in given.items():
        least = 0 if name == "diffusion_sweeps" else 1
        if type(value) is not types[name] or (isinstance(value, int) and value < least):
            raise WeightsError(f"the configuration's {name} cannot be {value!r}")
    return VtokBaseConfig(**given)


def _vtok_base(config: Config, state: State, name: str) -> Parts:
    shape = vtok_base_config(config)
    return Parts(lambda: VtokBaseTokenizer(shape, name=name), state)


def _dalle(_config: Config, state: State, name: str) -> Parts:
    ours = dalle_state(state)
    shape = dalle_shape(ours)
    return Parts(lambda: DalleTokenizer(shape, name=name), ours)


def _paella(_config: Config, state: State, name: str) -> Parts:
    ours = paella_state(state)
    shape = paella_shape(ours)
    return Parts(lambda: PaellaTokenizer(shape, name=name), ours)


def _titok(config: Config, state: State, name: str) -> Parts:
    shape = titok_shape(config, state)
    return Parts(lambda: TitokTokenizer(shape, name=name), titok_state(state))


def _cosmos(config: Config, state: State, name: str) -> Parts:
    shape, ours = cosmos_model(config, state)

    def make() -> ConvTokenizer:
        return ConvTokenizer(shape, TAMING, "fsq", name=name, family=COSMOS, pixels=SIGNED)

    return Parts(make, ours)


def _unitok(config: Config, state: State, name: str) -> Parts:
    ours = unitok_state(state)
    shape = unitok_shape(config, ours)
    return Parts(lambda: UnitokTokenizer(shape, name=name), ours)


def _rqvae(_config: Config, state: State, name: str) -> Parts:
    shape, ours = rqvae_model(state)

    def make() -> ConvTokenizer:
        return ConvTokenizer(shape, TAMING, "residual", name=name, family=RQVAE, pixels=SIGNED)

    return Parts(make, ours)


def _vitvqgan(config: Config, state: State, name: str) -> Parts:
    shape = vitvq_shape(flat_config(config), state)
    return Parts(lambda: VitVqTokenizer(shape, name=name), vitvq_state(state, shape.depth))


def _conv(family: str) -> Callable[[Config, State, str], Parts]:
    def build(config: Config, state: State, name: str) -> Parts:
        ours = CONV_FAMILIES[family].keys.renamed(state)
        return Parts(CONV_FAMILIES[family].maker(config, ours, name), ours)

    return build


def _wrapped(
    wrapper: type[DiffusersTokenizer | Emu3Tokenizer], family: str, pixels: PixelRange
) -> Callable[[Config, State, str], Parts]:
    def build(config: Config, state: State, name: str) -> Parts:
        ours = {_CODEBOOK if n == "quantize.embedding.weight" else n: t for n, t in state.items()}
        return Parts(lambda: wrapper(config, name=name, family=family, pixels=pixels), ours)

    return build


def _emu3(config: Config, state: State, name: str) -> Parts:
    wrap = _wrapped(Emu3Tokenizer, "emu3", SIGNED)
    return wrap(emu3_config(config), emu3_state(state), name)


def _listed() -> str:
    return ", ".join(family_names())


_BUILDERS: dict[str, Callable[[Config, State, str], Parts]] = {
    FAMILY: _vtok_base,
    DALLE: _dalle,
    COSMOS: _cosmos,
    PAELLA: _paella,
    RQVAE: _rqvae,
    TITOK: _titok,
    UNITOK: _unitok,
    "amused": _wrapped(DiffusersTokenizer, "amused", UNIT),
    "diffusers-vq": _wrapped(DiffusersTokenizer, "diffusers-vq", SIGNED),
    "emu3": _emu3,
    VIT_VQGAN: _vitvqgan,
    **{family: _conv(family) for family in CONV_FAMILIES},
}
