"""How a view too large for a device is cut into pieces that are coded one by one: pure integers.

In: a grid of latents, the side of a piece, and how far the model sees. Out: for each axis the cuts:
what a piece covers, what of its result counts, and where it is blended with its neighbours'.

Where the reach of a network is finite, a piece covers so much more than what counts of it that its
border cannot be seen in that: the pieces together are the whole, exactly. Where it is not, because
a norm or attention looks at the whole image, pieces overlap by a quarter and are blended, what lies
at the borders left out: an approximation, and recorded as one.

Cells are those of the latent grid. Knows nothing of pixels' values, tensors or files.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from vtok.errors import UsageError
from vtok.models.base import Tokenizer, TokenizerSpec
from vtok.models.reach import Reach
from vtok.records import Grid

DEFAULT_SIDE_PX = 2048
"""Of the pieces of models whose reach is finite: views with a longer side are always cut."""

MIN_BLENDED_CELLS = 32
"""Smaller pieces are mostly border, and what a norm sees in them little of the whole."""
_OVERLAP_SHARE = 4  # of a piece's side, one part in so many


class Cut(NamedTuple):
    """A piece along one axis, in cells.

    Attributes:
        start: Where it begins.
        stop: Where it ends.
        first: Where what counts of its result begins.
        last: Where that ends.
        ramp_before: Cells from `first` on that are blended with the piece before.
        ramp_after: Cells up to `last` that are blended with the piece behind.
    """

    start: int
    stop: int
    first: int
    last: int
    ramp_before: int = 0
    ramp_after: int = 0


class Layout(NamedTuple):
    """The pieces of one view: every cut of the rows with every cut of the columns.

    Attributes:
        grid: Of the whole view.
        rows: Cuts from top to bottom.
        cols: Cuts from left to right.
    """

    grid: Grid
    rows: Sequence[Cut]
    cols: Sequence[Cut]

    def pieces(self) -> Iterator[tuple[Cut, Cut]]:
        """Yield the pieces, row-major."""
        return itertools.product(self.rows, self.cols)


@dataclass(frozen=True, slots=True)
class Pieces:
    """How a model codes what is too large.

    Attributes:
        spec: The model's.
        reach: How far it sees; None for all over the image.
        side_px: Of a piece, with what it shares with its neighbours; None for no pieces.
    """

    spec: TokenizerSpec
    reach: Reach | None
    side_px: int | None

    @classmethod
    def of(cls, tokenizer: Tokenizer, side_px: int | None) -> "Pieces":
        """Return the pieces that were asked for, or the model's own.

        Args:
            tokenizer: The model.
            side_px: Of a piece, rounded down to the model's cells; 0 for none; None for
                `DEFAULT_SIDE_PX` where pieces are exact, and none where they are not.

        Raises:
            UsageError: the model takes one size alone, or sees farther than so small a piece.
        """
        spec, reach = tokenizer.spec, tokenizer.reach
        pieces = cls(spec, reach, None)
        if side_px and not pieces.can_cut:
            raise UsageError(
                f"--piece-size: {spec.name} takes views of {spec.fixed_size or 'one size'} alone: "
                "cut images with --scheme"
            )
        if side_px is None:
            side_px = max(DEFAULT_SIDE_PX, pieces.least_px) if reach and pieces.can_cut else 0
        pieces = cls(spec, reach, side_px or None)
        pieces.check()
        return pieces

    @property
    def can_cut(self) -> bool:
        """Whether the model takes views of any size, and its indices are of places."""
        return self.spec.fixed_size is None and self.spec.codes.is_spatial

    @property
    def is_exact(self) -> bool:
        """Whether the pieces together are the whole."""
        return self.reach is not None

    @property
    def least_px(self) -> int:
        """Side of the smallest piece in which there is anything that counts."""
        unit = self._unit
        if self.reach is None:
            return -(-MIN_BLENDED_CELLS // unit) * unit * self.spec.downsample
        margins = [self.reach.encoder_cells]
        margins += [self.reach.decoder_cells] if self.spec.can_decode else []
        return max(_lead(margin, unit) + margin + unit for margin in margins) * self.spec.downsample

    def check(self) -> None:
        """Require pieces to be large enough.

        Raises:
            UsageError: they are not.
        """
        if self.side_px is not None and self.side_px < self.least_px:
            raise UsageError(
                f"--piece-size {self.side_px}: pieces of {self.spec.name} have sides of at least "
                f"{self.least_px} px"
            )

    def halved(self, grid: Grid) -> "Pieces | None":
        """Return smaller pieces for a view of this grid that did not fit; None if there are none.

        Only where they are exact: results must not depend on how much memory there is.
        """
        longest = max(grid.rows, grid.cols) * self.spec.downsample
        side_px = min(self.side_px or longest, longest) // 2
        if not self.is_exact or self.side_px is None or side_px < self.least_px:
            return None
        return Pieces(self.spec, self.reach, side_px)

    def encoding(self, grid: Grid) -> Layout | None:
        """Return how a view with this latent grid is encoded; None for in one piece."""
        return self._layout(grid, self.reach.encoder_cells if self.reach else None)

    def decoding(self, grid: Grid) -> Layout | None:
        """Return how indices of this grid are decoded; None for in one piece."""
        return self._layout(grid, self.reach.decoder_cells if self.reach else None)

    def record(self, grids: Sequence[Grid]) -> dict[str, Any] | None:
        """Return what a sample's metadata says of its views; None if none was cut."""
        if all(self.encoding(grid) is None for grid in grids):
            return None
        overlap = 2 * self.reach.encoder_cells if self.reach else self._side // _OVERLAP_SHARE
        return {
            "side_px": self._side * self.spec.downsample,
            "overlap_px": overlap * self.spec.downsample,
            "exact": self.is_exact,
        }

    @property
    def _unit(self) -> int:
        """Cells of which every piece begins at a multiple."""
        aligned = max(1, self.spec.alignment_px // self.spec.downsample)
        return aligned * (self.reach.period_cells if self.reach else 1)

    @property
    def _side(self) -> int:
        assert self.side_px is not None  # asked for where there are pieces alone
        return self.side_px // self.spec.downsample // self._unit * self._unit

    def _layout(self, grid: Grid, margin: int | None) -> Layout | None:
        if self.side_px is None or max(grid.rows, grid.cols) <= self._side:
            return None
        rows, cols = (
            blended_cuts(length, self._side, self._unit)
            if margin is None
            else exact_cuts(length, self._side, margin, self._unit)
            for length in (grid.rows, grid.cols)
        )
        return Layout(grid, rows, cols)


def exact_cuts(length: int, side: int, margin: int, unit: int) -> tuple[Cut, ...]:
    """Return pieces of which only what no border can be seen in counts.

    Args:
        length: Of the axis.
        side: Of a piece, at most; at least `_lead(margin, unit) + margin + unit`.
        margin: How far a result sees.
        unit: Pieces begin at multiples of it.
    """
    if length <= side:
        return (Cut(0, length, 0, length),)
    step = (side - _lead(margin, unit) - margin) // unit * unit
    cuts = []
    for first in range(0, length, step):
        last = min(first + step, length)
        start = max(0, first - margin) // unit * unit
        cuts.append(Cut(start, min(last + margin, length), first, last))
    return tuple(cuts)


def blended_cuts(length: int, side: int, unit: int) -> tuple[Cut, ...]:
    """Return equally long pieces, spread evenly, that are blended where they overlap.

    Neighbours share at least a quarter of a side; the middle half of that quarter is the ramp from
    one to the other, and what lies beyond it, at their borders, does not count.

    Args:
        length: Of the axis.
        side: Of a piece, a multiple of the unit.
        unit: Pieces begin at multiples of it.
    """
    if length <= side:
        return (Cut(0, length, 0, length),)
    overlap = side // _OVERLAP_SHARE
    ramp = max(1, overlap // 2)
    stride = max(unit, (side - overlap) // unit * unit)
    num_pieces = 1 + -(-(length - side) // stride)
    span = (length - side) // unit
    starts = [number * span // (num_pieces - 1) * unit for number in range(num_pieces)]
    starts[-1] = length - side if (length - side) % unit == 0 else starts[-1]
    stops = [min(start + side, length) for start in starts]
    stops[-1] = length
    edges = [
        (after + before - ramp) // 2 for after, before in zip(starts[1:], stops[:-1], strict=True)
    ]
    cuts = []
    for number, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        is_first, is_last = number == 0, number == num_pieces - 1
        first = 0 if is_first else edges[number - 1]
        last = length if is_last else edges[number] + ramp
        before, after = (0 if is_first else ramp), (0 if is_last else ramp)
        cuts.append(Cut(start, stop, first, last, before, after))
    return tuple(cuts)


def _lead(margin: int, unit: int) -> int:
    """Return how far before what counts a piece may have to begin."""
    return -(-margin // unit) * unit
