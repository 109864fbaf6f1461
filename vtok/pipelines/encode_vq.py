"""`vtok encode-vq`: one array of codebook indices for every view of every image.

In: an `EncodeVqConfig`. Out: shards of indices, in the smallest dtype that holds the codebook.
"""

from collections.abc import Iterable, Iterator

from vtok.engine.preparation import Outcome, Preparation
from vtok.engine.runner import EncodedSample, encode_indices
from vtok.models import registry
from vtok.models.base import Tokenizer
from vtok.pipelines.config import EncodeVqConfig
from vtok.pipelines.cut import ModelNeeds, default_scheme, scheme_for, scheme_record
from vtok.pipelines.describe import carried, describe
from vtok.pipelines.encoding import LIBRARIES, Placement, fitting, grid_of
from vtok.pipelines.models import RunModel
from vtok.pipelines.outcome import RunReport
from vtok.pipelines.progress import Progress
from vtok.pipelines.run import Recipe, run_shards
from vtok.records import Failure
from vtok.shards.samples import Sample


def encode_vq(config: EncodeVqConfig, progress: Progress | None = None) -> RunReport:
    """Encode images into indices of a tokenizer's codebook.

    Raises:
        VtokError: as `vtok.pipelines.run.run_shards` does; UnknownNameError, WeightsError and
            DeviceError for the model.
    """
    placement = Placement.of(config.model, "indices")
    model = RunModel(config.model.name, registry.load_tokenizer, config.run.output)
    scheme = scheme_for(config.cut, default_scheme(model.needs), model.needs)
    recipe = Recipe(
        command="encode-vq",
        kind="indices",
        configuration={"scheme": scheme_record(scheme), **placement.to_json()},
        preparation=Preparation(scheme=scheme, with_sidecars=True),
        open_maker=lambda: IndexMaker(model.load(), model.needs, placement),
        libraries=LIBRARIES,
        model=model.record,
        layout=config.layout,
    )
    return run_shards(recipe, config.run, progress)


class IndexMaker:
    """Runs the tokenizer over prepared images."""

    def __init__(self, tokenizer: Tokenizer, needs: ModelNeeds, placement: Placement) -> None:
        self._tokenizer = tokenizer
        self._needs = needs
        self._placement = placement

    def samples(self, outcomes: Iterable[Outcome]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for every outcome of one shard, in order."""
        encoded = encode_indices(
            fitting(outcomes, self._needs),
            self._tokenizer,
            device=self._placement.device,
            batch_size=self._placement.batch_size,
            dtype=self._placement.dtype,
        )
        for each in encoded:
            yield each if isinstance(each, Failure) else _sample(each)


def _sample(encoded: EncodedSample) -> Sample:
    grids = {view: grid_of(array) for view, array in encoded.arrays.items()}
    return Sample(
        key=encoded.task.key,
        meta=describe(encoded.task, encoded.facts, token_grids=grids),
        indices=encoded.arrays,
        sidecars=carried(encoded.facts),
    )
