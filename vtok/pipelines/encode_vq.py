"""`vtok encode-vq`: one array of codebook indices for every view of every image.

In: an `EncodeVqConfig`. Out: shards of indices, in the smallest dtype that holds the codebook.
"""

from functools import partial

from vtok.engine.coding import TokenizeForward
from vtok.engine.pieces import Pieces
from vtok.engine.runner import EncodedSample
from vtok.engine.times import StageTimes
from vtok.models import registry
from vtok.models.base import Tokenizer
from vtok.pipelines.config.commands import EncodeVqConfig
from vtok.pipelines.config.cut import (
    ModelNeeds,
    default_scheme,
    preparation_for,
    require_request,
    scheme_for,
    scheme_record,
)
from vtok.pipelines.outputs.metadata import carried, describe
from vtok.pipelines.outputs.outcome import RunReport
from vtok.pipelines.outputs.progress import Progress
from vtok.pipelines.running.encoding import LIBRARIES, EncodingMaker, Placement, each_alone
from vtok.pipelines.running.head_start import HeadStart
from vtok.pipelines.running.model import RunModel, tokenizer_digest
from vtok.pipelines.running.recipe import Recipe
from vtok.pipelines.running.run import run_shards
from vtok.shards.samples import Sample


def encode_vq(
    config: EncodeVqConfig,
    progress: Progress | None = None,
    head_start: HeadStart | None = None,
) -> RunReport:
    """Encode images into indices of a tokenizer's codebook.

    Args:
        config: What was asked for.
        progress: Who listens.
        head_start: What has begun already; None for nothing.

    Raises:
        VtokError: as `vtok.pipelines.running.run.run_shards` does; UnknownNameError, WeightsError
            and DeviceError for the model.
    """
    with head_start or HeadStart.of_model(config) as begun:
        begun.listing.check()  # before the model is loaded
        return run_shards(encode_vq_recipe(config), config.run, progress, head_start=begun)


def encode_vq_recipe(config: EncodeVqConfig) -> Recipe:
    """Return what the command adds to a run; the model is loaded where its record is not known."""
    placement = Placement.of(config.model, "indices", takes_several=True)
    load = partial(
        registry.load_tokenizer,
        family=config.family,
        allow_torchscript=config.allow_torchscript,
    )
    model = RunModel(config.model.name, load, tokenizer_digest, config.run.output)
    require_request(config.cut, model.needs)
    scheme = scheme_for(config.cut, default_scheme(model.needs), model.needs)
    size = config.piece_size

    def open_forward() -> TokenizeForward:
        where = {"device": placement.device, "dtype": placement.dtype}
        return TokenizeForward(model.load(), **where, piece_size=size)

    if size:
        Pieces.of(model.load(), size)  # refuses now what cannot be
    placement = placement.sized(open_forward, scheme, config.run)
    return Recipe(
        command="encode-vq",
        kind="indices",
        configuration={
            "scheme": scheme_record(scheme),
            **placement.to_json(),
            **({"family": config.family} if config.family else {}),
            **({} if size is None else {"piece_size": size}),
        },
        preparation=preparation_for(scheme, config.run),
        open_maker=lambda times: IndexMaker(model.load(), model.needs, placement, times, size),
        libraries=LIBRARIES,
        model=model.record,
        layout=config.layout,
        alone=each_alone(config, encode_vq_recipe),
    )


class IndexMaker(EncodingMaker):
    """Runs the tokenizer over prepared images."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        needs: ModelNeeds,
        placement: Placement,
        times: StageTimes,
        piece_size: int | None = None,
    ) -> None:
        self._spec = tokenizer.spec
        self._pieces = Pieces.of(tokenizer, piece_size)
        where = {"device": placement.device, "dtype": placement.dtype}
        forward = TokenizeForward(tokenizer, **where, piece_size=piece_size)
        super().__init__(forward, needs, placement, times)

    def _sample(self, encoded: EncodedSample) -> Sample:
        spec, views = self._spec, encoded.facts.plan.views
        grids = {
            view.name: spec.latent_grid(view.size) if spec.codes.is_spatial else None
            for view in views
        }
        counts = {name: array.size for name, array in encoded.arrays.items()}
        meta = describe(encoded.task, encoded.facts, token_grids=grids, counts=counts)
        pieces = self._pieces.record([spec.latent_grid(view.size) for view in views])
        if pieces is not None:
            meta["pieces"] = pieces
        return Sample(
            key=encoded.task.key,
            meta=meta,
            indices=encoded.arrays,
            sidecars=carried(encoded.facts),
        )
