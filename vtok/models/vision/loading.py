"""From a model's files to an encoder of what was asked for.

In: where the files are, the output, the layers. Out: an encoder. Says in one line what a model does
not have.
"""

from dataclasses import dataclass, field
from typing import Any

from vtok.errors import UsageError
from vtok.models.base import Encoder, EncoderSpec, Output
from vtok.models.files.sources import ModelSource
from vtok.models.vision import internvit
from vtok.models.vision.described import DUALS, VisionModel, described
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
from vtok.models.vision.preprocessing import Preprocessing
from vtok.models.vision.skeleton import built
from vtok.models.vision.towers import Layers, image_px_of, patch_px_of
from vtok.records import Size


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
    model, preprocessing = described(source, name)
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
    model, preprocessing = described(source, name)
    return _spec(model, _recipe(model, "patches", ()), preprocessing, "patches", ())


def _check_layers(model: VisionModel, output: Output, layers: Layers) -> None:
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


def _recipe(model: VisionModel, output: Output, layers: Layers) -> _Recipe:
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


def _projected(model: VisionModel, layers: Layers) -> _Recipe:
    whole = model.whole
    if whole is None and model.kind in DUALS:
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


def _embedded(model: VisionModel) -> _Recipe:
    """Return what gives a picture's vector in the space that it shares with texts."""
    class_name = DUALS[model.kind]
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
    model: VisionModel, recipe: _Recipe, own: Preprocessing, output: Output, layers: Layers
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
