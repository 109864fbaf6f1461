"""What a plan is made of, in integers: canvases, views of them, and runs of tokens.

The image is laid on one or more canvases (resized, then padded); every view is a box of one canvas,
resized when the box is not already of the model's input size. All boxes are half-open. What a plan
has many of is a named tuple, which costs a third of a frozen dataclass to make.
"""

from typing import Literal, NamedTuple

from vtok.records import Grid, Size

Resample = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Role = Literal["tile", "thumbnail", "whole", "crop"]
RunKind = Literal["image", "separator", "text", "cross-attention"]
Fill = tuple[int, int, int] | Literal["edge"]
BLACK: Fill = (0, 0, 0)
WHITE: Fill = (255, 255, 255)

Edge = tuple[float, float]
"""Height and width of the part of a picture, from its upper left corner, that is resized."""


class Box(NamedTuple):
    """A rectangle of pixels: left and top belong to it, right and bottom do not."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def is_empty(self) -> bool:
        """Whether a side is 0: a part that a published rule leaves blank."""
        return self.right <= self.left or self.bottom <= self.top

    @property
    def size(self) -> Size:
        """Height and width of the rectangle, which must not be empty."""
        return Size(height=self.bottom - self.top, width=self.right - self.left)


class Region(NamedTuple):
    """A rectangle in the original image's pixels; fractional, and past the edges where padded."""

    left: float
    top: float
    right: float
    bottom: float


class Canvas(NamedTuple):
    """The image resized (never, once, or twice) and padded: the thing that is cut.

    Attributes:
        size: Height and width, padding included.
        content: Where the resized image lies on it.
        resizes: The sizes the image passes through, in order; empty when it keeps its pixels.
        resample: The filter of every resize.
        fill: Colour of the padding, or `edge` to repeat the border pixels.
        halvings: How often both sides are halved (rounded down, by averages) before the resizes.
    """

    size: Size
    content: Box
    resizes: tuple[Size, ...] = ()
    resample: Resample = "bicubic"
    fill: Fill = BLACK
    halvings: int = 0

    @property
    def is_padded(self) -> bool:
        """Whether the content leaves a part of the canvas free."""
        return self.content != (0, 0, self.size.width, self.size.height)


class View(NamedTuple):
    """One encoder input.

    Attributes:
        name: `tile-000`, `tile-001`, ... row-major; `crop-000`, ...; `thumbnail`; or `whole`.
        role: What the view shows.
        canvas: Index of the canvas that it is cut from.
        box: The part of that canvas.
        size: Height and width of the model's input; the box is resized where it differs.
        num_tokens: Vectors that the model hands on for this view.
        token_grid: Their rows and columns, where they form a rectangle.
        resample: The filter of that resize.
        flip: Whether the view is mirrored left to right, after the resize.
    """

    name: str
    role: Role
    canvas: int
    box: Box
    size: Size
    num_tokens: int
    token_grid: Grid | None = None
    resample: Resample = "bicubic"
    flip: bool = False


class Run(NamedTuple):
    """The same token several times in a row.

    `view` is the index of the view whose vectors stand there. A text run counts words and line
    breaks (exact as long as the tokenizer has each of them as one token).
    """

    token: str
    num_tokens: int
    kind: RunKind = "image"
    view: int | None = None


class Segment(NamedTuple):
    """Some runs, repeated: one row of a token grid, say, as often as there are rows."""

    runs: tuple[Run, ...]
    times: int = 1
