"""From a source item to views: read, decode, plan, render; one image at a time, in any process.

In: an `ImageTask`. Out: `Prepared` (uint8 views and the facts of the image) or a `Failure`. This
file knows nothing of processes, batches, models or torch; `Preparation` is small and picklable, so
that a worker process can be given one.

Dimension letters: H W pixels.
"""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from vtok.errors import ImageTooLargeError, SampleError
from vtok.io.colour import WHITE, Colour
from vtok.io.headers import sniff
from vtok.io.images import REDUCTIONS, DecodedImage, DecodeLimits, check_file_bytes, decode
from vtok.io.sources.item import SourceItem
from vtok.records import Failure, Size, Stage
from vtok.resolution.painters import Resizing, painter
from vtok.resolution.plan import Plan
from vtok.resolution.rendering import reduction_for, render_frozen
from vtok.resolution.scheme import Scheme

Pixels = npt.NDArray[np.uint8]
Decoding = Literal["exact", "scaled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTask:
    """One image of a run that is to be prepared.

    Attributes:
        index: Its position in the run.
        key: Its key in the shard.
        item: Where its bytes are.
    """

    index: int
    key: str
    item: SourceItem

    def failure(self, stage: Stage, reason: str, message: str) -> Failure:
        """Return the record of this image's failure."""
        return Failure(
            key=self.key,
            source=self.item.source,
            stage=stage,
            reason=reason,
            message=" ".join(message.split()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What is known of an image once it was decoded; everything but its pixels.

    Attributes:
        plan: What became of it; `plan.size` is the size of the upright image.
        format: The name of its encoding (`JPEG`, ...).
        num_bytes: The length of its encoding.
        sha256: The digest, in hexadecimal, of its encoding.
        conversions: Codes of everything that decoding did to the stored pixels, in order.
        sidecars: What lies beside it, by extension; empty where the preparation leaves it out.
    """

    plan: Plan
    format: str
    num_bytes: int
    sha256: str
    conversions: tuple[str, ...]
    sidecars: dict[str, bytes] = field(default_factory=dict)

    @property
    def size(self) -> Size:
        """Height and width of the upright image."""
        return self.plan.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An image ready for a model.

    Attributes:
        task: What was asked for.
        facts: What the image turned out to be.
        views: One read-only (H, W, 3) uint8 array for each of `facts.plan.views`, in that order.
            They may lie in memory that is used again once no reference to any of them is left.
    """

    task: ImageTask
    facts: ImageFacts
    views: tuple[Pixels, ...]


Outcome = Prepared | Failure


class Prepares(Protocol):
    """What a decode pool runs: picklable, without state that lasts from one image to the next."""

    def prepare(self, task: ImageTask) -> Outcome:
        """Return the views of an image, or why there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Read, decode, plan and render under one scheme.

    Attributes:
        scheme: Sizes to views.
        limits: What an image may ask of the machine.
        background: What shows through transparent pixels.
        with_sidecars: Read what lies beside each image too.
        decoding: `exact` decodes every pixel; `scaled` lets a JPEG decoder leave out what the
            scheme's first resize would not keep (`vtok.resolution.rendering.reduction_for`).
        resizing: `exact` has Pillow's pixels; `fast` may be off by a level here and there
            (`vtok.resolution.painters`).

    Raises:
        UsageError: what resizes fast is not installed.
    """

    scheme: Scheme
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    background: Colour = WHITE
    with_sidecars: bool = False
    decoding: Decoding = "exact"
    resizing: Resizing = "exact"

    def __post_init__(self) -> None:
        """Refuse here what every image would fail of."""
        painter(self.resizing)

    def prepare(self, task: ImageTask) -> Outcome:
        """Return the views of an image, or the typed failure of exactly this image.

        Only `SampleError` becomes a failure: any other exception is a mistake in the program and
        passes through.
        """
        stage: Stage = "read"
        try:
            data = task.item.read(max_bytes=self.limits.max_file_bytes)
            check_file_bytes(len(data), self.limits)
            sidecars = task.item.read_sidecars() if self.with_sidecars else {}
            stage = "decode"
            choose = self._reduction if self.decoding == "scaled" else None
            picture = decode(data, self.limits, background=self.background, choose_reduction=choose)
            stage = "plan"
            plan = self._plan(picture.size, task.key)
            views = self._render(plan, picture)
        except SampleError as error:
            return task.failure(stage, error.reason, str(error))
        facts = ImageFacts(
            plan=plan,
            format=sniff(data[:32]) or picture.image.format or "unknown",
            num_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            conversions=picture.conversions,
            sidecars=sidecars,
        )
        return Prepared(task=task, facts=facts, views=views)

    def _plan(self, size: Size, key: str) -> Plan:
        return self.scheme.plan(size, key) if self.scheme.is_keyed else _plan(self.scheme, size)

    def _reduction(self, size: Size) -> int:
        try:
            return reduction_for(_plan(self.scheme, size), REDUCTIONS)
        except SampleError:
            return 1  # said once the image is known to be whole

    def _render(self, plan: Plan, picture: DecodedImage) -> tuple[Pixels, ...]:
        """Render, with running out of memory as what it is: an image that asks for too much."""
        by = painter(self.resizing)
        try:
            views = render_frozen(plan, picture.picture, reduction=picture.reduction, painter=by)
            return tuple(views)
        except MemoryError as error:
            raise ImageTooLargeError(
                f"its {plan.num_views} views need more memory than there is"
            ) from error


@lru_cache(maxsize=1024)  # images have few sizes
def _plan(scheme: Scheme, size: Size) -> Plan:
    return scheme.plan(size)
