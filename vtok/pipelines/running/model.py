"""The model of a run: known before it is loaded, where an earlier call of the run recorded it.

In: a name, and the output folder that may know the model already. Out: a `ModelRecord`, and the
model itself when there is work for it. Knows no architecture.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Generic, TypeVar

from vtok.errors import ManifestError, UnknownNameError, UsageError, VtokError, WeightsError
from vtok.io.places import Place
from vtok.models import registry
from vtok.models.base import Encoder, Tokenizer, TokenizerSpec
from vtok.models.finding import find_folder
from vtok.pipelines.config.cut import ModelNeeds
from vtok.records import Size
from vtok.shards.header import ModelRecord
from vtok.shards.plan import read_plan

ModelT = TypeVar("ModelT", Tokenizer, Encoder)


class RunModel(Generic[ModelT]):
    """A model that is loaded once, and only if it is needed.

    Args:
        name: A shipped model's name, a folder, or a hub id.
        load: Name to model.
        digest: Name to the digest of its weights; None where only loading them tells it.
        output: A folder whose plan may have the record of the very same weights.

    Raises:
        UnknownNameError: there is no such model.
        WeightsError: its files are missing or damaged.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[str], ModelT],
        digest: Callable[[str], str | None],
        output: Place,
    ) -> None:
        self._name = name
        self._digest = digest
        self._load: Callable[[str], ModelT] = load
        self._model: ModelT | None = None
        self.record = self._remembered(output) or record_of(self.load())

    @property
    def needs(self) -> ModelNeeds:
        """What the model asks of its views."""
        return needs_of(self.record)

    def load(self) -> ModelT:
        """Return the model.

        Raises:
            WeightsError: it is not the one that the plan speaks of any more.
        """
        if self._model is None:
            self._model = self._load(self._name)
            record = getattr(self, "record", None)
            if record is not None and record_of(self._model) != record:
                raise WeightsError(
                    f"{self._name}: its config.json has changed since the run began: restore it, "
                    "or start over with --overwrite"
                )
        return self._model

    def _remembered(self, output: Place) -> ModelRecord | None:
        """Return the record in the output's plan if it is of this name and these weights."""
        try:
            plan = read_plan(output)
        except ManifestError:
            return None  # said when the run is begun
        if plan is None or plan.model is None or plan.model.name != self._name:
            return None
        return plan.model if plan.model.weights_sha256 == self._digest(self._name) else None


def tokenizer_digest(name: str) -> str:
    """Return the digest of a tokenizer's weights; errors as `find_folder`."""
    return find_folder(name).weights_sha256


def recorded_option(output: Place, name: str) -> Any:
    """Return an option as the plan of an output folder has it; None if it has none."""
    try:
        plan = read_plan(output)
    except ManifestError:
        return None  # said when the run is begun
    return None if plan is None else plan.configuration.get(name)


def record_of(model: Tokenizer | Encoder) -> ModelRecord:
    """Return what plan and shards keep of a model."""
    spec = model.spec
    facts = json.loads(json.dumps(asdict(spec)))  # lists for tuples, as it is read back
    for name in ("name", "family", "codebook_size", "codes"):
        facts.pop(name, None)
    if not facts.get("diffusion_sweeps"):  # as plans had it before there were any
        facts.pop("diffusion_sweeps", None)
    return ModelRecord(
        name=spec.name,
        family=spec.family,
        weights_sha256=model.weights_sha256,
        codebook_size=spec.codebook_size if isinstance(spec, TokenizerSpec) else None,
        codes=spec.codes if isinstance(spec, TokenizerSpec) else None,
        spec=facts,
    )


def needs_of(record: ModelRecord) -> ModelNeeds:
    """Return what a model asks of its views."""
    spec: dict[str, Any] = record.spec
    fixed = spec["fixed_size"]
    return ModelNeeds(
        name=record.name,
        patch_px=spec["patch_px"] if "patch_px" in spec else spec["downsample"],
        alignment_px=spec["alignment_px"],
        fixed_size=None if fixed is None else Size(**fixed),
        scheme=spec.get("scheme"),
        scheme_options=spec.get("scheme_options", {}),
    )


def encoder_needs(name: str) -> ModelNeeds:
    """Return what an encoder asks of its views; errors as `registry.encoder_spec`."""
    spec = registry.encoder_spec(name)
    return ModelNeeds(
        name=name,
        patch_px=spec.patch_px,
        alignment_px=spec.alignment_px,
        fixed_size=spec.fixed_size,
        scheme=spec.scheme,
        scheme_options=spec.scheme_options,
    )


def load_recorded_tokenizer(
    record: ModelRecord,
    name: str | None,
    family: str | None = None,
    *,
    allow_torchscript: bool = False,
) -> Tokenizer:
    """Return the tokenizer that shards were made with.

    Args:
        record: What the shards say of it.
        name: Where it is, if not under the name that they give it.
        family: What it is; None for what the shards say.
        allow_torchscript: Whether a program may be run.

    Raises:
        UnknownNameError: there is no model of that name here; the message says what to do.
        UsageError: it is a program, which was not allowed.
        WeightsError: there is one, with other weights.
    """
    asked = record.name if name is None else name
    try:
        folder = find_folder(asked)
        found = {folder.weights_sha256, folder.source.get("weights_sha256")}
        if record.weights_sha256 in found:
            return registry.load_tokenizer(
                asked, family or record.family, allow_torchscript=allow_torchscript
            )
    except UnknownNameError as error:
        if name is not None:
            raise
        raise UnknownNameError(
            f"the shards were made with model {asked!r}, which is not here: "
            "say where it is with --model NAME, a folder or a hub id"
        ) from error
    except UsageError:
        raise
    except VtokError as error:
        raise WeightsError(f"{error} (--model says where else the model is)") from error
    raise WeightsError(
        f"the shards were made with weights {record.weights_sha256[:12]} of {record.name!r}, "
        f"and {asked!r} has {folder.weights_sha256[:12]}: name the same weights with --model"
    )
