"""Any pixels that a decoder hands over become 8-bit sRGB on an opaque background.

In: a loaded Pillow image. Out: the same picture in mode RGB, and what was done to it, as short
stable codes:

    16-bit        16 bits a channel brought to 8 (65535 becomes 255)
    int32-scaled  32-bit integers: as they are up to 255, as 16-bit up to 65535, else min..max
    float-scaled  floats: times 255 where all are in [0, 1], as they are in [0, 255], else min..max
    bilevel, grey, palette, cmyk, ycbcr, lab, hsv
                  the stored kind of colour, brought to RGB
    icc           colours brought from the embedded profile to sRGB (perceptual intent)
    icc-ignored   there was a profile, but a damaged, huge or unfitting one
    alpha-RRGGBB  transparency composited on this colour

This file knows nothing of formats, sizes, orientation or frames.
"""

import functools
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageChops

from vtok.errors import CorruptImageError

if TYPE_CHECKING:
    from PIL import ImageCms

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)

MAX_ICC_BYTES = 4 << 20

_KINDS = {"1": "bilevel", "L": "grey", "CMYK": "cmyk", "YCbCr": "ycbcr", "LAB": "lab", "HSV": "hsv"}
_SPACES = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK"}


def to_srgb(
    image: Image.Image, *, background: Colour = WHITE, is_deep: bool = False
) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the picture in 8-bit sRGB, and the codes of what was done.

    Args:
        image: A loaded image of any mode.
        background: What shows through transparent pixels, in sRGB.
        is_deep: The file has 16 bits a channel (Pillow may have kept the upper 8 already).

    Raises:
        CorruptImageError: a float pixel is NaN or infinite.
    """
    profile = image.info.get("icc_profile")
    done = ["16-bit"] if is_deep else []
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        image, alpha = _to_8_bit(image, done)
    else:
        image, alpha = _split_alpha(image, done)
    if alpha is not None and alpha.getextrema() == (255, 255):
        alpha = None
    if isinstance(profile, bytes) and profile and image.mode != "LAB":
        image = _apply_profile(image, profile, done)
    if image.mode != "RGB":
        done.append(_KINDS.get(image.mode, image.mode.lower()))
        image = _lab_to_rgb(image) if image.mode == "LAB" else image.convert("RGB")
    if alpha is not None:
        # Painted over in place: a canvas of its own would be a third copy of a large picture.
        image.paste(background, mask=ImageChops.invert(alpha))
        done.append("alpha-{:02x}{:02x}{:02x}".format(*background))
    return image, tuple(done)


def _to_8_bit(image: Image.Image, done: list[str]) -> tuple[Image.Image, Image.Image | None]:
    """Bring one deep grey channel to 8 bits without clipping; return it and its alpha."""
    values = np.asarray(image)
    transparent = image.info.get("transparency")
    if image.mode == "F":
        grey = _scale_floats(values)
        done.append("float-scaled")
    elif image.mode == "I" and (values.min() < 0 or values.max() > 0xFFFF):
        grey = _stretch(values)
        done.append("int32-scaled")
    elif image.mode == "I" and "16-bit" not in done and values.max() <= 0xFF:
        grey = values.astype(np.uint8)
        done.append("int32-scaled")
    else:
        grey = _table_16_to_8()[values]
        if "16-bit" not in done:
            done.append("16-bit" if image.mode.startswith("I;16") else "int32-scaled")
    alpha = None
    if isinstance(transparent, int):
        alpha = Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8))
    return Image.fromarray(grey), alpha


@functools.cache
def _table_16_to_8() -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Return the nearest 8-bit level of every 16-bit one: 65536 entries."""
    levels = np.arange(65536, dtype=np.uint32)
    return ((levels * 255 + 32767) // 65535).astype(np.uint8)


def _scale_floats(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise CorruptImageError("a float pixel is NaN or infinite")
    if low >= 0 and high <= 1:
        values = values * np.float32(255)
    elif low < 0 or high > 255:
        return _stretch(values)
    levels: np.ndarray = np.rint(values).astype(np.uint8)
    return levels


def _stretch(values: np.ndarray) -> np.ndarray:
    """Bring min..max to 0..255, linearly; a flat picture becomes black."""
    low, high = float(values.min()), float(values.max())
    scaled = (values.astype(np.float64) - low) * (255 / max(high - low, 1e-300))
    levels: np.ndarray = np.rint(scaled).astype(np.uint8)
    return levels


def _split_alpha(image: Image.Image, done: list[str]) -> tuple[Image.Image, Image.Image | None]:
    """Return the colours without transparency, and the transparency if there is any."""
    has_key = "transparency" in image.info
    if image.mode in {"P", "PA"}:
        done.append("palette")
        image = image.convert("RGBA" if has_key or image.mode == "PA" else "RGB")
    elif image.mode in {"1", "L", "RGB"} and has_key:
        image = image.convert("RGBA" if image.mode == "RGB" else "LA")
    elif image.mode in {"RGBa", "La"}:  # alpha already multiplied in
        image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
    elif image.mode == "RGBX":
        image = image.convert("RGB")
    if image.mode not in {"RGBA", "LA"}:
        return image, None
    alpha = image.getchannel("A")
    return image.convert(image.mode[:-1]), alpha


def _apply_profile(image: Image.Image, profile: bytes, done: list[str]) -> Image.Image:
    """Bring colours from an embedded profile to sRGB, where that makes sense."""
    from PIL import ImageCms

    if len(profile) > MAX_ICC_BYTES:
        done.append("icc-ignored")
        return image
    try:
        space, is_srgb = _profile_facts(profile)
        if is_srgb and image.mode in {"1", "L", "RGB"}:
            return image
        if space == "RGB " and image.mode in {"1", "L"}:
            done.append(_KINDS[image.mode])
            image = image.convert("RGB")
        if _SPACES.get(image.mode) != space:
            done.append("icc-ignored")
            return image
        kind = _KINDS.get(image.mode)
        converted = ImageCms.applyTransform(image, _transform(profile, image.mode))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        done.append("icc-ignored")
        return image
    if converted is None:
        raise CorruptImageError("the colour profile gave no picture")
    done.extend(["icc"] if kind is None else [kind, "icc"])
    return converted


@functools.lru_cache(maxsize=16)
def _profile_facts(profile: bytes) -> tuple[str, bool]:
    """Return a profile's colour space, and whether it is sRGB by its own description."""
    from PIL import ImageCms

    core = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
    description = (core.profile_description or "").strip()
    return core.xcolor_space, description.startswith("sRGB")


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> "ImageCms.ImageCmsTransform":
    from PIL import ImageCms

    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.PERCEPTUAL,
    )


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    if converted is None:
        raise CorruptImageError("the LAB colours could not be brought to RGB")
    return converted
