"""`vtok tile`: every view of every image as an image field, and the plan in the metadata.

In: a `TileConfig`. Out: shards of tiles. Encoding is done where decoding is, in the workers, and no
model is involved: torch is never loaded.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from vtok.engine.preparation import ImageTask, Outcome, Preparation, Prepared
from vtok.errors import SampleError
from vtok.pipelines.config.commands import TileConfig
from vtok.pipelines.config.cut import preparation_for, scheme_for, scheme_record
from vtok.pipelines.outputs.metadata import carried, describe
from vtok.pipelines.outputs.outcome import RunReport
from vtok.pipelines.outputs.pictures import ImageCodec
from vtok.pipelines.outputs.progress import Progress
from vtok.pipelines.running.head_start import HeadStart
from vtok.pipelines.running.recipe import Recipe
from vtok.pipelines.running.run import run_shards
from vtok.records import Failure
from vtok.shards.samples import ImageBytes, Sample

DEFAULT_SCHEME = "closest"


def tile(
    config: TileConfig,
    progress: Progress | None = None,
    head_start: HeadStart | None = None,
) -> RunReport:
    """Cut images into the views of a scheme, and write these as images.

    Args:
        config: What was asked for.
        progress: Who listens.
        head_start: What has begun already; None for nothing.

    Raises:
        VtokError: as `vtok.pipelines.running.run.run_shards` does.
    """
    scheme = scheme_for(config.cut, DEFAULT_SCHEME)
    codec = ImageCodec.of(config.image)
    recipe = Recipe(
        command="tile",
        kind="tiles",
        configuration={
            "scheme": scheme_record(scheme),
            "image": {"format": codec.format, "quality": codec.quality},
        },
        preparation=TilePreparation(
            preparation=preparation_for(scheme, config.run),
            codec=codec,
        ),
        open_maker=lambda _: TileMaker(codec),
        libraries=("pillow", "numpy"),
    )
    return run_shards(recipe, config.run, progress, head_start=head_start)


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePreparation:
    """Prepare an image, and encode its views in the same process.

    The views come out as (num_bytes,) uint8: encoded images, that travel as pixels do.
    """

    preparation: Preparation
    codec: ImageCodec

    def prepare(self, task: ImageTask) -> Outcome:
        """Return the encoded views of an image, or why there are none."""
        outcome = self.preparation.prepare(task)
        if isinstance(outcome, Failure):
            return outcome
        try:
            encoded = tuple(
                np.frombuffer(self.codec.encode(view), dtype=np.uint8) for view in outcome.views
            )
        except SampleError as error:
            return task.failure("write", error.reason, str(error))
        return Prepared(task=outcome.task, facts=outcome.facts, views=encoded)


class TileMaker:
    """Puts encoded views under their names."""

    def __init__(self, codec: ImageCodec) -> None:
        self._format = codec.format

    def samples(self, outcomes: Iterable[Outcome | None]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for every outcome, in order; None ends a shard."""
        for outcome in outcomes:
            if outcome is None:
                continue
            yield outcome if isinstance(outcome, Failure) else self._sample(outcome)

    def close(self) -> None:
        """Hold nothing."""

    def _sample(self, prepared: Prepared) -> Sample:
        names = (view.name for view in prepared.facts.plan.views)
        return Sample(
            key=prepared.task.key,
            meta=describe(prepared.task, prepared.facts),
            images={
                name: ImageBytes(self._format, data.tobytes())
                for name, data in zip(names, prepared.views, strict=True)
            },
            sidecars=carried(prepared.facts),
        )
