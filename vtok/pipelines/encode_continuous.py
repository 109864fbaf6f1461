"""`vtok encode-continuous`: one array of feature vectors for every view of every image.

In: an `EncodeContinuousConfig`. Out: shards of features (N, D), float16, bfloat16 or float32.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from vtok.engine.device import Purpose
from vtok.engine.runner import EncodedSample
from vtok.engine.times import StageTimes
from vtok.errors import UsageError
from vtok.models import registry
from vtok.models.adapting.projecting import ProjectorRequest, project
from vtok.models.adapting.projector_file import ProjectorKind, projector_digest
from vtok.models.adapting.sizing import resize
from vtok.models.base import Encoder
from vtok.models.vision.sequence import ModelSequence
from vtok.pipelines.config.commands import (
    EncodeContinuousConfig,
    OutputConfig,
    ProjectorConfig,
    StoredDtypeName,
)
from vtok.pipelines.config.cut import (
    ModelNeeds,
    default_scheme,
    preparation_for,
    scheme_for,
    scheme_record,
)
from vtok.pipelines.outputs.metadata import carried, describe
from vtok.pipelines.outputs.outcome import RunReport
from vtok.pipelines.outputs.progress import Progress
from vtok.pipelines.running.encoding import LIBRARIES, EncodingMaker, Placement, each_alone
from vtok.pipelines.running.head_start import HeadStart
from vtok.pipelines.running.model import RunModel
from vtok.pipelines.running.recipe import Recipe
from vtok.pipelines.running.run import run_shards
from vtok.shards.fields import FeatureDtype
from vtok.shards.samples import Sample

_STORED: dict[StoredDtypeName, FeatureDtype] = {
    "fp16": "float16",
    "bf16": "bfloat16",
    "fp32": "float32",
}


def encode_continuous(
    config: EncodeContinuousConfig,
    progress: Progress | None = None,
    head_start: HeadStart | None = None,
) -> RunReport:
    """Encode images into an encoder's feature vectors.

    Args:
        config: What was asked for.
        progress: Who listens.
        head_start: What has begun already; None for nothing.

    Raises:
        VtokError: as `vtok.pipelines.running.run.run_shards` does; UnknownNameError, WeightsError
            and DeviceError for the model.
    """
    request = _request(config.projector)
    if request is not None and request.weights is None and progress is not None:
        progress.note(
            f"the {request.kind} projector is drawn at random (--seed {request.seed}): its vectors "
            "mean nothing to a language model that was not trained with it; --projector-weights "
            "reads a trained one"
        )
    note = (lambda message: None) if progress is None else progress.note
    with head_start or HeadStart.of_model(config) as begun:
        begun.listing.check()  # before the model is loaded
        recipe = encode_continuous_recipe(config, note)
        return run_shards(recipe, config.run, progress, head_start=begun)


def encode_continuous_recipe(
    config: EncodeContinuousConfig, note: Callable[[str], None] = lambda message: None
) -> Recipe:
    """Return what the command adds to a run; the model is loaded where its record is not known.

    Args:
        config: What was asked for.
        note: Hears, where the model is loaded, what of its preprocessing is a guess.
    """
    # Who stores every bit of a float32 wants every bit computed.
    purpose: Purpose = "exact" if config.dtype == "fp32" else "features"
    placement = Placement.of(config.model, purpose, takes_several=True)
    request = _request(config.projector)
    sequence = _sequence(config)
    # A packed sequence takes in vectors of the language model first.
    placement = replace(placement, is_half=config.dtype == "fp16" and sequence is None)

    def load(name: str) -> Encoder:
        wanted = config.wanted
        encoder = registry.load_encoder(name, output=wanted.output, layers=wanted.layers)
        if encoder.note:
            note(f"{name}: {encoder.note}")
        if wanted.size is not None:
            encoder = resize(encoder, wanted.size, wanted.interpolation)
        return encoder if request is None else project(encoder, request)

    model = RunModel(config.model.name, load, registry.encoder_digest, config.run.output)
    scheme = scheme_for(config.cut, default_scheme(model.needs), model.needs)
    placement = placement.sized(
        lambda: placement.features(model.load()),
        scheme,
        config.run,
    )
    return Recipe(
        command="encode-continuous",
        kind="features",
        configuration={
            "scheme": scheme_record(scheme),
            "output": config.wanted.output,
            "layers": list(config.wanted.layers),
            **({"packed": True} if config.wanted.packed else {}),
            **_size_record(config.wanted),
            **placement.to_json(),
            **_projector_record(request),
        },
        preparation=preparation_for(scheme, config.run),
        open_maker=lambda times: FeatureMaker(
            model.load(), model.needs, placement, times, sequence
        ),
        libraries=LIBRARIES,
        model=model.record,
        layout=config.layout,
        feature_dtype=_STORED[config.dtype],
        alone=each_alone(config, encode_continuous_recipe),
    )


def _sequence(config: EncodeContinuousConfig) -> ModelSequence | None:
    """Return how the model packs an image, where that is wanted.

    Raises:
        UsageError: it does not, or not what a projector of the user's own gives.
    """
    if not config.wanted.packed:
        return None
    if config.projector is not None:
        raise UsageError("--packed is of the model's own projector: leave out --projector")
    return registry.load_sequence(config.model.name)


def _size_record(wanted: OutputConfig) -> dict[str, Any]:
    """Return what of a size that was asked for changes a byte."""
    if wanted.size is None:
        return {}
    return {"size": wanted.size, "interpolation": wanted.interpolation}


def _request(config: ProjectorConfig | None) -> ProjectorRequest | None:
    """Return the projector that was asked for."""
    if config is None:
        return None
    return ProjectorRequest(
        kind=cast(ProjectorKind, config.kind),
        number=config.number,
        weights=config.weights,
        dim=config.dim,
        seed=config.seed,
    )


def _projector_record(request: ProjectorRequest | None) -> dict[str, Any]:
    """Return what of a projector changes a byte, known before any model is loaded."""
    if request is None:
        return {}
    digest = None if request.weights is None else projector_digest(request.weights)
    return {
        "projector": {
            "kind": request.kind,
            "number": request.number,
            "weights_sha256": digest,
            "dim": request.dim,
            "seed": request.seed if digest is None else None,
        }
    }


PACKED = "sequence"
"""The name, in place of a view's, of an image's vectors in one sequence."""


class FeatureMaker(EncodingMaker):
    """Runs the encoder over prepared images."""

    def __init__(
        self,
        encoder: Encoder,
        needs: ModelNeeds,
        placement: Placement,
        times: StageTimes,
        sequence: ModelSequence | None = None,
    ) -> None:
        self._encoder = encoder
        self._sequence = sequence
        super().__init__(placement.features(encoder), needs, placement, times)

    def _sample(self, encoded: EncodedSample) -> Sample:
        if self._sequence is not None:
            packed = self._sequence.pack(encoded.facts.plan, encoded.arrays)
            return Sample(
                key=encoded.task.key,
                meta=describe(encoded.task, encoded.facts),
                features={PACKED: packed},
                sidecars=carried(encoded.facts),
            )
        views = encoded.facts.plan.views
        grids = {view.name: self._encoder.spec.token_grid(view.size) for view in views}
        counts = {name: len(array) for name, array in encoded.arrays.items()}
        return Sample(
            key=encoded.task.key,
            meta={
                **describe(encoded.task, encoded.facts, token_grids=grids, counts=counts),
                "token_order": "row-major",
            },
            features=encoded.arrays,
            sidecars=carried(encoded.facts),
        )
