"""What a command adds to a run: a preparation, a model, what makes samples.

Knows nothing of any one command, nor of how a run goes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vtok.engine.preparation import Prepares
from vtok.engine.times import StageTimes
from vtok.pipelines.running.shard_worker import MakesSamples
from vtok.shards.fields import FeatureDtype
from vtok.shards.header import Kind, Layout, ModelRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a command adds to the skeleton.

    Attributes:
        command: Its name.
        kind: What its samples hold.
        configuration: Every option that changes a byte, JSON-ready; the scheme under `scheme`.
        preparation: What decode workers do with an image.
        open_maker: Makes samples of what they prepare; called only if there is work.
        libraries: Distributions, vtok aside, that compute the bytes.
        model: The model, where there is one.
        layout: How samples lie in a tar.
        feature_dtype: What features are stored in.
        alone: Where several devices were asked for: device → sets the command up for it alone.
            Travels by pickle.
    """

    command: str
    kind: Kind
    configuration: dict[str, Any]
    preparation: Prepares
    open_maker: Callable[[StageTimes], MakesSamples]
    libraries: tuple[str, ...]
    model: ModelRecord | None = None
    layout: Layout = "sample"
    feature_dtype: FeatureDtype | None = None
    alone: tuple[tuple[str, Callable[[], "Recipe"]], ...] = ()
