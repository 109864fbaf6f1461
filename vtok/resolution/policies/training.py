"""The crops that tokenizers and image generators are trained on, each a square of one size.

In: the original's `Size`, and for random crops the sample's key. Out: a `Cut` of views
`crop-000`, `crop-001`, ..., each with its own box and whether it is mirrored. Boxes, filters and
roundings are the published ones; the draws are this package's own, from a digest of seed and key,
so that they depend on neither order nor machine.

Sources: `center_crop_arr` of openai/guided-diffusion, which LlamaGen and 1d-tokenizer take over;
LlamaGen `extract_codes_c2i.py` and 1d-tokenizer `pretokenization.py` (the crop and its mirror
image, or ten crops); apple/ml-4m `save_vq_tokens.py` (a centre crop, then random ones).
"""

import hashlib
import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from vtok.records import Grid, Size
from vtok.resolution.parts import Box, Canvas, View
from vtok.resolution.policies.cutters import Cut
from vtok.resolution.policies.frames import identity

_MIN_RATIO, _MAX_RATIO = 0.75, 1.3333  # not 4/3: as the scripts have it
_MOST_TRIES = 10
_FLIP_SHARE = 0.5


class Spot(NamedTuple):
    """A part of a canvas, and whether it is mirrored left to right."""

    box: Box
    flip: bool = False


@dataclass(frozen=True, slots=True)
class CenterCrop:
    """The short side to a length, then the square in the middle.

    Both sides are halved (rounded down, by averages) while the short one is at least twice as
    long as wanted; then one bicubic resize, sides rounded to even.

    Attributes:
        side_px: Side of the view.
        token_grid: Its tokens.
        flip: Whether the mirrored square follows as a second view.
    """

    single_view: ClassVar[bool] = False

    side_px: int
    token_grid: Grid
    flip: bool = False

    def cut(self, size: Size) -> Cut:
        """Return one view, or two."""
        canvas, square = _middle(size, self.side_px)
        spots = [Spot(square, flip) for flip in (False, True)[: 1 + self.flip]]
        return _cut(canvas, spots, self.side_px, self.token_grid)


@dataclass(frozen=True, slots=True)
class TenCrops:
    """The corners and the centre of a somewhat larger centre crop, then the same mirrored.

    The mirrored five are those of the mirrored square: its top left corner is the original's top
    right one.

    Attributes:
        side_px: Side of every view.
        token_grid: Tokens of each.
        crop_range: Side of the larger crop, in sides of a view; rounded down.
    """

    single_view: ClassVar[bool] = False

    side_px: int
    token_grid: Grid
    crop_range: float

    def cut(self, size: Size) -> Cut:
        """Return ten views."""
        side = self.side_px
        around = int(side * self.crop_range)
        canvas, square = _middle(size, around)
        room = around - side
        centre = round(room / 2)
        corners = [(0, 0), (0, room), (room, 0), (room, room), (centre, centre)]  # (top, left)
        spots = [
            Spot(
                _square(square.top + top, square.left + (room - left if flip else left), side), flip
            )
            for flip in (False, True)
            for top, left in corners
        ]
        return _cut(canvas, spots, side, self.token_grid)


@dataclass(frozen=True, slots=True)
class RandomCrops:
    """The centre square of the original, then random parts of it, each squashed to one square.

    A random part has a share of the area and a ratio of sides drawn as torchvision's
    RandomResizedCrop draws them; without a key the draws are those of the empty one.

    Attributes:
        side_px: Side of every view.
        token_grid: Tokens of each.
        num_crops: Views in all, the centre one among them.
        seed: Of the draws.
        min_scale: Smallest share of the area; the largest is 1.
        flip: Whether each random crop is mirrored with even odds.
    """

    single_view: ClassVar[bool] = False

    side_px: int
    token_grid: Grid
    num_crops: int
    seed: int
    min_scale: float
    flip: bool

    def cut(self, size: Size) -> Cut:
        """Return the views of the sample of the empty key."""
        return self.cut_for(size, "")

    def cut_for(self, size: Size, key: str) -> Cut:
        """Return the views of the sample of this key."""
        draws = _Draws(self.seed, key)
        short = min(size.height, size.width)
        first = _square((size.height - short) // 2, (size.width - short) // 2, short)
        spots = [Spot(first)]
        for _ in range(1, self.num_crops):
            box = self._box(size, draws)
            spots.append(Spot(box, self.flip and draws.uniform() < _FLIP_SHARE))
        return _cut(identity(size), spots, self.side_px, self.token_grid)

    def _box(self, size: Size, draws: "_Draws") -> Box:
        for _ in range(_MOST_TRIES):
            area = size.num_pixels * draws.between(self.min_scale, 1.0)
            ratio = math.exp(draws.between(math.log(_MIN_RATIO), math.log(_MAX_RATIO)))
            width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < width <= size.width and 0 < height <= size.height:
                top = draws.below(size.height - height + 1)
                left = draws.below(size.width - width + 1)
                return Box(left, top, left + width, top + height)
        return _widest(size)


def _widest(size: Size) -> Box:
    """Return the largest centred part whose ratio is allowed, for images that leave no choice."""
    height, width = size.height, size.width
    ratio = width / height
    if ratio < _MIN_RATIO:
        height = max(1, round(width / _MIN_RATIO))
    elif ratio > _MAX_RATIO:
        width = max(1, round(height * _MAX_RATIO))
    top, left = (size.height - height) // 2, (size.width - width) // 2
    return Box(left, top, left + width, top + height)


def _middle(size: Size, side_px: int) -> tuple[Canvas, Box]:
    """Return the image with its short side at a length, and the square in the middle."""
    height, width, halvings = size.height, size.width, 0
    while min(height, width) >= 2 * side_px:
        height, width, halvings = height // 2, width // 2, halvings + 1
    scale = side_px / min(height, width)
    resized = Size(height=round(height * scale), width=round(width * scale))
    content = Box(0, 0, resized.width, resized.height)
    canvas = Canvas(resized, content, (resized,), "bicubic", halvings=halvings)
    top, left = (resized.height - side_px) // 2, (resized.width - side_px) // 2
    return canvas, _square(top, left, side_px)


def _square(top: int, left: int, side_px: int) -> Box:
    return Box(left, top, left + side_px, top + side_px)


def _cut(canvas: Canvas, spots: list[Spot], side_px: int, tokens: Grid) -> Cut:
    size = Size(height=side_px, width=side_px)
    views = tuple(
        View(
            f"crop-{index:03d}",
            "crop",
            0,
            spot.box,
            size,
            tokens.num_cells,
            tokens,
            flip=spot.flip,
        )
        for index, spot in enumerate(spots)
    )
    return Cut((canvas,), None, views)


class _Draws:
    """Uniform numbers that follow from a seed and a key, the same in every version and place."""

    def __init__(self, seed: int, key: str) -> None:
        self._start = hashlib.sha256(f"{seed}\n{key}".encode("utf-8", "surrogateescape"))
        self._count = 0

    def uniform(self) -> float:
        """Return the next number in [0, 1), of 53 random bits."""
        digest = self._start.copy()
        digest.update(self._count.to_bytes(8, "little"))
        self._count += 1
        return (int.from_bytes(digest.digest()[:8], "little") >> 11) / (1 << 53)

    def between(self, low: float, high: float) -> float:
        """Return the next number in [low, high)."""
        return low + (high - low) * self.uniform()

    def below(self, count: int) -> int:
        """Return the next whole number in [0, count)."""
        return min(int(self.uniform() * count), count - 1)
