"""What both encoding commands share: where the model runs, and what becomes of unfit views.

In: a `ModelConfig`, prepared images. Out: a `Placement`, and outcomes that the model can take.
Knows nothing of indices or features.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from vtok.engine.device import Purpose, resolve_devices, resolve_dtype
from vtok.engine.forward import Forward
from vtok.engine.lanes import default_num_lanes
from vtok.engine.preparation import Outcome
from vtok.engine.runner import Runner
from vtok.engine.sizing import find_batch_pixels
from vtok.engine.times import StageTimes
from vtok.errors import DegenerateSizeError, UsageError
from vtok.pipelines.config import (
    EncodeContinuousConfig,
    EncodeVqConfig,
    ModelConfig,
    RunConfig,
)
from vtok.pipelines.cut import ModelNeeds
from vtok.pipelines.models import recorded_option
from vtok.pipelines.recipe import Recipe
from vtok.records import Failure, Size
from vtok.resolution import Scheme

ConfigT = TypeVar("ConfigT", EncodeVqConfig, EncodeContinuousConfig)

LIBRARIES = ("pillow", "numpy", "torch")

_TYPICAL = Size(height=384, width=512)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a model runs.

    Attributes:
        device: A `torch.device`; the first where there are several.
        dtype: What it computes in, a `torch.dtype`.
        batch_size: Most views at once; None for as many as suit their size.
        batch_pixels: Pixels at once where no `batch_size` was given, once it is `sized`.
    """

    device: Any
    dtype: Any
    batch_size: int | None
    batch_pixels: int | None = None

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
            DeviceError: this machine does not have the device.
            UnknownNameError: there is no such device or dtype.
            UsageError: there are several, and one is taken.
        """
        device, *others = resolve_devices(config.device)
        if others and not takes_several:
            raise UsageError(f"--device {config.device}: only the encoders take several devices")
        dtype = resolve_dtype(config.compute_dtype, device=device, purpose=purpose)
        return cls(device, dtype, config.batch_size)

    def sized(
        self, open_forward: Callable[[], Forward], scheme: Scheme, config: RunConfig
    ) -> "Placement":
        """Return the placement with a size of batches: given, of the run's own plan, or found.

        What was found once stays with the run, on whatever machine it goes on.

        Args:
            open_forward: Gives the model, where it must be run to find out.
            scheme: Cuts the images.
            config: Names the output, whose plan may know.
        """
        if self.batch_size is not None:
            return self
        found = None if config.overwrite else recorded_option(config.output, "batch_pixels")
        if isinstance(found, int):
            return replace(self, batch_pixels=found)
        return self.measured(open_forward(), scheme)

    def measured(self, forward: Forward, scheme: Scheme) -> "Placement":
        """Return the placement with batches of the size that suits the model and the device."""
        size = scheme.plan(_TYPICAL).views[0].size
        return replace(self, batch_pixels=find_batch_pixels(forward, size))

    def to_json(self) -> dict[str, Any]:
        """Return what of it decides the last bit of a result."""
        return {
            "device": self.device.type,
            "compute_dtype": str(self.dtype).removeprefix("torch."),
            "batch_size": self.batch_size,
            "batch_pixels": self.batch_pixels,
        }

    def runner(self, forward: Forward, times: StageTimes) -> Runner:
        """Return what runs a model that was placed so, on every core or device that it has."""
        return Runner(
            forward,
            batch_size=self.batch_size,
            batch_pixels=self.batch_pixels,
            num_lanes=default_num_lanes(self.device),
            times=times,
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


def fitting(outcomes: Iterable[Outcome], needs: ModelNeeds) -> Iterator[Outcome]:
    """Yield the outcomes, those as failures whose views the model cannot take."""
    for outcome in outcomes:
        problem = None if isinstance(outcome, Failure) else needs.problem(outcome.facts.plan)
        if problem is None or isinstance(outcome, Failure):
            yield outcome
        else:
            yield outcome.task.failure("plan", DegenerateSizeError.reason, problem)
