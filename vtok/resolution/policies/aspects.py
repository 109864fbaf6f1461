"""The grid whose aspect is nearest to the image's, with the published ways of breaking ties.

In: the original's `Size`. Out: a `Grid`. Distances are those of double-precision ratios; exact ties
are decided by the order of the candidates.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from vtok.records import Grid, Size
from vtok.resolution.policies.grids import grids_by_cells, grids_by_rows


class _Ratios(NamedTuple):
    """The distinct ratios of some grids, ascending, and the grids of each by their place."""

    ratios: tuple[float, ...]
    groups: tuple[tuple[tuple[int, Grid], ...], ...]

    def nearest(self, aspect: float) -> tuple[tuple[int, Grid], ...]:
        """Return the grids whose ratio is nearest to the image's, in the candidates' order."""
        above = bisect_left(self.ratios, aspect)
        if above == len(self.ratios):
            return self.groups[-1]
        if above == 0:
            return self.groups[0]
        to_lower, to_upper = aspect - self.ratios[above - 1], self.ratios[above] - aspect
        if to_lower < to_upper:
            return self.groups[above - 1]
        if to_upper < to_lower:
            return self.groups[above]
        return tuple(sorted(self.groups[above - 1] + self.groups[above], key=lambda pair: pair[0]))


def _ratios(candidates: Sequence[Grid]) -> _Ratios:
    groups: dict[float, list[tuple[int, Grid]]] = {}
    for place, grid in enumerate(candidates):
        groups.setdefault(grid.cols / grid.rows, []).append((place, grid))
    ratios = tuple(sorted(groups))
    return _Ratios(ratios, tuple(tuple(groups[ratio]) for ratio in ratios))


@lru_cache(maxsize=64)
def _ratios_by_rows(max_tiles: int, min_tiles: int) -> _Ratios:
    return _ratios(grids_by_rows(max_tiles, min_tiles))


@lru_cache(maxsize=64)
def _ratios_by_cells(max_tiles: int, min_tiles: int) -> _Ratios:
    return _ratios(grids_by_cells(max_tiles, min_tiles))


@dataclass(frozen=True, slots=True)
class ClosestAspect:
    """The grid whose width:height is nearest to the image's; the first of equals, rows outer."""

    max_tiles: int
    min_tiles: int = 1

    def choose(self, size: Size) -> Grid:
        """Return the nearest grid by absolute difference of the ratios."""
        table = _ratios_by_rows(self.max_tiles, self.min_tiles)
        return table.nearest(size.width / size.height)[0][1]


@dataclass(frozen=True, slots=True)
class ClosestAspectByArea:
    """The grid of nearest aspect; of equals the larger one, where the image has pixels for it.

    A grid as near as the best so far replaces it when the image has more than half of its
    pixels. Source: OpenGVLab/InternVL, `dynamic_preprocess`; transformers `got_ocr2`.
    """

    max_tiles: int
    tile_px: int
    min_tiles: int = 1

    def choose(self, size: Size) -> Grid:
        """Return the nearest grid."""
        table = _ratios_by_cells(self.max_tiles, self.min_tiles)
        nearest = table.nearest(size.width / size.height)
        best = nearest[0][1]
        for _, grid in nearest[1:]:
            if 2 * size.num_pixels > self.tile_px * self.tile_px * grid.num_cells:
                best = grid
        return best
