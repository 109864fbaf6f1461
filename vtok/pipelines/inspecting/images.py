"""What every image would become under every scheme: headers in, counts out, no pixel decoded.

In: sources and schemes. Out: one row an image, as it is read, and totals that grow with the number
of different sizes and token counts only, so that ten million images fit. Knows nothing of how rows
are shown.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vtok.errors import DegenerateSizeError, ImageTooLargeError, InputError, SampleError
from vtok.io.headers import ImageHeader, read_header
from vtok.io.images import DecodeLimits, check_limits
from vtok.io.paths import path_bytes
from vtok.io.sources import SourceItem, open_source
from vtok.io.sources.folders import FileItem
from vtok.quantities import counted
from vtok.records import Grid, Size
from vtok.report.distribution import Distribution
from vtok.resolution import Scheme

MAX_CACHED_SIZES = 1 << 16
_LIMITS = DecodeLimits()


class Cut(NamedTuple):
    """What one scheme makes of one size, in numbers.

    Attributes:
        grid: Layout of the tiles; None where the scheme does not cut.
        num_views: Encoder inputs.
        num_tokens: Positions in the language model's sequence.
        num_cross_attention_tokens: Vectors that enter beside the sequence.
        problem: Why the scheme cannot cut this size; empty where it can.
    """

    grid: Grid | None
    num_views: int
    num_tokens: int
    num_cross_attention_tokens: int
    problem: str = ""


class ImageRow(NamedTuple):
    """One image under all schemes.

    Attributes:
        source: Where it comes from, relative to its input.
        header: What it says of itself; None where it could not be read.
        cuts: One per scheme, in their order; none where it could not be read.
        failure: Why it could not be read.
        refusal: Why the commands that decode would refuse it, whatever the scheme; empty where
            they would not. It is counted all the same.
    """

    source: str
    header: ImageHeader | None
    cuts: tuple[Cut, ...] = ()
    failure: SampleError | None = None
    refusal: str = ""

    def over_budget(self, budget: int | None) -> list[bool]:
        """Return, scheme by scheme, whether the image takes more tokens than the budget."""
        return [budget is not None and cut.num_tokens > budget for cut in self.cuts]


@dataclass(slots=True)
class SchemeTotals:
    """One scheme over all images.

    Attributes:
        tokens: Tokens per image, of those that can be cut.
        num_views: Encoder inputs of all images.
        num_cross_attention_tokens: Vectors of all images that enter beside the sequence.
        num_uncut: Images that the scheme cannot cut.
        first_problem: Why it cannot cut the first of them.
    """

    tokens: Distribution
    num_views: int = 0
    num_cross_attention_tokens: int = 0
    num_uncut: int = 0
    first_problem: str = ""


class Survey:
    """Reads headers and counts; `totals` and `failures_by_reason` hold once `rows` has ended."""

    def __init__(self, schemes: Sequence[Scheme]) -> None:
        self.schemes = tuple(schemes)
        self.totals = tuple(SchemeTotals(Distribution()) for _ in schemes)
        self.num_images = 0
        self.failures_by_reason: Counter[str] = Counter()
        self.num_refused = 0
        self._cuts: dict[Size, tuple[Cut, ...]] = {}
        self._last_failed: ImageRow | None = None

    @property
    def num_readable(self) -> int:
        """Images whose header could be read."""
        return self.num_images - sum(self.failures_by_reason.values())

    def rows(self, inputs: Sequence[str]) -> Iterator[ImageRow]:
        """Yield a row for every image of all inputs, in order.

        Raises:
            InputError: an input does not exist or holds no images.
            ShardError: an input is a damaged archive.
        """
        for text in inputs:
            source = open_source(text, stdin=sys.stdin.buffer if text == "-" else None)
            for item in source.list():
                yield self._row(item)

    def require_one(self) -> None:
        """Require at least one image that could be read.

        Raises:
            InputError: there was none.
        """
        if self.num_readable or self._last_failed is None:
            return
        if self.num_images == 1:
            raise InputError(f"{self._last_failed.source}: {self._last_failed.failure}")
        raise InputError(f"none of {counted(self.num_images, 'image')} could be read")

    def _row(self, item: SourceItem) -> ImageRow:
        self.num_images += 1
        try:
            header = header_of(item)
        except SampleError as error:
            self.failures_by_reason[error.reason] += 1
            self._last_failed = ImageRow(item.source, None, failure=error)
            return self._last_failed
        cuts = self._cuts.get(header.size)
        if cuts is None:
            cuts = tuple(cut_numbers(scheme, header.size) for scheme in self.schemes)
            if len(self._cuts) < MAX_CACHED_SIZES:
                self._cuts[header.size] = cuts
        refusal = refusal_of(header)  # not of the size alone: some formats may have fewer pixels
        self.num_refused += bool(refusal)
        for total, cut in zip(self.totals, cuts, strict=True):
            if cut.problem:
                total.num_uncut += 1
                total.first_problem = total.first_problem or cut.problem
            else:
                total.num_views += cut.num_views
                total.num_cross_attention_tokens += cut.num_cross_attention_tokens
                total.tokens.add(cut.num_tokens)
        return ImageRow(item.source, header, cuts, refusal=refusal)


def header_of(item: SourceItem) -> ImageHeader:
    """Return an item's header; of a local file, without reading more of it than the header.

    Raises:
        SampleError: it cannot be read, or is no image.
    """
    if isinstance(item, FileItem):
        return read_header(os.fsdecode(path_bytes(item.location)))
    return read_header(item.read())


def refusal_of(header: ImageHeader) -> str:
    """Return why an image of this size would not be decoded; empty where it would."""
    try:
        check_limits(header, _LIMITS)
    except ImageTooLargeError as error:
        return str(error)
    return ""


def cut_numbers(scheme: Scheme, size: Size) -> Cut:
    """Return what a scheme makes of a size."""
    try:
        plan = scheme.plan(size)
    except DegenerateSizeError as error:
        return Cut(None, 0, 0, 0, str(error))
    return Cut(plan.grid, plan.num_views, plan.num_tokens, plan.num_cross_attention_tokens)


def row_json(
    row: ImageRow, schemes: Sequence[Scheme], budget: int | None, *, with_plan: bool
) -> dict[str, Any]:
    """Return a row in a JSON-ready dict; with the whole plans if asked."""
    if row.header is None:
        assert row.failure is not None
        failure = {"reason": row.failure.reason, "message": str(row.failure)}
        return {"source": row.source, "failure": failure}
    header = row.header
    cuts = []
    for scheme, cut, over in zip(schemes, row.cuts, row.over_budget(budget), strict=True):
        facts = _cut_json(scheme, cut)
        if budget is not None and not cut.problem:
            facts["over_budget"] = over
        if with_plan and not cut.problem:
            facts["plan"] = scheme.plan(header.size).to_json()
        cuts.append(facts)
    return {
        "source": row.source,
        "size": {"height": header.size.height, "width": header.size.width},
        "format": header.format,
        "mode": header.mode,
        "orientation": header.orientation,
        "num_frames": header.num_frames,
        **({"refusal": _refusal_json(row.refusal)} if row.refusal else {}),
        "cuts": cuts,
    }


def _refusal_json(refusal: str) -> dict[str, str]:
    return {"reason": ImageTooLargeError.reason, "message": refusal}


def _cut_json(scheme: Scheme, cut: Cut) -> dict[str, Any]:
    if cut.problem:
        failure = {"reason": DegenerateSizeError.reason, "message": cut.problem}
        return {"scheme": scheme.name, "failure": failure}
    grid = None if cut.grid is None else {"rows": cut.grid.rows, "cols": cut.grid.cols}
    return {
        "scheme": scheme.name,
        "exact": scheme.exact,
        "grid": grid,
        "views": cut.num_views,
        "tokens": cut.num_tokens,
        "cross_attention_tokens": cut.num_cross_attention_tokens,
    }


def totals_json(survey: Survey, budget: int | None) -> dict[str, Any]:
    """Return the totals in a JSON-ready dict."""
    schemes = []
    for scheme, total in zip(survey.schemes, survey.totals, strict=True):
        spread = total.tokens.spread()
        facts: dict[str, Any] = {
            "scheme": scheme.name,
            "views": total.num_views,
            "tokens": None if spread is None else spread.to_json(),
            "cross_attention_tokens": total.num_cross_attention_tokens,
            "uncut": total.num_uncut,
        }
        if budget is not None:
            facts["over_budget"] = total.tokens.num_above(budget)
        schemes.append(facts)
    return {
        "images": survey.num_images,
        "unreadable": sum(survey.failures_by_reason.values()),
        "failures_by_reason": dict(sorted(survey.failures_by_reason.items())),
        "refused": survey.num_refused,
        "budget": budget,
        "schemes": schemes,
    }
