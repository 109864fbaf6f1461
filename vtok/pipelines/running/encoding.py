"""What both encoding commands share: where the model runs, how it is run over prepared images.

In: a `ModelConfig`, prepared images. Out: a `Placement`, and outcomes that the model can take.
Knows nothing of indices or features.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from vtok.engine.buffers import Buffers
from vtok.engine.compiled import require_compiler
from vtok.engine.device import Purpose, resolve_devices, resolve_dtype
from vtok.engine.forward import FeaturesForward, Forward
from vtok.engine.lanes import default_num_lanes
from vtok.engine.packed import features_forward
from vtok.engine.preparation import Outcome
from vtok.engine.runner import EncodedSample, Runner
from vtok.engine.sizing import find_batch_pixels
from vtok.engine.times import StageTimes
from vtok.errors import DegenerateSizeError, UsageError
from vtok.models.base import Encoder
from vtok.pipelines.config.commands import EncodeContinuousConfig, EncodeVqConfig
from vtok.pipelines.config.cut import ModelNeeds
from vtok.pipelines.config.parts import ModelConfig, RunConfig
from vtok.pipelines.running.model import recorded_option
from vtok.pipelines.running.recipe import Recipe
from vtok.records import Failure, Size
from vtok.resolution import Scheme
from vtok.shards.samples import Sample

ConfigT = TypeVar("ConfigT", EncodeVqConfig, EncodeContinuousConfig)

LIBRARIES = ("pillow", "numpy", "torch")

USUAL = Buffers()
_WINDOW = "window_bytes"
_BYTES_PER_PIXEL = 3
_TYPICAL = Size(height=384, width=512)
_SEVERAL = (
    _TYPICAL,
    Size(height=512, width=384),
    Size(height=100, width=900),
    Size(height=64, width=64),
    Size(height=2000, width=1500),
)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a model runs.

    Attributes:
        device: A `torch.device`; the first where there are several.
        dtype: What it computes in, a `torch.dtype`.
        batch_size: Most views at once; None for as many as suit their size.
        batch_pixels: Pixels at once where no `batch_size` was given, once it is `sized`.
        window_bytes: Of views that may wait for others of their shape.
        is_compiled: Whether the model is compiled, for views of one size.
        is_half: Whether features leave the engine as float16, as they are then stored.
    """

    device: Any
    dtype: Any
    batch_size: int | None
    batch_pixels: int | None = None
    window_bytes: int = USUAL.window
    is_compiled: bool = False
    is_half: bool = False

    @classmethod
    def of(
        cls, config: ModelConfig, purpose: Purpose, *, takes_several: bool = False
    ) -> "Placement":
        """Return the placement that was asked for.

        Args:
            config: Names the device.
            purpose: What is made of the outputs.
            takes_several: Whether several devices may be named; this is then the first one's.

        Raises:
            DeviceError: this machine does not have the device, or nothing to compile with.
            UnknownNameError: there is no such device or dtype.
            UsageError: there are several, and one is taken.
        """
        device, *others = resolve_devices(config.device)
        if others and not takes_several:
            raise UsageError(f"--device {config.device}: only the encoders take several devices")
        dtype = resolve_dtype(config.compute_dtype, device=device, purpose=purpose)
        if config.compile:
            require_compiler(device)
        return cls(device, dtype, config.batch_size, is_compiled=config.compile)

    def sized(
        self, open_forward: Callable[[], Forward], scheme: Scheme, config: RunConfig
    ) -> "Placement":
        """Return the placement with a size of batches: given, of the run's own plan, or found.

        What was found once stays with the run, on whatever machine it goes on, and with whatever
        memory.

        Args:
            open_forward: Gives the model, where it must be run to find out.
            scheme: Cuts the images.
            config: Names the output, whose plan may know.

        Raises:
            UsageError: a model is to be compiled for views of many sizes.
        """
        if self.is_compiled:
            _require_one_size(scheme)
        buffers = Buffers.within(config.memory)
        placed = replace(self, window_bytes=buffers.window)
        if not config.overwrite and recorded_option(config.output, "device") is not None:
            window = recorded_option(config.output, _WINDOW) or USUAL.window
            placed = replace(self, window_bytes=int(window))
        if self.batch_size is not None:
            return placed
        found = None if config.overwrite else recorded_option(config.output, "batch_pixels")
        if isinstance(found, int):
            return replace(placed, batch_pixels=found)
        placed = placed.measured(open_forward(), scheme)
        if config.memory is not None and placed.batch_pixels is not None:
            most = buffers.prepared // 2 // _BYTES_PER_PIXEL  # while one is computed one is formed
            placed = replace(placed, batch_pixels=max(1, min(placed.batch_pixels, most)))
        return placed

    def measured(self, forward: Forward, scheme: Scheme) -> "Placement":
        """Return the placement with batches of the size that suits the model and the device.

        Raises:
            UsageError: a model is to be compiled for views of many sizes.
        """
        if self.is_compiled:
            _require_one_size(scheme)
        return replace(self, batch_pixels=find_batch_pixels(forward, typical_view(scheme)))

    def to_json(self) -> dict[str, Any]:
        """Return what of it decides the last bit of a result."""
        return {
            "device": self.device.type,
            "compute_dtype": str(self.dtype).removeprefix("torch."),
            "batch_size": self.batch_size,
            "batch_pixels": self.batch_pixels,
            **({_WINDOW: self.window_bytes} if self.window_bytes != USUAL.window else {}),
            **({"compiled": True} if self.is_compiled else {}),
        }

    def features(self, encoder: Encoder) -> FeaturesForward:
        """Return what runs an encoder; one that is compiled takes batches, for these keep size."""
        forward = features_forward(
            encoder, device=self.device, dtype=self.dtype, may_pack=not self.is_compiled
        )
        forward.is_half = self.is_half
        return forward

    def runner(self, forward: Forward, times: StageTimes) -> Runner:
        """Return what runs a model that was placed so, on every core or device that it has."""
        return Runner(
            forward,
            batch_size=self.batch_size,
            batch_pixels=self.batch_pixels,
            num_lanes=default_num_lanes(self.device),
            window_bytes=self.window_bytes,
            is_compiled=self.is_compiled,
            times=times,
        )


class EncodingMaker(ABC):
    """Runs a model over prepared images; what becomes of its arrays is the command's."""

    def __init__(
        self, forward: Forward, needs: ModelNeeds, placement: Placement, times: StageTimes
    ) -> None:
        self._needs = needs
        self._runner = placement.runner(forward, times)

    def samples(self, outcomes: Iterable[Outcome | None]) -> Iterator[Sample | Failure]:
        """Yield one sample or failure for every outcome, in order; None ends a shard."""
        for each in self._runner.encode(fitting(outcomes, self._needs)):
            yield each if isinstance(each, Failure) else self._sample(each)

    def close(self) -> None:
        """End the threads that run the model."""
        self._runner.close()

    @abstractmethod
    def _sample(self, encoded: EncodedSample) -> Sample:
        """Return what is stored of an image."""


def typical_view(scheme: Scheme) -> Size:
    """Return the size of a view of a usual photograph."""
    return scheme.plan(_TYPICAL).views[0].size


def _require_one_size(scheme: Scheme) -> None:
    """Refuse to compile a model for every size that images may have.

    Raises:
        UsageError: the scheme's views differ in size.
    """
    sizes = {view.size: None for image in _SEVERAL for view in scheme.plan(image).views}
    if len(sizes) > 1:
        some, other, *_ = sizes
        raise UsageError(
            f"--compile is for views of one size, and these would be {some}, {other} and so on: "
            "name a --scheme that makes squares, such as squash, and a --tile-size"
        )


def each_alone(
    config: ConfigT, build: Callable[[ConfigT], Recipe]
) -> tuple[tuple[str, Callable[[], Recipe]], ...]:
    """Return how a command is set up for each of several devices; nothing for a single one.

    Args:
        config: The command's, with all devices.
        build: Sets the command up; importable by its name, for it travels to other processes.
    """
    devices = resolve_devices(config.model.device)
    if len(devices) == 1:
        return ()
    run = replace(config.run, overwrite=False)  # it is being overwritten once, by the run itself
    return tuple(
        (
            str(device),
            partial(
                build,
                replace(config, run=run, model=replace(config.model, device=str(device))),
            ),
        )
        for device in devices
    )


def fitting(outcomes: Iterable[Outcome | None], needs: ModelNeeds) -> Iterator[Outcome | None]:
    """Yield the outcomes, those as failures whose views the model cannot take."""
    for outcome in outcomes:
        if outcome is None or isinstance(outcome, Failure):
            yield outcome
            continue
        problem = needs.problem(outcome.facts.plan)
        if problem is None:
            yield outcome
        else:
            yield outcome.task.failure("plan", DegenerateSizeError.reason, problem)
