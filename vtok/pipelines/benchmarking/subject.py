"""What `vtok bench` measures: a model, or a device that only waits, and what runs around it.

In: `BenchConfig`. Out: a `Subject`, whose recipe the encoders could run as it is. Knows nothing of
rounds, medians or reports.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

from vtok.engine.coding import TokenizeForward
from vtok.engine.fake_device import MAX_VIEWS, FakeForward
from vtok.engine.forward import Forward
from vtok.engine.preparation import Outcome, Preparation, Prepared
from vtok.engine.runner import EncodedSample, Runner
from vtok.engine.times import StageTimes
from vtok.errors import UsageError
from vtok.models import registry
from vtok.pipelines.benchmarking.report import Tokens
from vtok.pipelines.config.cut import default_scheme, scheme_for, scheme_record
from vtok.pipelines.config.parts import CutConfig, Decoding, ModelConfig, Resizing
from vtok.pipelines.encode_continuous import FeatureMaker
from vtok.pipelines.encode_vq import IndexMaker
from vtok.pipelines.outputs.metadata import describe
from vtok.pipelines.running.encoding import LIBRARIES, Placement, typical_view
from vtok.pipelines.running.model import needs_of, record_of
from vtok.pipelines.running.recipe import Recipe
from vtok.pipelines.running.shard_worker import MakesSamples
from vtok.records import Failure, Size
from vtok.resolution import Scheme, SchemeOptions
from vtok.shards.header import ModelRecord
from vtok.shards.samples import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchConfig:
    """`vtok bench`.

    Attributes:
        input: The images.
        tokens: What is made of them.
        model: The model.
        cut: How images are cut; one square for a fake device if nothing is said.
        fake_device_ms: Milliseconds a view of a device that only waits; None for the real model.
        limit: Only the first so many images.
        rounds: How often everything is measured.
        workers: As in `RunConfig`.
        decoding: Likewise.
        resizing: Likewise.
        search: Compare the search for the nearest code with `torch.cdist` too.
        batch_sizes: Measure the model at several sizes of batches too.
    """

    input: str
    tokens: Tokens = "continuous"
    model: ModelConfig = field(default_factory=ModelConfig)
    cut: CutConfig = field(default_factory=CutConfig)
    fake_device_ms: float | None = None
    limit: int = 200
    rounds: int = 3
    workers: int | None = None
    decoding: Decoding = "exact"
    resizing: Resizing = "exact"
    search: bool = False
    batch_sizes: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if self.limit < 1 or self.rounds < 1:
            raise UsageError("--limit and --rounds must be at least 1")
        if self.fake_device_ms is not None and self.fake_device_ms < 0:
            raise UsageError(f"--fake-device must be at least 0 ms, not {self.fake_device_ms}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is measured: a recipe whose model is loaded, and how its device's time is known.

    Attributes:
        forward: The model as it is, not compiled; None for a fake device.
        view: Size of a typical view.
        batch_size: Views of that size a batch.
    """

    recipe: Recipe
    preparation: Preparation
    device: str
    compute_dtype: str
    is_on_host: bool
    busy_s: Callable[[StageTimes], float]
    forward: Forward | None = None
    view: Size | None = None
    batch_size: int | None = None

    def encode(self, prepared: Sequence[Prepared]) -> tuple[float, list[Sample]]:
        """Return the model's own seconds for these images, one batch at a time, and samples."""
        times = StageTimes()
        before = self.busy_s(times)
        with closing(self.recipe.open_maker(times)) as maker:
            made = list(maker.samples(prepared))
        seconds = times.model_cpu_s if self.is_on_host else self.busy_s(times) - before
        return seconds, [each for each in made if isinstance(each, Sample)]


def subject_of(config: BenchConfig) -> Subject:
    """Return what is to be measured, its model loaded.

    Raises:
        VtokError: as the encoders do.
    """
    return _fake(config) if config.fake_device_ms is not None else _real(config)


def _real(config: BenchConfig) -> Subject:
    is_vq = config.tokens == "vq"
    placement = Placement.of(config.model, "indices" if is_vq else "features")
    maker: Callable[[StageTimes], MakesSamples]
    if is_vq:
        tokenizer = registry.load_tokenizer(config.model.name)
        record = record_of(tokenizer)
    else:
        encoder = registry.load_encoder(config.model.name)
        record = record_of(encoder)
    needs = needs_of(record)
    scheme = scheme_for(config.cut, default_scheme(needs), needs)
    forward: Forward
    if is_vq:
        forward = TokenizeForward(tokenizer, device=placement.device, dtype=placement.dtype)
        placed = placement.measured(forward, scheme)
        maker = partial(IndexMaker, tokenizer, needs, placed)
    else:
        forward = placement.features(encoder)
        placed = placement.measured(forward, scheme)
        maker = partial(FeatureMaker, encoder, needs, replace(placed, is_half=True))
    on_host = placement.device.type == "cpu"
    view = typical_view(scheme)
    preparation = _preparation(config, scheme)
    return Subject(
        recipe=_recipe(is_vq, preparation, record, maker),
        preparation=preparation,
        device=str(placement.device),
        compute_dtype=str(placement.dtype).removeprefix("torch."),
        is_on_host=on_host,
        busy_s=lambda times: times.model_busy_s,
        forward=forward,
        view=view,
        batch_size=placed.batch_size or (placed.batch_pixels or 0) // view.num_pixels,
    )


def _fake(config: BenchConfig) -> Subject:
    assert config.fake_device_ms is not None
    is_vq = config.tokens == "vq"
    forward = FakeForward(config.fake_device_ms / 1000, is_vq=is_vq)
    cut = config.cut
    if cut.scheme is None:
        side = 256 if is_vq else 336
        cut = CutConfig(scheme="squash", options=SchemeOptions(tile_size_px=side, patch_px=4))
    scheme = scheme_for(cut, "squash")
    record = ModelRecord(
        name="fake-device",
        family="fake",
        weights_sha256="0" * 64,
        codebook_size=16384 if is_vq else None,
    )
    preparation = _preparation(config, scheme)
    return Subject(
        recipe=_recipe(is_vq, preparation, record, lambda times: _FakeMaker(forward, is_vq, times)),
        preparation=preparation,
        device=f"fake, {config.fake_device_ms:g} ms a view",
        compute_dtype="none",
        is_on_host=False,
        busy_s=lambda _: forward.busy_s,
    )


def _preparation(config: BenchConfig, scheme: Scheme) -> Preparation:
    return Preparation(scheme=scheme, decoding=config.decoding, resizing=config.resizing)


def _recipe(
    is_vq: bool,
    preparation: Preparation,
    record: ModelRecord,
    maker: Callable[[StageTimes], MakesSamples],
) -> Recipe:
    return Recipe(
        command="encode-vq" if is_vq else "encode-continuous",
        kind="indices" if is_vq else "features",
        configuration={"scheme": scheme_record(preparation.scheme)},
        preparation=preparation,
        open_maker=maker,
        libraries=LIBRARIES,
        model=record,
        feature_dtype=None if is_vq else "float16",
    )


class _FakeMaker:
    """Samples of whatever the fake device returns."""

    def __init__(self, forward: FakeForward, is_vq: bool, times: StageTimes) -> None:
        self._is_vq = is_vq
        # Two: the next batch is in the device's queue while one is on it.
        self._runner = Runner(forward, batch_size=MAX_VIEWS // 4, num_lanes=2, times=times)

    def samples(self, outcomes: Iterable[Outcome | None]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for every outcome; None ends a shard."""
        for each in self._runner.encode(outcomes):
            yield self._sample(each) if isinstance(each, EncodedSample) else each

    def close(self) -> None:
        """End the thread of the device."""
        self._runner.close()

    def _sample(self, encoded: EncodedSample) -> Sample:
        meta = describe(encoded.task, encoded.facts)
        if self._is_vq:
            return Sample(key=encoded.task.key, meta=meta, indices=encoded.arrays)
        return Sample(key=encoded.task.key, meta=meta, features=encoded.arrays)
