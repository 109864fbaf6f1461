"""How the views of an image become a model's inputs, and its outputs the views' again.

In: an image's plan and views. Out: arrays for batches; and of their results, one array a view. Most
models see each view by itself; some see an image's tiles together. Knows no model and no batch.

Dimension letters: H W pixels, N tokens, D channels, T tiles.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vtok.engine.preparation import Pixels
from vtok.resolution.plan import Plan

Array = npt.NDArray[Any]


class Arrangement(Protocol):
    """A way there and back."""

    def arrays(self, plan: Plan, views: Sequence[Pixels]) -> Sequence[Pixels]:
        """Return the arrays (H, W, 3) that go through the model."""

    def names(self, views: Sequence[str]) -> list[str]:
        """Return what to call each of them in a message."""

    def features(self, results: Sequence[Array], num_views: int) -> Sequence[Array]:
        """Return the result of each view, in the plan's order, of the results of the arrays."""


class _Apart:
    """Every view by itself."""

    def arrays(self, plan: Plan, views: Sequence[Pixels]) -> Sequence[Pixels]:
        return views

    def names(self, views: Sequence[str]) -> list[str]:
        return [f"view {name}" for name in views]

    def features(self, results: Sequence[Array], num_views: int) -> Sequence[Array]:
        return results


class _Together:
    """The tiles of an image as the canvas that they were cut from."""

    def arrays(self, plan: Plan, views: Sequence[Pixels]) -> Sequence[Pixels]:
        rows = plan.grid.rows if plan.grid is not None else 1
        cols = len(views) // rows
        tiles = np.stack(views)  # (T, H, W, 3)
        _, height, width, _ = tiles.shape
        grid = tiles.reshape(rows, cols, height, width, 3).transpose(0, 2, 1, 3, 4)
        return (np.ascontiguousarray(grid.reshape(rows * height, cols * width, 3)),)

    def names(self, views: Sequence[str]) -> list[str]:
        return ["the tiles"]

    def features(self, results: Sequence[Array], num_views: int) -> Sequence[Array]:
        (features,) = results  # (T * N, D)
        return np.split(features, num_views)


APART: Arrangement = _Apart()
TOGETHER: Arrangement = _Together()
