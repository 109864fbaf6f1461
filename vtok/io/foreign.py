"""The one door to Pillow's decoders: quiet, restricted to named formats, failing with our errors.

In: a binary file and the names of the formats to try. Out: a Pillow image, or a `SampleError` of
one line. Whatever a decoder does wrong with untrusted bytes (any exception, a warning, running out
of memory) ends here. This file knows nothing of limits on size, colours or orientation.
"""

import importlib
import logging
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import BinaryIO

from PIL import Image, ImageFile, UnidentifiedImageError

from vtok.errors import CorruptImageError, ImageTooLargeError, SampleError, UnknownFormatError

_PLUGINS = {
    "JPEG": "Jpeg", "PNG": "Png", "WEBP": "WebP", "GIF": "Gif", "BMP": "Bmp", "TIFF": "Tiff",
    "AVIF": "Avif",
}  # fmt: skip


# What Pillow logs of a damaged file names none, and goes to standard error where nobody listens.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_PIXEL_LIMIT_LOCK = threading.Lock()


class _Strictness:
    """Holds Pillow to whole images while any thread decodes, whatever the caller has set it to.

    `LOAD_TRUNCATED_IMAGES` is global: under it a damaged file would decode to grey, as if whole.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_inside = 0
        self._before = False

    def __enter__(self) -> None:
        with self._lock:
            if self._num_inside == 0:
                self._before = ImageFile.LOAD_TRUNCATED_IMAGES
                ImageFile.LOAD_TRUNCATED_IMAGES = False
            self._num_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._num_inside -= 1
            if self._num_inside == 0:
                ImageFile.LOAD_TRUNCATED_IMAGES = self._before


_STRICTNESS = _Strictness()


@contextmanager
def decoder_errors(name: str) -> Iterator[None]:
    """Run a decoder of this format: silence its warnings, turn its exceptions into typed ones.

    Raises:
        ImageTooLargeError: it ran out of memory, or past Pillow's own limit.
        CorruptImageError: it failed in any other way.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except SampleError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(f"{name}: {_one_line(error)}") from error
    except MemoryError as error:
        raise ImageTooLargeError(f"{name}: decoding needs more memory than there is") from error
    except UnidentifiedImageError as error:
        raise CorruptImageError(f"{name}: damaged, or of a kind that is not decoded") from error
    except Exception as error:
        text = _one_line(error)
        if "Decompressed data too large" in text:
            raise ImageTooLargeError(f"{name}: a text or colour chunk expands too far") from error
        raise CorruptImageError(f"{name}: {text}") from error


@contextmanager
def open_image(
    file: BinaryIO, formats: tuple[str, ...], *, max_pixels: int | None = None
) -> Iterator[Image.Image]:
    """Open an image as one of the named formats, for the length of the block; no truncated one.

    Args:
        file: The encoded image.
        formats: The names of the formats to try.
        max_pixels: What the caller has let pass; None where it only reads the header. Pillow's own
            limit is lifted when it is lower, for one thread at a time, as it is global.

    Raises:
        CorruptImageError: no decoder of these formats takes it.
        ImageTooLargeError: its decoder asks for too much.
        UnknownFormatError: Pillow has no decoder of such a name.
    """
    _register(formats)
    lifted = max_pixels is None or max_pixels > (Image.MAX_IMAGE_PIXELS or max_pixels)
    with (
        _STRICTNESS,
        _without_pixel_limit() if lifted else nullcontext(),
        decoder_errors("/".join(formats)),
        Image.open(file, formats=formats) as image,
    ):
        yield image


@contextmanager
def _without_pixel_limit() -> Iterator[None]:
    with _PIXEL_LIMIT_LOCK:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _register(formats: tuple[str, ...]) -> None:
    """Load the decoders by name: Pillow's own search would import every plugin it has."""
    for name in formats:
        if name in Image.OPEN:
            continue
        if name in _PLUGINS:
            importlib.import_module(f"PIL.{_PLUGINS[name]}ImagePlugin")
        else:
            Image.init()
        if name not in Image.OPEN:
            raise UnknownFormatError(f"Pillow has no decoder named {name}")


def _one_line(error: BaseException) -> str:
    if isinstance(error, struct.error):
        return "a field is cut"
    return " ".join(str(error).split())[:200] or type(error).__name__
