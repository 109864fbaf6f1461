"""From a model's files to an encoder of what was asked for.

In: where the files are, the output, the layers. Out: an encoder. Says in one line what a model does
not have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vtok.errors import UsageError, WeightsError
from vtok.models.base import Encoder, EncoderSpec, Output
from vtok.models.modelfiles import CONFIG_NAME
from vtok.models.vision import internvit
from vtok.models.vision.encoder import (
    Compute,
    ComputePacked,
    VisionEncoder,
    cls_of,
    embedding,
    packed_patches_of,
    patches_of,
    pooled_of,
    projected_of,
    qwen_projected,
)
from vtok.models.vision.packing import PACKED
from vtok.models.vision.preprocessing import Preprocessing, preprocessing_of
from vtok.models.vision.skeleton import built, quiet, transformers_for
from vtok.models.vision.sources import ModelSource, read_json
from vtok.models.vision.towers import TOWERS, Layers, Tower, image_px_of, patch_px_of
from vtok.models.vision.wholes import WHOLES, Whole
from vtok.records import Size

# Models of pictures and texts: only their tower is built, or that and its projection.
_DUALS = {"clip": "CLIPVisionModelWithProjection", "siglip": None, "siglip2": None}
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
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
        return self.tower.num_prefix(self.vision)

    @property
    def width(self) -> int:
        return int(getattr(self.vision, self.tower.width))

    @property
    def num_patches(self) -> int:
        return int((image_px_of(self.vision) // patch_px_of(self.vision)) ** 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    """What to build for an output.

    Attributes:
        class_name: The network.
        config: Its configuration.
        without: The attributes to leave out.
        compute: Its outputs.
        dim: Length of a vector.
        merge: Patches along one side that a vector stands for.
        num_tokens: Vectors of a view where they form no grid.
        compute_packed: Its outputs of pictures of any sizes as one sequence; None where it has no
            such way.
        takes_sizes: Whether it computes the same of pictures of other sizes, if its tower does.
    """

    class_name: str
    config: Any
    compute: Compute
    dim: int
    without: tuple[str, ...] = field(default=())
    merge: int = 1
    num_tokens: int | None = None
    compute_packed: ComputePacked | None = None
    takes_sizes: bool = True


def load_vision_encoder(
    source: ModelSource, *, name: str, output: Output = "patches", layers: Layers = ()
) -> Encoder:
    """Return an encoder of a model of transformers, ready to run on the CPU in fp32.

    Args:
        source: Its files. Of the weights, only what the output needs is read.
        name: The name that it was asked for by.
        output: What its features are to be.
        layers: The states to take instead of the model's own choice.

    Raises:
        WeightsError: its files are missing, damaged, or of an architecture not known here.
        UsageError: it does not have that output or layer.
    """
    model, preprocessing = _described(source, name)
    _check_layers(model, output, layers)
    recipe = _recipe(model, output, layers)
    files = internvit.tensors_of(source)
    network = built(
        recipe.class_name,
        recipe.config,
        without=recipe.without,
        files=files,
        where=source.where,
    )
    encoder = VisionEncoder(
        network,
        recipe.compute,
        _spec(model, recipe, preprocessing, output, layers),
        has_table=model.tower.has_table and recipe.takes_sizes,
        compute_packed=recipe.compute_packed,
    )
    encoder.weights_sha256 = files.sha256
    encoder.num_bytes_read = files.num_bytes_read
    encoder.note = preprocessing.note
    return encoder.eval()


def vision_spec(source: ModelSource, *, name: str) -> EncoderSpec:
    """Return the facts of a model's patches, from its configuration alone; as above."""
    model, preprocessing = _described(source, name)
    return _spec(model, _recipe(model, "patches", ()), preprocessing, "patches", ())


def is_known(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration is of a model that this file can load."""
    return config.get("model_type") in (*TOWERS, *WHOLES, *_DUALS)


def _described(source: ModelSource, name: str) -> tuple[_Model, Preprocessing]:
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


def _model_of(given: Mapping[str, Any], name: str, where: str, transformers: Any) -> _Model:
    kind = given.get("model_type")
    if not is_known(given):
        originals = (internvit.TOWER, internvit.WHOLE)
        known = ", ".join(sorted((*TOWERS, *WHOLES, *_DUALS, *originals)))
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
    return _Model(
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


def _check_layers(model: _Model, output: Output, layers: Layers) -> None:
    if not layers:
        return
    takes = model.tower.takes_layers and output in ("patches", "cls")
    if output == "projected" and model.whole is not None:
        takes = model.whole.takes_layers
    if not takes:
        raise UsageError(f"{model.name} has no choice of --layer for --output {output}")
    depth = int(getattr(model.vision, model.tower.depth))
    for layer in layers:
        if not -depth - 1 <= layer <= depth:
            raise UsageError(
                f"{model.name} has {depth} layers: --layer is in [{-depth - 1}, {depth}] (0 before "
                f"the first, -1 after the last), not {layer}"
            )


def _recipe(model: _Model, output: Output, layers: Layers) -> _Recipe:
    if output == "projected":
        return _projected(model, layers)
    whole = model.whole
    attribute = None if whole is None else whole.tower
    taken = layers or (() if whole is None else whole.tower_layers(model.config))
    compute: Compute
    packed: ComputePacked | None = None
    if output == "patches":
        compute = patches_of(attribute, model.tower, model.vision, taken)
        see = PACKED.get(model.vision.model_type)
        if see is not None:
            packed = packed_patches_of(see, attribute, model.tower, model.vision, taken)
    elif output == "cls" and model.tower.has_cls:
        compute = cls_of(attribute, model.tower, model.vision, taken)
    elif output == "pooled" and model.tower.pools(model.vision):
        compute = pooled_of(attribute, model.tower)
    else:
        raise UsageError(f"{model.name} has no {output} output: its tower gives none")
    return _Recipe(
        class_name=model.tower.class_name if whole is None else whole.class_name,
        config=model.vision if whole is None else model.config,
        without=() if whole is None else (*whole.language, *whole.projector),
        compute=compute,
        compute_packed=packed,
        dim=model.width * (len(taken) or 1 if output != "pooled" else 1),
        num_tokens=None if output == "patches" else 1,
    )


def _projected(model: _Model, layers: Layers) -> _Recipe:
    whole = model.whole
    if whole is None and model.kind in _DUALS:
        return _embedded(model)
    if whole is None:
        raise UsageError(f"{model.name} has no projected output: it is a tower without a projector")
    config, own = model.config, whole.own_layers(model.config)
    if layers and len(layers) != len(own):
        raise UsageError(
            f"the projector of {model.name} takes {len(own)} --layer, not {len(layers)}"
        )
    merge = whole.merge(config)
    kept = whole.keeps_prefix(config, model.num_prefix)
    return _Recipe(
        class_name=whole.class_name,
        config=config,
        without=whole.language,
        compute=projected_of(whole, model.tower, layers or own),
        compute_packed=qwen_projected if whole.tower == "visual" else None,
        dim=int(config.get_text_config().hidden_size),
        merge=merge,
        num_tokens=model.num_patches // merge**2 + kept if kept else None,
        takes_sizes=not kept and whole.takes_sizes,
    )


def _embedded(model: _Model) -> _Recipe:
    """Return what gives a picture's vector in the space that it shares with texts."""
    class_name = _DUALS[model.kind]
    if class_name is None:  # it is the pooled one
        return _recipe(model, "pooled", ())
    model.vision.projection_dim = model.config.projection_dim
    return _Recipe(
        class_name=class_name,
        config=model.vision,
        compute=embedding,
        dim=int(model.config.projection_dim),
        num_tokens=1,
    )


def _spec(
    model: _Model, recipe: _Recipe, own: Preprocessing, output: Output, layers: Layers
) -> EncoderSpec:
    patch = patch_px_of(model.vision)
    fixed = None
    if model.tower.is_fixed:
        side = image_px_of(model.vision)
        fixed = Size(height=side, width=side)
    return EncoderSpec(
        name=model.name,
        family=model.kind,
        patch_px=patch,
        dim=recipe.dim,
        pixels=own.pixels,
        size_policy="any" if fixed is None else "fixed",
        fixed_size=fixed,
        alignment_px=patch * max(recipe.merge, model.tower.merge(model.vision)),
        output=output,
        layers=layers,
        merge=recipe.merge,
        num_tokens=recipe.num_tokens,
        scheme=own.scheme,
        scheme_options=own.options,
        reads_tiles_together=model.tower.reads_tiles_together,
        packs=fixed is None and recipe.compute_packed is not None,
        interpolation="bicubic" if model.tower.has_table and fixed is None else None,
    )
