"""What a canvas is painted with: Pillow, whose pixels are the reference's, or vector instructions.

In: a picture and what a plan wants done with it. Out: a picture of the painter's own kind, in the
end pixels (H, W, 3) uint8. Knows no plan, scheme or decoder.

`PILLOW` resizes as the image processors of published models do. `fast` resizes with cykooz-resizer,
in the order of passes that Pillow takes and with Pillow's rounding between them; what is left is
the rounding of its weights to 16 bits: a few pixels in a thousand are off by one level. It is so
for bicubic and Lanczos alone: the weights of the others make so many exact halves that a twentieth
of the pixels would be rounded the other way, and Pillow goes on resizing these.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from vtok.errors import UsageError
from vtok.records import Size
from vtok.resolution.parts import Box, Resample

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Resizing = Literal["exact", "fast"]
Edge = tuple[float, float]
PictureT = TypeVar("PictureT")

_FILTERS: dict[Resample, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

_FAST_FILTERS = {"bicubic": "catmull_rom", "lanczos": "lanczos3"}
"""Pillow's name → cykooz-resizer's."""

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
        self, picture: PictureT, size: Size, resample: Resample, edge: Edge | None = None
    ) -> PictureT:
        """Return the picture at another size.

        Args:
            picture: Is left as it is.
            size: What it becomes.
            resample: The filter, widened where it shrinks.
            edge: Height and width, from the upper left corner, of the part that is shown; None for
                the whole.
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
        self, picture: Image.Image, size: Size, resample: Resample, edge: Edge | None = None
    ) -> Image.Image:
        box = None if edge is None else (0.0, 0.0, edge[1], edge[0])
        if box is None and picture.size == (size.width, size.height):
            return picture
        return picture.resize((size.width, size.height), _FILTERS[resample], box=box)

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
        self, picture: Pixels, size: Size, resample: Resample, edge: Edge | None = None
    ) -> Pixels:
        if edge is None and self.size(picture) == size:
            return picture
        if resample not in _FAST_FILTERS or picture.size > 3 * MAX_FAST_PIXELS:
            return np.asarray(PILLOW.resize(PILLOW.open(picture), size, resample, edge))
        return _resizes()(picture, size, resample, edge)

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
    _resizes()
    return _FAST


def _extended(pixels: Pixels, size: Size, at: Box) -> Pixels:
    padding = ((at.top, size.height - at.bottom), (at.left, size.width - at.right), (0, 0))
    return np.pad(pixels, padding, mode="edge")


_Resize = Callable[[Pixels, Size, Resample, Edge | None], Pixels]
_IsVerticalFirst = Callable[[Size, Size], bool]


@functools.cache
def _resizes() -> _Resize:
    """Return the fast resizer.

    Raises:
        UsageError: it is not installed, or this Pillow's order of passes is none that is known.
    """
    try:
        import cykooz_resizer as fast
    except ImportError as error:
        raise UsageError(
            "--resizing fast needs the package cykooz-resizer: pip install 'vtok[fast]'"
        ) from error
    is_vertical_first = order_of_passes()
    if is_vertical_first is None:
        raise UsageError(
            "--resizing fast knows no Pillow that resizes in this order: install another version "
            "of Pillow, or leave it out"
        )
    ways = {
        name: fast.ResizeAlg.convolution(fast.FilterType[theirs])
        for name, theirs in _FAST_FILTERS.items()
    }
    plain = {
        name: fast.ResizeOptions(resize_alg=way, use_alpha=False) for name, way in ways.items()
    }
    resizer = fast.Resizer()
    rgb = fast.PixelType.U8x3

    def resize(pixels: Pixels, size: Size, resample: Resample, edge: Edge | None) -> Pixels:
        height, width, _ = pixels.shape
        now = fast.ImageData(width, height, rgb, pixels.tobytes())
        shown = edge or (height, width)
        passes = [(shown[0], size.height, True), (shown[1], size.width, False)]
        if not is_vertical_first(Size(height=height, width=width), size):
            passes.reverse()
        for length, wanted, is_vertical in passes:
            stored = now.height if is_vertical else now.width
            if length == wanted == stored:
                continue
            options = plain[resample]
            if length != stored:
                part = (now.width, length) if is_vertical else (length, now.height)
                options = fast.ResizeOptions(resize_alg=ways[resample], use_alpha=False)
                options.crop_box = fast.CropBox(0, 0, *part)
            grown = (now.width, wanted) if is_vertical else (wanted, now.height)
            then = fast.ImageData(*grown, rgb)
            resizer.resize(now, then, options)
            now = then
        return np.frombuffer(now.get_buffer(), np.uint8).reshape(size.height, size.width, 3)

    return resize


def _never(_: Size, __: Size) -> bool:
    """Pillow up to 12: from left to right first."""
    return False


def _where_more_is_lost(size: Size, wanted: Size) -> bool:
    """Pillow 13: from top to bottom first, where that takes away more than twice as many lines."""
    lost = size.height - wanted.height
    return lost > 0 and lost > 2 * (size.width - wanted.width)


_PROBES = ((24, 40, 16, 12), (40, 24, 12, 16), (40, 40, 20, 20), (20, 40, 30, 30), (30, 20, 19, 14),
           (30, 40, 25, 30), (30, 40, 25, 29), (20, 30, 25, 40))  # fmt: skip


@functools.cache
def order_of_passes(
    rules: Sequence[_IsVerticalFirst] = (_never, _where_more_is_lost),
) -> _IsVerticalFirst | None:
    """Return which pass the installed Pillow makes first, or None if it is by none of the rules.

    It matters: Pillow rounds to whole levels between the passes, and the other order gives other
    levels in one pixel of seven.
    """
    noise = Image.frombytes("L", (40, 40), hashlib.shake_128(b"").digest(40 * 40))
    fitting = list(rules)
    for width, height, new_width, new_height in _PROBES:
        picture = noise.crop((0, 0, width, height))
        whole = picture.resize((new_width, new_height), Image.Resampling.BICUBIC)
        between = picture.resize((width, new_height), Image.Resampling.BICUBIC)
        vertical_first = between.resize((new_width, new_height), Image.Resampling.BICUBIC)
        is_vertical_first = whole.tobytes() == vertical_first.tobytes()
        size = Size(height=height, width=width)
        wanted = Size(height=new_height, width=new_width)
        fitting = [rule for rule in fitting if rule(size, wanted) == is_vertical_first]
    return fitting[0] if fitting else None
