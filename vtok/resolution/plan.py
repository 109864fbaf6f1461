"""What becomes of an image under a scheme, before a pixel is read, and its way to JSON and back.

In: parts worked out by the policies. Out: a `Plan` that a renderer can carry out, a reader can
undo, and a person can read. This file opens no image and knows no scheme.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vtok.records import Grid, Size
from vtok.resolution.parts import Box, Canvas, Region, Run, RunKind, Segment, View


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about one image under one scheme, before a pixel is read.

    Attributes:
        scheme: Canonical name of the scheme.
        size: Height and width of the original image (after its EXIF orientation).
        canvases: What the views are cut from.
        grid: Layout of the tiles; None where the scheme does not cut.
        views: The encoder's inputs in the scheme's order.
        segments: The token sequence; every total is a sum over it.
        exact: Whether the published implementation does exactly this; False for estimates.
        note: Source and date of an estimate, or what was decided where the reference is silent.
    """

    scheme: str
    size: Size
    canvases: tuple[Canvas, ...]
    grid: Grid | None
    views: tuple[View, ...]
    segments: tuple[Segment, ...]
    exact: bool = True
    note: str = ""

    @property
    def runs(self) -> Iterator[Run]:
        """The token sequence written out, run by run."""
        for segment in self.segments:
            for _ in range(segment.times):
                yield from segment.runs

    @property
    def num_tokens(self) -> int:
        """Positions that the image takes in the language model's sequence, separators included."""
        total = 0
        for runs, times in self.segments:
            for run in runs:
                if run.kind != "cross-attention":
                    total += times * run.num_tokens
        return total

    @property
    def num_image_tokens(self) -> int:
        """Positions that hold image placeholders (what processors call the image token)."""
        return self._count("image")

    @property
    def num_separator_tokens(self) -> int:
        """Positions that hold special tokens other than the image placeholder."""
        return self._count("separator")

    @property
    def num_text_tokens(self) -> int:
        """Positions that hold ordinary text, such as line breaks between rows of tiles."""
        return self._count("text")

    @property
    def num_cross_attention_tokens(self) -> int:
        """Vectors that enter beside the sequence, through cross-attention (padding included)."""
        return self._count("cross-attention")

    def _count(self, kind: RunKind) -> int:
        return sum(
            segment.times * run.num_tokens
            for segment in self.segments
            for run in segment.runs
            if run.kind == kind
        )

    @property
    def num_views(self) -> int:
        """Encoder inputs."""
        return len(self.views)

    def original_region(self, view: View) -> Region:
        """Return the part of the original image that a view shows.

        Args:
            view: One of this plan's views.

        Returns:
            In the original's pixels. Beyond 0 or the image's sides where the view shows padding;
            empty where the scheme leaves the view blank.
        """
        content = self.canvases[view.canvas].content
        if content.is_empty:
            return Region(0.0, 0.0, 0.0, 0.0)
        scale_x = self.size.width / (content.right - content.left)
        scale_y = self.size.height / (content.bottom - content.top)
        return Region(
            left=(view.box.left - content.left) * scale_x,
            top=(view.box.top - content.top) * scale_y,
            right=(view.box.right - content.left) * scale_x,
            bottom=(view.box.bottom - content.top) * scale_y,
        )

    def handing_on(self, counts: Mapping[str, int], grids: Mapping[str, Grid | None]) -> "Plan":
        """Return the plan for a model that hands on other numbers of tokens than the scheme's own.

        Args:
            counts: View's name → its tokens.
            grids: View's name → their rows and columns; None where they form no rectangle.

        Returns:
            This very plan where the numbers are its own, or where its sequence does not take each
            view's tokens in one run: such a sequence is of the scheme's own model alone.
        """
        if all(counts[view.name] == view.num_tokens for view in self.views):
            return self
        runs = [run for run in self.runs if run.kind == "image"]
        of_views = [(number, view.num_tokens) for number, view in enumerate(self.views)]
        if sorted((run.view, run.num_tokens) for run in runs if run.view is not None) != of_views:
            return self
        views = []
        for view in self.views:
            count, grid = counts[view.name], grids.get(view.name)
            is_grid = grid is not None and grid.num_cells == count
            views.append(view._replace(num_tokens=count, token_grid=grid if is_grid else None))
        return replace(
            self,
            views=tuple(views),
            segments=tuple(
                segment._replace(runs=tuple(_run_for(run, views) for run in segment.runs))
                for segment in self.segments
            ),
        )

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready dict from which `from_json` rebuilds an equal plan."""
        return {
            "scheme": self.scheme,
            "size": _size_json(self.size),
            "grid": None if self.grid is None else _grid_json(self.grid),
            "canvases": [_canvas_json(canvas) for canvas in self.canvases],
            "views": [_view_json(view) for view in self.views],
            "tokens": self.num_tokens,
            "sequence": [
                {"times": segment.times, "runs": [list(run) for run in segment.runs]}
                for segment in self.segments
            ],
            "exact": self.exact,
            "note": self.note,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Plan":
        """Rebuild the plan that `to_json` wrote."""
        grid = data["grid"]
        return cls(
            scheme=data["scheme"],
            size=Size(**data["size"]),
            canvases=tuple(_canvas_from_json(canvas) for canvas in data["canvases"]),
            grid=None if grid is None else Grid(**grid),
            views=tuple(_view_from_json(view) for view in data["views"]),
            segments=tuple(
                Segment(
                    runs=tuple(Run(*run) for run in segment["runs"]),
                    times=segment["times"],
                )
                for segment in data["sequence"]
            ),
            exact=data["exact"],
            note=data["note"],
        )


def _run_for(run: Run, views: Sequence[View]) -> Run:
    """Return a run with as many tokens as its view has."""
    if run.kind != "image" or run.view is None:
        return run
    return run._replace(num_tokens=views[run.view].num_tokens)


def _size_json(size: Size) -> dict[str, int]:
    return {"height": size.height, "width": size.width}


def _grid_json(grid: Grid) -> dict[str, int]:
    return {"rows": grid.rows, "cols": grid.cols}


def _canvas_json(canvas: Canvas) -> dict[str, Any]:
    halved = {"halvings": canvas.halvings} if canvas.halvings else {}
    return {
        **halved,
        "size": _size_json(canvas.size),
        "content": list(canvas.content),
        "resizes": [_size_json(size) for size in canvas.resizes],
        "resample": canvas.resample,
        "fill": canvas.fill if isinstance(canvas.fill, str) else list(canvas.fill),
    }


def _canvas_from_json(data: Mapping[str, Any]) -> Canvas:
    fill = data["fill"]
    return Canvas(
        size=Size(**data["size"]),
        content=Box(*data["content"]),
        resizes=tuple(Size(**size) for size in data["resizes"]),
        resample=data["resample"],
        fill="edge" if fill == "edge" else (fill[0], fill[1], fill[2]),
        halvings=data.get("halvings", 0),
    )


def _view_json(view: View) -> dict[str, Any]:
    flipped = {"flip": True} if view.flip else {}
    return {
        **flipped,
        "name": view.name,
        "role": view.role,
        "canvas": view.canvas,
        "box": list(view.box),
        "size": _size_json(view.size),
        "tokens": view.num_tokens,
        "token_grid": None if view.token_grid is None else _grid_json(view.token_grid),
        "resample": view.resample,
    }


def _view_from_json(data: Mapping[str, Any]) -> View:
    token_grid = data["token_grid"]
    return View(
        name=data["name"],
        role=data["role"],
        canvas=data["canvas"],
        box=Box(*data["box"]),
        size=Size(**data["size"]),
        num_tokens=data["tokens"],
        token_grid=None if token_grid is None else Grid(**token_grid),
        resample=data["resample"],
        flip=data.get("flip", False),
    )
