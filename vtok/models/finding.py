"""Where the files of a model are, by its name: what ships, what lies in a folder, what a hub has.

In: a name (`vtok-base`, `llamagen-vq16`), a model folder, a weights file, or a hub id
(`owner/name`). Out: a folder of the model's files. Reads no weights, but for their digest.
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from vtok.errors import UnknownNameError, UsageError, WeightsError
from vtok.models.files.fetching import fetched, fetched_preset
from vtok.models.files.folder import CONFIG_NAME, WEIGHTS_SUFFIXES
from vtok.models.files.sources import FolderSource, HubSource, ModelSource, read_json
from vtok.models.files.weights import ModelFolder, open_folder
from vtok.models.presets import PRESETS
from vtok.models.vision.published import ENCODERS
from vtok.models.vision.timm_models import is_timm

_SHIPPED = Path(__file__).parent / "shipped"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_PATH_STARTS = ("./", "../", "/", "~")  # what no hub id and no preset begins with


@dataclass(frozen=True, slots=True)
class Shipped:
    """A model whose weights are in the package.

    Attributes:
        folder: Name of its folder.
        weights_sha256: Digest that its weights must have.
    """

    folder: str
    weights_sha256: str


SHIPPED: dict[str, Shipped] = {
    "vtok-base": Shipped(
        "vtok-base", "c22c7a73f7b17199e973a7d302048b3ba640b80315192ef64610a1416901c5d1"
    ),
}


def model_names() -> tuple[str, ...]:
    """Return the names of the models: those that ship, then the published ones."""
    return (*sorted(SHIPPED), *sorted(PRESETS), *sorted(ENCODERS))


def vision_source(name: str) -> ModelSource | None:
    """Return where the files of a model of transformers or timm are; None for any other model."""
    path = Path(name)
    source: ModelSource
    if name in SHIPPED or name in PRESETS or path.is_file():
        return None
    if path.is_dir():
        source = FolderSource(path)
    elif name in ENCODERS:
        return HubSource(ENCODERS[name].hub_id)
    elif _HUB_ID.fullmatch(name) and not _is_place(name):
        source = HubSource(name)
    else:
        return None
    config = read_json(source, CONFIG_NAME)
    known = config is not None and ("model_type" in config or is_timm(config))
    return source if known else None


def is_of_timm(source: ModelSource) -> bool:
    """Return whether a model's configuration is one of timm's."""
    return is_timm(read_json(source, CONFIG_NAME) or {})


def _is_place(name: str) -> bool:
    """Whether a name can only be that of a file or folder, there or not."""
    return (
        Path(name).suffix in WEIGHTS_SUFFIXES or name.startswith(_PATH_STARTS) or name[-1:] == "/"
    )


def find_folder(name: str) -> ModelFolder:
    """Return the model folder behind a name, its shipped digest checked.

    Raises:
        UnknownNameError: there is no such model.
        UsageError: it is no model of this package's or its authors' own format.
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
    if path.is_dir() or path.is_file():
        return open_folder(path)
    if name in PRESETS:
        return open_folder(fetched_preset(name, PRESETS[name]))
    if name in ENCODERS:
        raise UsageError(f"{name} gives features, not indices: it is for encode-continuous")
    if _is_place(name):
        raise WeightsError(f"{name}: no such file or folder")
    if _HUB_ID.fullmatch(name) and not path.exists():
        return open_folder(fetched(name))
    near = difflib.get_close_matches(name, model_names(), n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}?" if near else "`vtok models` lists those with names"
    raise UnknownNameError(
        f"no model {name!r}: {hint} (or give a model folder, a weights file, or a hub id like "
        "owner/name)"
    )
