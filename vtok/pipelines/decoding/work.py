"""What decoding has to do, whatever its pictures are written to.

In: a configuration. Out: what is in the shards or the array, the model that decodes it, loaded when
it is needed, and the plan of the run. Knows nothing of files or tars that are written.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from vtok.engine.coding import DecodeForward
from vtok.engine.pieces import Pieces
from vtok.engine.runner import Runner
from vtok.engine.times import StageTimes
from vtok.errors import UsageError
from vtok.io.places import place_of
from vtok.models import registry
from vtok.models.base import Tokenizer
from vtok.pipelines.config.commands import DecodeVqConfig
from vtok.pipelines.config.parts import ModelConfig
from vtok.pipelines.decoding.index_file import is_index_file, survey_index_file
from vtok.pipelines.decoding.survey import Survey, survey
from vtok.pipelines.outputs.pictures import ImageCodec
from vtok.pipelines.outputs.progress import Progress
from vtok.pipelines.running.encoding import LIBRARIES, Placement
from vtok.pipelines.running.model import load_recorded_tokenizer, record_of
from vtok.pipelines.running.run import versions
from vtok.shards.plan import PLAN_NAME, RunPlan
from vtok.shards.shardset import open_shards


@dataclass(frozen=True, slots=True)
class DecodeWork:
    """One call's work.

    Attributes:
        config: What was asked for.
        found: What is to be decoded.
        load: Gives the model, loaded once.
        placement: Where it runs.
        codec: How pictures become files.
    """

    config: DecodeVqConfig
    found: Survey
    load: Callable[[], Tokenizer]
    placement: Placement
    codec: ImageCodec

    @classmethod
    def of(cls, config: DecodeVqConfig) -> "DecodeWork":
        """Read what is to be decoded, once; nothing is written.

        Raises:
            VtokError: as `vtok.pipelines.decode_vq.decode_vq` says.
        """
        shown = ModelConfig(
            device=config.device, compute_dtype=config.compute_dtype, batch_size=config.batch_size
        )
        placement = Placement.of(shown, "pixels")
        codec = ImageCodec.of(config.image)
        load: Callable[[], Tokenizer]
        if is_index_file(config.shards):
            tokenizer = _named_tokenizer(config)
            Pieces.of(tokenizer, config.piece_size)  # refuses now what cannot be
            found = survey_index_file(
                place_of(config.shards),
                tokenizer.spec,
                record_of(tokenizer),
                limit=config.limit,
                ending=codec.format,
            )
            return cls(config, found, lambda: tokenizer, placement, codec)
        found = survey(open_shards(config.shards), config.limit, codec.format)
        load = partial(
            load_recorded_tokenizer,
            found.model,
            config.model,
            config.family,
            allow_torchscript=config.allow_torchscript,
        )
        return cls(config, found, cache(load), placement, codec)

    @property
    def piece_size(self) -> int | None:
        """Side of pieces: what was asked for, else that of the samples' encoding where it shows."""
        asked_for = self.config.piece_size
        return self.found.piece_size if asked_for is None else asked_for

    def require_model(self, folder: Path) -> None:
        """Load the model before a run begins; what is refused then leaves its folder as it was.

        A run that goes on loads it only if something is missing.

        Raises:
            VtokError: as `vtok.pipelines.decode_vq.decode_vq` says of the model.
        """
        if (folder / PLAN_NAME).exists() and not self.config.overwrite:
            return
        Pieces.of(self.load(), self.piece_size)

    def plan(self, *, shard_size: int, **more: Any) -> RunPlan:
        """Return the plan of the run.

        Args:
            shard_size: Samples that appear at once.
            more: Options beside those of images and model.
        """
        return RunPlan(
            command="decode-vq",
            inputs_sha256=self.found.sha256,
            num_samples=self.found.num_samples,
            shard_size=shard_size,
            configuration={
                "image": {"format": self.codec.format, "quality": self.codec.quality},
                **self.placement.to_json(),
                **({} if self.piece_size is None else {"piece_size": self.piece_size}),
                **more,
            },
            model=self.found.model,
            versions=versions(LIBRARIES),
            about={"shards": self.config.shards},
        )

    @contextmanager
    def runner(self) -> Iterator[Runner]:
        """Load the model, and give what runs it."""
        where = {"device": self.placement.device, "dtype": self.placement.dtype}
        forward = DecodeForward(self.load(), **where, piece_size=self.piece_size)
        with closing(self.placement.runner(forward, StageTimes())) as runner:
            yield runner


@dataclass(frozen=True, slots=True)
class DecodedOutput:
    """Where decoded pictures go.

    Attributes:
        folder: It.
        work: What goes there.
        progress: Who listens.
    """

    folder: Path
    work: DecodeWork
    progress: Progress


def _named_tokenizer(config: DecodeVqConfig) -> Tokenizer:
    """Return the model that is said to have made an array.

    Raises:
        UsageError: nothing says which.
    """
    if config.model is None:
        raise UsageError(
            f"{config.shards} does not say which model made it: name it with --model NAME"
        )
    return registry.load_tokenizer(
        config.model, config.family, allow_torchscript=config.allow_torchscript
    )
