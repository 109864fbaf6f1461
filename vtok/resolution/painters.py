"""What a canvas is painted with: Pillow, whose pixels are the reference's, or vector instructions.

In: a picture and what a plan wants done with it. Out: a picture of the painter's own kind, in the
end pixels (H, W, 3) uint8. Knows no plan, scheme or decoder.

`PILLOW` resizes as the image processors of published models do. `fast` resizes with vector
instructions (`vtok.resolution.fast_resize`), and leaves to Pillow what those do not do as well.
"""

from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from vtok.records import Size
from vtok.resolution.fast_resize import FILTERS, fast_resizer
from vtok.resolution.parts import Box, Edge, Resample

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Resizing = Literal["exact", "fast"]
PictureT = TypeVar("PictureT")

_FILTERS: dict[Resample, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


MAX_FAST_PIXELS = 1 << 26
"""Of a picture that is resized fast, which holds it three times over; Pillow resizes larger ones,
so that one that is too large for the memory is still a failure and not a crash."""


class Painter(Protocol[PictureT]):
    """The operations that make views of a picture."""

    def open(self, picture: Image.Image | Pixels) -> PictureT:
        """Return a decoded picture as this painter's own kind."""

    def size(self, picture: PictureT) -> Size:
        """Return its height and width."""

    def blank(self, size: Size, colour: Colour) -> PictureT:
        """Return a picture of one colour."""

    def resize(
        self,
        picture: PictureT,
        size: Size,
        resample: Resample,
        *,
        edge: Edge | None = None,
        shown: Box | None = None,
    ) -> PictureT:
        """Return the picture at another size, or a part of that.

        Args:
            picture: Is left as it is.
            size: What it becomes.
            resample: The filter, widened where it shrinks.
            edge: Height and width, from the upper left corner, of the part that is shown; None for
                the whole.
            shown: The part of the result that is wanted; None for the whole.
        """

    def halve(self, picture: PictureT) -> PictureT:
        """Return the picture at half its size, rounded down: the mean of each two by two pixels."""

    def place(self, picture: PictureT, size: Size, at: Box, colour: Colour) -> PictureT:
        """Return the picture on a ground of one colour."""

    def extend(self, picture: PictureT, size: Size, at: Box) -> PictureT:
        """Return the picture with its border repeated outwards."""

    def part(self, picture: PictureT, box: Box) -> PictureT:
        """Return the part in a box."""

    def flip(self, picture: PictureT) -> PictureT:
        """Return it mirrored, left to right."""

    def pixels(self, picture: PictureT) -> Pixels:
        """Return (H, W, 3) uint8, not to be written to."""


class _Pillow:
    """Pictures are images of mode RGB."""

    def open(self, picture: Image.Image | Pixels) -> Image.Image:
        return picture if isinstance(picture, Image.Image) else Image.fromarray(picture)

    def size(self, picture: Image.Image) -> Size:
        return Size(height=picture.height, width=picture.width)

    def blank(self, size: Size, colour: Colour) -> Image.Image:
        return Image.new("RGB", (size.width, size.height), colour)

    def resize(
        self,
        picture: Image.Image,
        size: Size,
        resample: Resample,
        *,
        edge: Edge | None = None,
        shown: Box | None = None,
    ) -> Image.Image:
        box = None if edge is None else (0.0, 0.0, edge[1], edge[0])
        if box is not None or picture.size != (size.width, size.height):
            picture = picture.resize((size.width, size.height), _FILTERS[resample], box=box)
        return picture if shown is None else self.part(picture, shown)

    def halve(self, picture: Image.Image) -> Image.Image:
        half = (picture.width // 2, picture.height // 2)
        return picture.resize(half, Image.Resampling.BOX)

    def place(self, picture: Image.Image, size: Size, at: Box, colour: Colour) -> Image.Image:
        ground = self.blank(size, colour)
        ground.paste(picture, (at.left, at.top))
        return ground

    def extend(self, picture: Image.Image, size: Size, at: Box) -> Image.Image:
        return Image.fromarray(_extended(np.asarray(picture), size, at))

    def part(self, picture: Image.Image, box: Box) -> Image.Image:
        return picture if box == (0, 0, *picture.size) else picture.crop(box)

    def flip(self, picture: Image.Image) -> Image.Image:
        return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)

    def pixels(self, picture: Image.Image) -> Pixels:
        return np.asarray(picture)


class _Fast:
    """Pictures are arrays (H, W, 3) uint8; none is written to once it is handed on."""

    def open(self, picture: Image.Image | Pixels) -> Pixels:
        return np.asarray(picture)

    def size(self, picture: Pixels) -> Size:
        return Size(height=picture.shape[0], width=picture.shape[1])

    def blank(self, size: Size, colour: Colour) -> Pixels:
        return np.full((size.height, size.width, 3), colour, np.uint8)

    def resize(
        self,
        picture: Pixels,
        size: Size,
        resample: Resample,
        *,
        edge: Edge | None = None,
        shown: Box | None = None,
    ) -> Pixels:
        if edge is None and self.size(picture) == size:
            return picture if shown is None else self.part(picture, shown)
        if resample not in FILTERS or picture.size > 3 * MAX_FAST_PIXELS:
            whole = PILLOW.open(picture)
            return np.asarray(PILLOW.resize(whole, size, resample, edge=edge, shown=shown))
        return fast_resizer()(picture, size, resample, edge, shown)

    def halve(self, picture: Pixels) -> Pixels:
        return np.asarray(PILLOW.halve(PILLOW.open(picture)))

    def place(self, picture: Pixels, size: Size, at: Box, colour: Colour) -> Pixels:
        ground = self.blank(size, colour)
        ground[at.top : at.bottom, at.left : at.right] = picture
        return ground

    def extend(self, picture: Pixels, size: Size, at: Box) -> Pixels:
        return _extended(picture, size, at)

    def part(self, picture: Pixels, box: Box) -> Pixels:
        return picture[box.top : box.bottom, box.left : box.right]

    def flip(self, picture: Pixels) -> Pixels:
        return picture[:, ::-1]

    def pixels(self, picture: Pixels) -> Pixels:
        return np.ascontiguousarray(picture)


PILLOW: Painter[Image.Image] = _Pillow()
_FAST: Painter[Pixels] = _Fast()


def painter(resizing: Resizing) -> Painter[Any]:
    """Return who resizes exactly as Pillow does, or fast.

    Raises:
        UsageError: what resizes fast is not installed, or not in the order of this Pillow.
    """
    if resizing == "exact":
        return PILLOW
    fast_resizer()
    return _FAST


def _extended(pixels: Pixels, size: Size, at: Box) -> Pixels:
    padding = ((at.top, size.height - at.bottom), (at.left, size.width - at.right), (0, 0))
    return np.pad(pixels, padding, mode="edge")
