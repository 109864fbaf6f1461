"""The models that have names, as a list to choose from. Loads no model and no torch.

In: the table of presets, what ships, the hub's cache on this machine. Out: one row a name.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import try_to_load_from_cache

from vtok.models.presets import PRESETS, Preset, num_indices

_SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueRow:
    """A model that has a name.

    Attributes:
        name: What `--model` takes.
        family: What it is.
        downsample: Pixels per latent cell along one side (f).
        codebook_size: Number of codes.
        dtype: What indices are stored in.
        indices_256: Indices of a 256 x 256 image, or of the one size that the model takes.
        index_shape: Of one image.
        pixels: What bytes become.
        alignment_px: Sides are multiples of this.
        sizes: `any`, or the one size.
        licence: Of the weights.
        hub_id: Its repository on the hub; empty if it is not there.
        page: Where else its authors have it.
        is_here: Whether its weights are on this machine.
    """

    name: str
    family: str
    downsample: int
    codebook_size: int
    dtype: str
    indices_256: int
    index_shape: str
    pixels: str
    alignment_px: int
    sizes: str
    licence: str
    hub_id: str
    page: str
    is_here: bool

    def to_json(self) -> dict[str, Any]:
        """Return the fields in a JSON-ready dict."""
        return asdict(self)


def catalogue() -> tuple[CatalogueRow, ...]:
    """Return what ships, then the published models by name."""
    shipped = [_shipped_row(folder) for folder in sorted(_SHIPPED.iterdir()) if folder.is_dir()]
    published = [_row(name, preset) for name, preset in sorted(PRESETS.items())]
    return (*shipped, *published)


def _row(name: str, preset: Preset) -> CatalogueRow:
    fixed = preset.fixed_px
    return CatalogueRow(
        name=name,
        family=preset.family,
        downsample=preset.downsample,
        codebook_size=preset.codebook_size,
        dtype=np.min_scalar_type(preset.codebook_size - 1).name,
        indices_256=num_indices(preset),
        index_shape=str(preset.codes),
        pixels=preset.pixels,
        alignment_px=preset.alignment_px or preset.downsample,
        sizes="any" if fixed is None else f"{fixed}x{fixed}",
        licence=preset.licence,
        hub_id=preset.hub_id,
        page=preset.page,
        is_here=_is_here(name, preset),
    )


def _shipped_row(folder: Path) -> CatalogueRow:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    preset = Preset(
        config["family"], config["patch_px"], config["codebook_size"], "Apache-2.0", "", ()
    )
    return _row(folder.name, preset)


def _is_here(name: str, preset: Preset) -> bool:
    if not preset.files:
        return True
    if preset.hub_id:
        return all(
            isinstance(try_to_load_from_cache(preset.hub_id, file), str) for file in preset.files
        )
    return all((Path(name) / file).is_file() for file in preset.files)
