"""Names to models: what ships, what lies in a folder, what a hub has.

In: a name (`vtok-base`), a model folder, or a hub id (`owner/name`). Out: a tokenizer or an
encoder in eval mode that knows its specification and its weights' digest. Knows nothing of images.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from vtok.errors import UnknownNameError, WeightsError
from vtok.models.base import Encoder, Tokenizer
from vtok.models.vtok_base import FAMILY, VtokBaseConfig, VtokBaseEncoder, VtokBaseTokenizer
from vtok.models.weights import CONFIG_NAME, WEIGHTS_NAME, ModelFolder, load_tensors, open_folder

DEFAULT_MODEL = "vtok-base"

_SHIPPED = Path(__file__).parent / "shipped"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_ModelT = TypeVar("_ModelT", Tokenizer, Encoder)


@dataclass(frozen=True, slots=True)
class Shipped:
    """A model whose weights are in the package.

    Attributes:
        folder: Name of its folder.
        weights_sha256: Digest that its weights must have.
    """

    folder: str
    weights_sha256: str


@dataclass(frozen=True, slots=True)
class Family:
    """How a family's folders become models.

    Attributes:
        tokenizer: (configuration, name) → an empty tokenizer.
        encoder: Likewise, an encoder; it reads the same weights file.
        encoder_skips: Prefixes of the tensors that the encoder has no use for.
    """

    tokenizer: Callable[[Mapping[str, Any], str], Tokenizer]
    encoder: Callable[[Mapping[str, Any], str], Encoder]
    encoder_skips: tuple[str, ...]


SHIPPED: dict[str, Shipped] = {
    "vtok-base": Shipped(
        "vtok-base", "31af3c753da4aa7e542d365650e7ba11da62001b508cb6114c86ab592598cad7"
    ),
}

FAMILIES: dict[str, Family] = {
    FAMILY: Family(
        tokenizer=lambda config, name: VtokBaseTokenizer(_vtok_base_config(config), name=name),
        encoder=lambda config, name: VtokBaseEncoder(_vtok_base_config(config), name=name),
        encoder_skips=("quantizer.", "synthesis."),
    ),
}


def model_names() -> tuple[str, ...]:
    """Return the names of the models that ship."""
    return tuple(sorted(SHIPPED))


def load_tokenizer(name: str = DEFAULT_MODEL) -> Tokenizer:
    """Return a tokenizer, ready to run on the CPU in fp32.

    Args:
        name: A shipped model's name, a model folder, or a hub id.

    Raises:
        UnknownNameError: it is none of these; the message has the near names.
        WeightsError: its files are missing, damaged, or of an unknown family.
    """
    folder = find_folder(name)
    family = _family(folder)
    return _loaded(family.tokenizer(folder.config, name), folder, ())


def load_encoder(name: str = DEFAULT_MODEL) -> Encoder:
    """Return an encoder, ready to run on the CPU in fp32; arguments and errors as above."""
    folder = find_folder(name)
    family = _family(folder)
    return _loaded(family.encoder(folder.config, name), folder, family.encoder_skips)


def find_folder(name: str) -> ModelFolder:
    """Return the model folder behind a name, its shipped digest checked.

    Raises:
        UnknownNameError: there is no such model.
        WeightsError: its files are missing, damaged, or not those that were shipped.
    """
    if name in SHIPPED:
        shipped = SHIPPED[name]
        folder = open_folder(_SHIPPED / shipped.folder)
        if folder.weights_sha256 != shipped.weights_sha256:
            raise WeightsError(
                f"the weights of {name} in {folder.path} are not those that were shipped: "
                "install vtok again"
            )
        return folder
    path = Path(name)
    if path.is_dir():
        return open_folder(path)
    if _HUB_ID.fullmatch(name) and not path.exists():
        return open_folder(_download(name))
    near = difflib.get_close_matches(name, model_names(), n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}?" if near else f"there are: {', '.join(model_names())}"
    raise UnknownNameError(
        f"no model {name!r}: {hint} (or give a model folder, or a hub id like owner/name)"
    )


def _download(hub_id: str) -> Path:
    """Return the local copy of a hub's model, fetched where it is not yet there."""
    try:
        path = snapshot_download(hub_id, allow_patterns=[CONFIG_NAME, WEIGHTS_NAME])
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(
            f"{hub_id}: cannot be fetched from the hub ({reason}): check the name and the network"
        ) from error
    return Path(path)


def _family(folder: ModelFolder) -> Family:
    name = folder.config.get("family")
    if not isinstance(name, str) or name not in FAMILIES:
        raise WeightsError(
            f"{folder.path / CONFIG_NAME}: family {name!r} is not one of: "
            f"{', '.join(sorted(FAMILIES))}"
        )
    return FAMILIES[name]


def _loaded(model: _ModelT, folder: ModelFolder, skips: tuple[str, ...]) -> _ModelT:
    load_tensors(model, folder, prefixes=skips)
    model.weights_sha256 = folder.weights_sha256
    return model.eval()


def _vtok_base_config(config: Mapping[str, Any]) -> VtokBaseConfig:
    """Return the shape that a config.json describes.

    Raises:
        WeightsError: a field is missing, unknown, or of another type.
    """
    given = {name: value for name, value in config.items() if name != "family"}
    types = {field.name: field.type for field in fields(VtokBaseConfig)}
    if given.keys() != types.keys():
        odd = ", ".join(sorted(given.keys() ^ types.keys()))
        raise WeightsError(f"{CONFIG_NAME}: missing or unknown fields: {odd}")
    for name, value in given.items():
        if type(value) is not types[name] or (isinstance(value, int) and value < 1):
            raise WeightsError(f"{CONFIG_NAME}: {name} cannot be {value!r}")
    return VtokBaseConfig(**given)
