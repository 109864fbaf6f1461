"""The adjustable part of a scheme: one frozen record of overrides, checked against what it has.

In: values a person gave. Out: a record whose fields are None where the scheme decides. This file
knows no scheme.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar, get_args

from vtok.errors import UsageError

Align = Literal["pad", "centre", "crop"]
Filter = Literal["nearest", "bilinear", "bicubic", "lanczos"]
T = TypeVar("T")

# Beyond these a plan could not be carried out: larger views fit no memory, more tiles no model.
_MOST_PX = 65_536
_MOST = {"max_tiles": 10_000, "min_tiles": 10_000, "crops": 1_000}
_LEAST = {"overlap_px": 0, "seed": 0}
_SHARES = {"crop_range": (1.0, 4.0), "min_crop_scale": (0.01, 1.0)}
_CHOICES = {"align": get_args(Align), "resample": get_args(Filter)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemeOptions:
    """Overrides of a scheme's own numbers; None leaves the scheme's default.

    Attributes:
        tile_size_px: Side of a tile, or of the one view of a scheme that squashes.
        max_tiles: Most tiles of a grid, thumbnail not counted.
        min_tiles: Fewest tiles of a grid.
        thumbnail: Whether the whole image is added as a view of its own.
        patch_px: Side of one patch of the encoder.
        max_tokens: Most tokens of one image.
        max_patches: Most patches of one image, where several patches become one token.
        min_pixels: Images with fewer pixels are enlarged to this many.
        max_pixels: Images with more pixels are reduced to this many.
        long_side_px: The long side that the image is brought (or limited) to.
        short_side_px: The short side that the image is brought to before the centre is cut out.
        overlap_px: Pixels that neighbouring tiles share.
        alignment_px: Sides of the view are multiples of this.
        align: How they become so: `pad` (border pixels repeated), `centre` (black around it) or
            `crop` (about the centre).
        resample: The filter of the resize.
        size_px: Side of the square that crops have.
        crops: Crops of one image, the centre one among them.
        seed: Of random crops.
        flip: Whether crops are mirrored too.
        crop_range: Side of what ten crops are taken from, in sides of a crop.
        min_crop_scale: Smallest share of the image's area that a random crop shows.
    """

    tile_size_px: int | None = None
    max_tiles: int | None = None
    min_tiles: int | None = None
    thumbnail: bool | None = None
    patch_px: int | None = None
    max_tokens: int | None = None
    max_patches: int | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    long_side_px: int | None = None
    short_side_px: int | None = None
    overlap_px: int | None = None
    alignment_px: int | None = None
    align: Align | None = None
    resample: Filter | None = None
    size_px: int | None = None
    crops: int | None = None
    seed: int | None = None
    flip: bool | None = None
    crop_range: float | None = None
    min_crop_scale: float | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that no scheme can work with."""
        for name, value in self.given().items():
            if name in _CHOICES:
                if value not in _CHOICES[name]:
                    raise UsageError(f"{name} must be {' or '.join(_CHOICES[name])}, not {value!r}")
            elif name in _SHARES:
                _check_share(name, value)
            elif name not in ("thumbnail", "flip"):
                _check_number(name, value)
        if self.min_tiles and self.max_tiles and self.min_tiles > self.max_tiles:
            raise UsageError(f"min_tiles {self.min_tiles} is above max_tiles {self.max_tiles}")
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise UsageError(f"min_pixels {self.min_pixels} is above max_pixels {self.max_pixels}")

    def given(self) -> dict[str, Any]:
        """Return the options that were set, by name."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) is not None
        }


def _check_number(name: str, value: object) -> None:
    least = _LEAST.get(name, 1)
    most = _MOST.get(name, _MOST_PX if name.endswith("_px") else None)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name} must be a whole number >= {least}, not {value!r}")
    if most is not None and value > most:
        raise UsageError(f"{name} must be at most {most}, not {value}")


def _check_share(name: str, value: float) -> None:
    low, high = _SHARES[name]
    if not low <= value <= high:  # NaN is not
        raise UsageError(f"{name} must be in [{low:g}, {high:g}], not {value!r}")


def known(value: T | None) -> T:
    """Return an option that the scheme's defaults are sure to set."""
    assert value is not None
    return value


def require(condition: bool, message: str) -> None:
    """Raise a usage error where an option cannot be what it is.

    Raises:
        UsageError: the condition does not hold.
    """
    if not condition:
        raise UsageError(message)
