"""Pixels as image files: PNG and lossless WebP keep every one, JPEG and WebP are smaller.

In: (H, W, 3) uint8. Out: encoded bytes, the same each time. Knows nothing of where they go.
"""

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from vtok.errors import ImageTooLargeError
from vtok.pipelines.config.parts import ImageConfig, ImageFormatName

Pixels = npt.NDArray[np.uint8]

_PNG_LEVEL = 3
"""Of zlib, 0 to 9: photographs get 2 % smaller at 6, for twice the time."""

_LONGEST_SIDE_PX = {"jpg": 65_500, "webp": 16_383}
"""What the formats, or the libraries that write them, can hold."""

_LOSSLESS_WEBP_METHOD = 1
"""Of libwebp, 0 to 6: photographs get 3 % smaller at 4, for nearly three times the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCodec:
    """How pixels become files; small and picklable.

    Attributes:
        format: Which is the file's ending too.
        quality: Of jpg and webp; None keeps every pixel (png, lossless webp).
    """

    format: ImageFormatName
    quality: int | None

    @classmethod
    def of(cls, config: ImageConfig) -> "ImageCodec":
        """Return the codec that was asked for."""
        return cls(format=config.format, quality=config.quality_in_force)

    def check(self, pixels: Pixels) -> None:
        """Refuse what the format cannot hold.

        Raises:
            ImageTooLargeError: the format has no room for so long a side.
        """
        most = _LONGEST_SIDE_PX.get(self.format)
        if most is not None and max(pixels.shape[:2]) > most:
            height, width = pixels.shape[:2]
            raise ImageTooLargeError(
                f"a view of {width}x{height} has a side longer than {self.format} holds ({most})"
            )

    def encode(self, pixels: Pixels) -> bytes:
        """Return the file's bytes.

        Raises:
            ImageTooLargeError: the format has no room for so long a side.
        """
        self.check(pixels)
        file = io.BytesIO()
        image = Image.fromarray(pixels)
        if self.format == "png":
            image.save(file, "PNG", compress_level=_PNG_LEVEL)
        elif self.format == "jpg":
            # Colour at full resolution: small coloured text survives, which is what is read.
            image.save(file, "JPEG", quality=self.quality, subsampling="4:4:4")
        elif self.quality is None:
            image.save(file, "WEBP", lossless=True, method=_LOSSLESS_WEBP_METHOD)
        else:
            image.save(file, "WEBP", quality=self.quality, method=4)
        return file.getvalue()
