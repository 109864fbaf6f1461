"""What a vision model is, before any of its weights are read.

In: where its files are. Out: its configuration and the rows of its tower and of the whole model,
and what its image processor does. Builds no network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vtok.errors import WeightsError
from vtok.models.files.folder import CONFIG_NAME
from vtok.models.files.sources import ModelSource, read_json
from vtok.models.vision import internvit
from vtok.models.vision.preprocessing import Preprocessing, preprocessing_of
from vtok.models.vision.skeleton import quiet, transformers_for
from vtok.models.vision.towers import TOWERS, Tower, image_px_of, patch_px_of
from vtok.models.vision.wholes import WHOLES, Whole

# Models of pictures and texts, and the network of tower and projection, where that is not just the
# pooled vector: of these, too, nothing else is built.
DUALS = {"clip": "CLIPVisionModelWithProjection", "siglip": None, "siglip2": None}
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionModel:
    """What a configuration is of.

    Attributes:
        name: As it was asked for.
        kind: Its `model_type`.
        config: All of it, as transformers reads it.
        tower: The row of its tower.
        vision: The tower's configuration.
        whole: The row of the whole model, where it is one.
    """

    name: str
    kind: str
    config: Any
    tower: Tower
    vision: Any
    whole: Whole | None = None

    @property
    def num_prefix(self) -> int:
        """Tokens before the patches."""
        return self.tower.num_prefix(self.vision)

    @property
    def width(self) -> int:
        """Length of a vector."""
        return int(getattr(self.vision, self.tower.width))

    @property
    def num_patches(self) -> int:
        """Patches of a picture of its own size."""
        return int((image_px_of(self.vision) // patch_px_of(self.vision)) ** 2)


def described(source: ModelSource, name: str) -> tuple[VisionModel, Preprocessing]:
    """Return what a model is, and what its image processor does.

    Raises:
        WeightsError: its files are missing, or of an architecture not known here.
    """
    transformers = transformers_for(name)
    given = internvit.config_of(source)
    if given is None:
        raise WeightsError(f"{source.where}: there is no {CONFIG_NAME}")
    with quiet():
        model = _model_of(given, name, source.where, transformers)
    return model, preprocessing_of(_processor(source), model.config, transformers)


def is_known(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration is of a model that this file can load."""
    return config.get("model_type") in (*TOWERS, *WHOLES, *DUALS)


def _model_of(given: Mapping[str, Any], name: str, where: str, transformers: Any) -> VisionModel:
    kind = given.get("model_type")
    if not is_known(given):
        originals = (internvit.TOWER, internvit.WHOLE)
        known = ", ".join(sorted((*TOWERS, *WHOLES, *DUALS, *originals)))
        raise WeightsError(
            f"{where}: model_type {kind!r} has no continuous features here; there are: {known}"
        )
    try:
        config = transformers.CONFIG_MAPPING[kind].from_dict(dict(given))
        vision = config if kind in TOWERS else config.vision_config
        tower = TOWERS.get(vision.model_type)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{where}: the configuration is not understood: {reason}") from error
    if tower is None:
        raise WeightsError(f"{where}: its vision tower is a {vision.model_type}, not known here")
    return VisionModel(
        name=name,
        kind=str(kind),
        config=config,
        tower=tower,
        vision=vision,
        whole=WHOLES.get(str(kind)),
    )


def _processor(source: ModelSource) -> Mapping[str, Any] | None:
    """Return what is said of the image processor, in a file of its own or among others."""
    found = internvit.processor_of(source)
    if found is not None:
        return found
    for file in _PROCESSOR_FILES:
        facts = read_json(source, file)
        if facts is not None:
            inner = facts.get("image_processor", facts)
            return inner if isinstance(inner, Mapping) else facts
    return None
