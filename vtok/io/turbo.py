"""JPEG pixels by simplejpeg where it is installed: those of Pillow, bit for bit, in less time.

In: the bytes of a JPEG of three channels. Out: a Pillow image, or None where Pillow is to decode it
itself: simplejpeg is not there, does not take the file, or does not agree with Pillow on this
machine (both bring a libjpeg of their own). Whatever it refuses is left to Pillow, whose verdict is
then the same with and without it. This file knows no limits and no metadata.
"""

import functools
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

_Decode = Callable[..., Any]

_PROBE_PX = 53  # no multiple of a block: edges and fractions of chroma are looked at as well


def decode_rgb(data: bytes) -> Image.Image | None:
    """Return the stored pixels of a JPEG, mode RGB; None where Pillow is to decode it.

    Args:
        data: The encoded image; its header has been checked.
    """
    decode = _trusted()
    if decode is None:
        return None
    try:
        pixels = decode(
            data, "RGBX"
        )  # four bytes a pixel are what Pillow keeps: copied as they lie
    except (ValueError, MemoryError, RuntimeError):
        return None
    height, width, _ = pixels.shape
    return Image.frombytes("RGB", (width, height), pixels.data, "raw", "RGBX")


@functools.cache
def _trusted() -> _Decode | None:
    """Return simplejpeg's decoder if it is here and its pixels are Pillow's."""
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        return None
    decode: _Decode = decode_jpeg
    rows, cols = np.mgrid[0:_PROBE_PX, 0 : 2 * _PROBE_PX].astype(np.float64)
    waves = [127 + 120 * np.sin(rows / (2 + k) + k) * np.cos(cols * (k + 1) / 5) for k in range(3)]
    probe = Image.fromarray(np.stack(waves, 2).astype(np.uint8))
    for subsampling in (0, 1, 2):
        buffer = io.BytesIO()
        probe.save(buffer, "JPEG", quality=80, subsampling=subsampling)
        ours = np.asarray(Image.open(buffer))
        if not np.array_equal(ours, decode(buffer.getvalue(), "RGB")):
            return None
    return decode
