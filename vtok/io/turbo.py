"""JPEG pixels by simplejpeg where it is installed: those of Pillow, bit for bit, in less time.

In: the bytes of a JPEG of three channels. Out: its pixels, or None where Pillow is to decode it
itself: simplejpeg is not there, does not take the file, or does not agree with Pillow on this
machine (both bring a libjpeg of their own). Whatever it refuses is left to Pillow, whose verdict is
then the same with and without it. This file knows no limits and no metadata.
"""

import functools
import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL.JpegImagePlugin import JpegImageFile

Pixels = npt.NDArray[np.uint8]
_Decode = Callable[..., Pixels]

_PROBE_PX = 53  # no multiple of a block: edges and fractions of chroma are looked at as well


def decode_rgb(data: bytes, size: tuple[int, int] | None = None) -> Pixels | None:
    """Return the stored pixels of a JPEG, (H, W, 3) uint8; None where Pillow is to decode it.

    Args:
        data: The encoded image; its header has been checked.
        size: Height and width to decode it at: a half, a quarter or an eighth of what is stored,
            rounded up. None for all pixels.
    """
    decode = _trusted()
    if decode is None:
        return None
    try:
        return decode(data, "RGB") if size is None else _decode_at(decode, data, size)
    except (ValueError, MemoryError, RuntimeError):
        return None


def _decode_at(decode: _Decode, data: bytes, size: tuple[int, int]) -> Pixels | None:
    """Return the pixels at the size, or None if the decoder prefers another."""
    pixels = decode(data, "RGB", min_height=size[0], min_width=size[1], min_factor=2)
    return pixels if pixels.shape[:2] == size else None


@functools.cache
def _trusted() -> _Decode | None:
    """Return simplejpeg's decoder if it is here and its pixels are Pillow's."""
    try:
        from simplejpeg import decode_jpeg, encode_jpeg
    except ImportError:
        return None
    decode: _Decode = decode_jpeg
    rows, cols = np.mgrid[0:_PROBE_PX, 0 : 2 * _PROBE_PX].astype(np.float64)
    waves = [127 + 120 * np.sin(rows / (2 + k) + k) * np.cos(cols * (k + 1) / 5) for k in range(3)]
    probe = np.stack(waves, 2).astype(np.uint8)
    for subsampling in ("444", "422", "420"):
        data = encode_jpeg(probe, 80, "RGB", subsampling)
        if not np.array_equal(np.asarray(_open(data)), decode(data, "RGB")):
            return None
        for reduction in (2, 4, 8):
            reduced = _open(data)
            reduced.draft(None, (reduced.width // reduction, reduced.height // reduction))
            theirs = np.asarray(reduced)
            ours = _decode_at(decode, data, (theirs.shape[0], theirs.shape[1]))
            if ours is None or not np.array_equal(ours, theirs):
                return None
    return decode


def _open(data: bytes) -> JpegImageFile:
    """Return Pillow's view of a JPEG; asked for any image, it would load its other decoders too."""
    return JpegImageFile(io.BytesIO(data))
