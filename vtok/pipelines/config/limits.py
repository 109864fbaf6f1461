"""What one image may ask of the machine, as a run's options say.

In: numbers from the command line or a caller. Out: the limits of decoding and of a decode worker.
Limits on what an image is (pixels, bytes, scans, format) decide which images are written, so they
are part of the plan where they are not the defaults. Time and memory depend on the machine, and
are not: a run may be resumed, or its failures retried, with more of them.
"""

import difflib
from dataclasses import dataclass
from typing import Any

from vtok.errors import UnknownNameError, UsageError
from vtok.io.limits import FORMATS, DecodeLimits

DEFAULT_TIMEOUT_S = 18.0
DEFAULT_MEMORY_BYTES = 2 << 30
MIN_MEMORY_BYTES = 512 << 20

_DEFAULTS = DecodeLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitConfig:
    """What an image may ask for.

    Attributes:
        max_image_pixels: Height times width.
        max_image_side: The longer side, in pixels.
        max_aspect: Longer side over shorter side.
        max_file_bytes: Length of the encoded image.
        max_scans: Passes of a progressive JPEG.
        allow_format: Pillow's names of formats to take beside those that always are.
        decode_timeout: Seconds for one image, reading included.
        decode_memory: Bytes of address space of a decode worker.
    """

    max_image_pixels: int = _DEFAULTS.max_pixels
    max_image_side: int = _DEFAULTS.max_side_px
    max_aspect: float = _DEFAULTS.max_aspect
    max_file_bytes: int = _DEFAULTS.max_file_bytes
    max_scans: int = _DEFAULTS.max_scans
    allow_format: tuple[str, ...] = ()
    decode_timeout: float = DEFAULT_TIMEOUT_S
    decode_memory: int = DEFAULT_MEMORY_BYTES

    def __post_init__(self) -> None:
        """Refuse limits under which nothing could be decoded."""
        least: tuple[tuple[str, float, float], ...] = (
            ("--max-image-pixels", self.max_image_pixels, 1),
            ("--max-image-side", self.max_image_side, 1),
            ("--max-aspect", self.max_aspect, 1),
            ("--max-file-bytes", self.max_file_bytes, 1),
            ("--max-scans", self.max_scans, 1),
            ("--decode-timeout", self.decode_timeout, 0.1),
            ("--decode-memory", self.decode_memory, MIN_MEMORY_BYTES),
        )
        for flag, value, minimum in least:
            if not value >= minimum:
                raise UsageError(f"{flag} must be at least {minimum}, not {value}")
        if self.max_image_pixels > 2 * _DEFAULTS.max_pixels:
            raise UsageError(
                f"--max-image-pixels is at most {2 * _DEFAULTS.max_pixels}: plans of larger images "
                "are not read back"
            )
        for name in self.allow_format:
            if not name.isalnum():
                raise UsageError(f"--allow-format takes a name such as JPEG2000, not {name!r}")

    def for_decoding(self) -> DecodeLimits:
        """Return the limits on what an image is."""
        extra = tuple(name.upper() for name in self.allow_format if name.upper() not in FORMATS)
        return DecodeLimits(
            max_pixels=self.max_image_pixels,
            max_side_px=self.max_image_side,
            max_aspect=self.max_aspect,
            max_file_bytes=self.max_file_bytes,
            max_scans=self.max_scans,
            formats=(*FORMATS, *extra),
        )

    def extensions(self) -> frozenset[str]:
        """Return the endings of names that the formats taken beside the usual ones have.

        Raises:
            UnknownNameError: Pillow has no decoder of such a name here.
        """
        if not self.allow_format:
            return frozenset()
        from PIL import Image

        names = {name.upper() for name in self.allow_format}
        endings = Image.registered_extensions()
        for name in sorted(names - set(Image.OPEN)):
            near = difflib.get_close_matches(name, Image.OPEN)
            hint = f": did you mean {' or '.join(near)}?" if near else ""
            raise UnknownNameError(f"--allow-format: Pillow reads no format {name!r}{hint}")
        return frozenset(ending for ending, name in endings.items() if name in names)

    def to_json(self) -> dict[str, Any]:
        """Return the limits that a plan keeps: those on images that are not the defaults."""
        kept: dict[str, Any] = {
            "max_image_pixels": self.max_image_pixels,
            "max_image_side": self.max_image_side,
            "max_aspect": self.max_aspect,
            "max_file_bytes": self.max_file_bytes,
            "max_scans": self.max_scans,
        }
        defaults = LimitConfig()
        limits = {name: value for name, value in kept.items() if value != getattr(defaults, name)}
        formats = sorted({name.upper() for name in self.allow_format} - set(FORMATS))
        return {**limits, **({"allow_format": formats} if formats else {})}
