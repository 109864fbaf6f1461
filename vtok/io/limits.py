"""What an image may ask of the machine, and which formats are taken: numbers and names only.

Imports no decoder, so that a command line can show the defaults. `vtok.io.images` enforces them.
"""

from dataclasses import dataclass

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeLimits:
    """What an image may ask of the machine.

    The defaults keep a process that decodes under 1 GB.

    Attributes:
        max_pixels: Height times width; fewer for what takes more memory a pixel than most do
            (`most_pixels`).
        max_side_px: The longer side.
        max_aspect: Longer side over shorter side; a 1 x 10000 strip resized by its short side
            would become gigabytes.
        max_file_bytes: Length of the encoded image.
        max_scans: Passes of a progressive JPEG; cameras and encoders write about ten.
        formats: Names of the formats to take; Pillow's names beyond `FORMATS` may be added.
    """

    max_pixels: int = 89_478_485
    max_side_px: int = 65_535
    max_aspect: float = 200.0
    max_file_bytes: int = 256 << 20
    max_scans: int = 100
    formats: tuple[str, ...] = FORMATS

    def __post_init__(self) -> None:
        for name in ("max_pixels", "max_side_px", "max_file_bytes", "max_scans"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.max_aspect >= 1:
            raise ValueError(f"max_aspect must be at least 1, not {self.max_aspect}")

    def most_pixels(self, form: str, mode: str) -> int:
        """Return how many pixels an image of this format and mode may have.

        Args:
            form: Pillow's name of the format.
            mode: Pillow's name of the stored pixels.
        """
        bytes_a_pixel = max(
            _BYTES_A_PIXEL,
            _BYTES_BY_FORMAT.get((form, mode), 0),
            _BYTES_BY_MODE.get(mode.removesuffix(";16"), 0),
        )
        return self.max_pixels * _BYTES_A_PIXEL // bytes_a_pixel


# The highest use of memory while one pixel becomes upright sRGB, with a colour profile, measured at
# up to 89 megapixels (`pytest --torture tests/torture/test_bad_input.py` prints the highest).
_BYTES_A_PIXEL = 10
_BYTES_BY_MODE = {"RGBA": 17, "LA": 17, "RGBa": 17, "La": 17, "F": 17, "I": 12, "CMYK": 12}
_BYTES_BY_FORMAT = {
    ("WEBP", "RGB"): 19, ("WEBP", "RGBA"): 24, ("AVIF", "RGB"): 15, ("AVIF", "RGBA"): 20,
}  # fmt: skip
