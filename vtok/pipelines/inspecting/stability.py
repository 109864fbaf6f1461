"""`vtok inspect --stability`: which indices depend on batch size, precision and device.

In: images and a model's name. Out: a table of shares, or the same as JSON with every index that
changed. Images are given to the model as the squares that its papers train on, so that they can
share batches.
"""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vtok.engine.decoding import DecodePool
from vtok.engine.preparation import ImageTask, Preparation, Prepared
from vtok.engine.stability import Way, devices_to_compare, measure
from vtok.errors import InputError
from vtok.io.sources import open_source
from vtok.models import registry
from vtok.pipelines.config.cut import scheme_for
from vtok.pipelines.config.parts import DEFAULT_MODEL, CutConfig
from vtok.pipelines.running.model import needs_of, record_of
from vtok.quantities import counted
from vtok.report.tables import Column, table
from vtok.resolution import SchemeOptions

MAX_IMAGES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class StabilityConfig:
    """What is measured.

    Attributes:
        paths: Images, as the commands take them.
        model: The tokenizer's name.
        device: What everything is compared with; a GPU is compared with the CPU too.
        size: Side of the squares, in pixels; None for the model's own, or 256.
        allow_torchscript: Whether the code in the model's file may be run.
    """

    paths: tuple[str, ...]
    model: str = DEFAULT_MODEL
    device: str = "auto"
    size: int | None = None
    allow_torchscript: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """What came of it.

    Attributes:
        model: The tokenizer's name.
        device: What everything was compared with.
        size: Side of the squares, in pixels.
        images: The images' sources, in order.
        ways: Every way of running.
    """

    model: str
    device: str
    size: int
    images: tuple[str, ...]
    ways: tuple[Way, ...]

    def to_json(self) -> dict[str, Any]:
        """Return all of it for machines."""
        ways = [
            {
                **asdict(way),
                "share": way.share,
                "changed": [each._asdict() for each in way.changed],
            }
            for way in self.ways
        ]
        return {
            "model": self.model,
            "device": self.device,
            "size_px": self.size,
            "images": list(self.images),
            "ways": ways,
        }

    def text(self, width: int | None) -> Any:
        """Return a table for people, as wide as the terminal."""
        rows = [
            [
                way.device,
                way.compute_dtype,
                str(way.batch_size),
                f"{way.num_changed:,} of {way.num_indices:,}",
                f"{100 * way.share:.3f} %",
                f"{way.largest_move:.1e}",
            ]
            for way in self.ways
        ]
        names = ("device", "computed in", "batch", "indices changed", "share", "latents moved")
        text = table([Column(name) for name in names], rows, width=width)
        count = counted(len(self.images), "image")
        text.append(
            f"{self.model}, {count} of {self.size}x{self.size}; "
            f"against float32, one image at a time, on {self.device}\n",
            "dim",
        )
        return text


def stability(config: StabilityConfig) -> Stability:
    """Run a tokenizer in every way that this machine has.

    Raises:
        InputError: no image can be read.
        UsageError: the model does not take squares of this size.
        VtokError: for the model and the device.
    """
    devices = devices_to_compare(config.device)
    tokenizer = registry.load_tokenizer(config.model, allow_torchscript=config.allow_torchscript)
    cut = CutConfig(scheme="adm-crop", options=SchemeOptions(size_px=config.size))
    scheme = scheme_for(cut, "adm-crop", needs_of(record_of(tokenizer)))
    prepared = _prepared(config.paths, Preparation(scheme=scheme))
    if not prepared:
        raise InputError(f"no image that can be read in {', '.join(config.paths)}")
    images = np.stack([each.views[0] for each in prepared])
    return Stability(
        model=config.model,
        device=str(devices[0]),
        size=images.shape[1],
        images=tuple(each.task.item.source for each in prepared),
        ways=tuple(measure(tokenizer, images, devices)),
    )


def _prepared(paths: Sequence[str], preparation: Preparation) -> list[Prepared]:
    """Return the first images that can be read."""
    items = itertools.chain.from_iterable(open_source(path).list() for path in paths)
    tasks = (
        ImageTask(index=index, key=str(index), item=item)
        for index, item in enumerate(itertools.islice(items, MAX_IMAGES))
    )
    with DecodePool(preparation, num_workers=1) as pool:
        return [each for each in pool.map(tasks) if isinstance(each, Prepared)]
