"""The shape of one view's indices: which of the four kinds a tokenizer gives, and its numbers.

In: a latent grid. Out: the shape of the array of its indices, and the checks that a stored array
is of that shape. Integers only; knows nothing of models, pixels or files.

Dimension letters: h w latent grid, L positions, G indices of one position.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from vtok.records import Grid

CodeKind = Literal["grid", "deep-grid", "codebooks", "scales"]
"""grid: (h, w). deep-grid: (h, w, depth), residuals of one cell. codebooks: (num_codebooks, L), a
sequence of positions. scales: flat, the cells of one grid after the other, coarse to fine."""

_MAX_NUMBER = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeShape:
    """The shape of one view's indices.

    Attributes:
        kind: One of the four.
        depth: Indices of each cell; of `deep-grid` only.
        num_codebooks: Indices of each position; of `codebooks` only.
        length: Positions, where there are as many whatever the size; None for one a cell. Of
            `codebooks` only.
        scales: Grids from coarse to fine, the last of which is the latent grid; of `scales` only.
    """

    kind: CodeKind = "grid"
    depth: int = 1
    num_codebooks: int = 1
    length: int | None = None
    scales: tuple[Grid, ...] = ()

    def __post_init__(self) -> None:
        numbers = (self.depth, self.num_codebooks, 1 if self.length is None else self.length)
        if self.kind not in get_args(CodeKind) or not all(1 <= n <= _MAX_NUMBER for n in numbers):
            raise ValueError(f"indices cannot be of the shape {self}")
        if (self.kind == "scales") != bool(self.scales):
            raise ValueError("scales are for flat indices, and needed there")

    @property
    def is_spatial(self) -> bool:
        """Whether each position stands for a part of the image."""
        return self.length is None

    def shape_of(self, grid: Grid) -> tuple[int, ...]:
        """Return the shape of the indices of an image with this latent grid.

        Raises:
            ValueError: the scales end in another grid.
        """
        if self.kind == "deep-grid":
            return (grid.rows, grid.cols, self.depth)
        if self.kind == "codebooks":
            return (self.num_codebooks, self.length or grid.num_cells)
        if self.kind == "scales":
            if self.scales[-1] != grid:
                raise ValueError(f"the finest scale is {self.scales[-1]}, not {grid}")
            return (sum(each.num_cells for each in self.scales),)
        return (grid.rows, grid.cols)

    def grid_of(self, shape: Sequence[int]) -> Grid | None:
        """Return the latent grid of indices of this shape; None where the shape does not tell."""
        if self.kind in ("grid", "deep-grid"):
            return Grid(rows=shape[0], cols=shape[1])
        return self.scales[-1] if self.kind == "scales" else None

    def problem(self, shape: Sequence[int]) -> str | None:
        """Return why an array of this shape holds no indices of one view, None if it may."""
        shape = tuple(shape)
        if len(shape) == self._num_axes and all(side >= 1 for side in shape):
            wanted = self.shape_of(self.grid_of(shape) or Grid(rows=1, cols=shape[-1]))
            if shape == wanted:
                return None
        return f"indices of shape {_shown(shape)}, and the model's are {self}"

    @property
    def _num_axes(self) -> int:
        return {"grid": 2, "deep-grid": 3, "codebooks": 2, "scales": 1}[self.kind]

    def __str__(self) -> str:
        """Return the shape as people write it, letters where it depends on the image's size."""
        if self.kind == "scales":
            return f"({self.shape_of(self.scales[-1])[0]})"
        if self.kind == "codebooks":
            return f"({self.num_codebooks}, {self.length or 'L'})"
        return f"(h, w, {self.depth})" if self.kind == "deep-grid" else "(h, w)"

    @property
    def in_words(self) -> str:
        """What the axes are, and in which order the indices lie along them."""
        if self.kind == "deep-grid":
            return f"{self.depth} indices a cell, coarse to fine; cells row by row"
        if self.kind == "scales":
            ends = f"{self.scales[0]} to {self.scales[-1]}"
            return f"{len(self.scales)} grids one after the other, {ends}, each row by row"
        if self.kind == "codebooks":
            rows = "" if self.num_codebooks == 1 else "a row a codebook; "
            if self.length is None:
                return f"{rows}the cells of an image, row by row"
            return f"{rows}{self.length} positions of a sequence, which have no place in the image"
        return "an index a cell, row by row"

    def to_json(self) -> dict[str, Any]:
        """Return the kind and its own numbers, JSON-ready."""
        numbers: dict[CodeKind, dict[str, Any]] = {
            "grid": {},
            "deep-grid": {"depth": self.depth},
            "codebooks": {"num_codebooks": self.num_codebooks, "length": self.length},
            "scales": {"scales": [[each.rows, each.cols] for each in self.scales]},
        }
        return {"kind": self.kind, **numbers[self.kind]}

    @classmethod
    def from_json(cls, value: object) -> "CodeShape":
        """Return the shape that `to_json` wrote.

        Raises:
            ValueError: it is not one.
        """
        if not isinstance(value, Mapping):
            raise ValueError(f"{value!r} is no shape of indices")
        try:
            found = dict(value)
            found["kind"] = cast(CodeKind, found["kind"])
            if "scales" in found:
                found["scales"] = tuple(Grid(rows=h, cols=w) for h, w in found["scales"])
            shape = cls(**found)
            written = shape.to_json()
        except (KeyError, TypeError) as error:
            raise ValueError(f"{value!r} is no shape of indices") from error
        if written != dict(value):
            raise ValueError(f"{value!r} is no shape of indices")
        return shape


def _shown(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
