"""Safe decoding: bytes of unknown origin become one upright 8-bit sRGB picture, or a typed failure.

In: the encoded bytes and the limits. Out: `DecodedImage`, with every conversion stated. The header
is checked against the limits before a pixel is decoded; decoding itself belongs in a supervised
process, since a decoder may still be slow, or crash (`vtok.engine.decoding`). Nothing here loads
torch, follows a path inside a file, or tolerates a truncated image.

Conversion codes: `first-frame` (of an animation or a multi-page file), `orientation-N` (EXIF
orientation N applied), `reduced-N` (every N x N pixels of a JPEG decoded as one), and those of
`vtok.io.colour`.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from vtok.errors import CorruptImageError, ImageTooLargeError
from vtok.io import turbo
from vtok.io.colour import WHITE, Colour, to_srgb
from vtok.io.foreign import decoder_errors, open_image
from vtok.io.headers import ImageHeader, read_header, sniff
from vtok.io.limits import FORMATS, DecodeLimits
from vtok.io.plain_jpegs import plain_size
from vtok.io.scans import count_scans, is_too_short, takes_one_scan
from vtok.records import Size

__all__ = [
    "FORMATS",
    "WHITE",
    "DecodeLimits",
    "DecodedImage",
    "ImageHeader",
    "check_limits",
    "decode",
    "read_header",
    "sniff",
]

REDUCTIONS = (8, 4, 2)
"""What a JPEG decoder can leave out exactly: 8 frequencies a side, halved."""

ChooseReduction = Callable[[Size], int]
Pixels = npt.NDArray[np.uint8]

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImage:
    """One upright picture.

    Attributes:
        picture: 8-bit sRGB, as its decoder gave it: an image of mode RGB or (H, W, 3) uint8.
        size: Height and width of the upright picture that is stored.
        conversions: Codes of everything that was done to the stored pixels, in order.
        reduction: How many stored pixels a side became one of `picture`; 1 but where it was asked
            for. The last of a row or column may stand for fewer.
    """

    picture: Image.Image | Pixels
    size: Size
    conversions: tuple[str, ...]
    reduction: int = 1

    @property
    def image(self) -> Image.Image:
        """The picture as an image, mode RGB."""
        picture = self.picture
        return picture if isinstance(picture, Image.Image) else Image.fromarray(picture)


def decode(
    data: bytes,
    limits: DecodeLimits | None = None,
    *,
    background: Colour = WHITE,
    choose_reduction: ChooseReduction | None = None,
) -> DecodedImage:
    """Decode the first picture of an encoded image, upright, in 8-bit sRGB.

    Args:
        data: The encoded image.
        limits: What it may ask for; the defaults if None.
        background: What shows through transparent pixels.
        choose_reduction: Size of the upright image → by how much a JPEG may be reduced while it is
            decoded; None decodes every pixel.

    Raises:
        UnknownFormatError: it is no image, or of a format that is not allowed.
        ImageTooLargeError: it is past a limit; found before decoding.
        CorruptImageError: it cannot be decoded whole.
    """
    limits = limits or DecodeLimits()
    check_file_bytes(len(data), limits)
    plain = plain_size(data) if "JPEG" in limits.formats else None
    if plain is not None:
        header = ImageHeader(format="JPEG", size=plain, mode="RGB", orientation=1, num_frames=1)
    else:
        header = read_header(data, formats=limits.formats)
    check_limits(header, limits)
    if header.format == "JPEG":
        if plain is None:
            _check_scans(data, limits)
        if is_too_short(data, header.size.num_pixels):
            raise CorruptImageError(f"JPEG: {len(data)} bytes cannot hold {header.size} pixels")
    reduction = _reduction(header, choose_reduction)
    if plain is not None:
        pixels = _turbo_pixels(data, header.size, reduction)
        if pixels is not None:
            return _as_decoded(pixels, header, reduction)
    with open_image(io.BytesIO(data), (header.format,), max_pixels=limits.max_pixels) as stored:
        _check_agreement(stored, header)
        pixels = None
        if header.format == "JPEG" and stored.mode == "RGB" and plain is None:
            stored_size = Size(height=stored.height, width=stored.width)
            pixels = _turbo_pixels(data, stored_size, reduction)
        if pixels is not None and header.orientation == 1 and "icc_profile" not in stored.info:
            return _as_decoded(pixels, header, reduction)
        done = _begun(header, reduction)
        picture = _load(stored, reduction, pixels)
        if header.orientation != 1:
            done.append(f"orientation-{header.orientation}")
            if header.format != "TIFF":  # Pillow turns a TIFF while it loads
                picture = picture.transpose(_TURNS[header.orientation])
                picture.info = stored.info
        with decoder_errors(header.format):
            picture, codes = to_srgb(
                picture, background=background, is_deep=header.mode.endswith(";16")
            )
    _check_decoded(header, reduction, picture.height, picture.width)
    return DecodedImage(
        picture=picture, size=header.size, conversions=(*done, *codes), reduction=reduction
    )


def _reduction(header: ImageHeader, choose: ChooseReduction | None) -> int:
    """Return how many pixels a side the decoder is to make one."""
    if choose is None or header.format != "JPEG":
        return 1
    reduction = choose(header.size)
    upright = header.size
    is_whole = upright.height % reduction == 0 and upright.width % reduction == 0
    if header.orientation != 1 and not is_whole:
        return 1  # a turn would bring the part of a pixel at the right or lower edge elsewhere
    return reduction


def _turbo_pixels(data: bytes, stored: Size, reduction: int) -> Pixels | None:
    """Return the stored pixels of a JPEG in mode RGB where simplejpeg has them; they are Pillow's.

    Args:
        data: The encoded image.
        stored: Its size before it is turned upright.
        reduction: How many pixels a side become one.
    """
    if reduction == 1:
        return turbo.decode_rgb(data)
    reduced = _reduced(stored, reduction)
    return turbo.decode_rgb(data, (reduced.height, reduced.width))


def _as_decoded(pixels: Pixels, header: ImageHeader, reduction: int) -> DecodedImage:
    """Return pixels that are upright and in sRGB as they are."""
    _check_decoded(header, reduction, pixels.shape[0], pixels.shape[1])
    done = tuple(_begun(header, reduction))
    return DecodedImage(picture=pixels, size=header.size, conversions=done, reduction=reduction)


def _begun(header: ImageHeader, reduction: int) -> list[str]:
    """Return the codes of what is done to every picture of such a header while it is decoded."""
    done = ["first-frame"] if header.num_frames > 1 else []
    return [*done, f"reduced-{reduction}"] if reduction > 1 else done


def _load(stored: Image.Image, reduction: int, pixels: Pixels | None) -> Image.Image:
    """Return the stored pixels as an image, with Pillow's notes on them."""
    if pixels is not None:
        picture = Image.fromarray(pixels)
        picture.info = stored.info
        return picture
    if reduction > 1:
        stored.draft(None, (stored.width // reduction, stored.height // reduction))
    stored.load()
    return stored


def _check_decoded(header: ImageHeader, reduction: int, height: int, width: int) -> None:
    """Refuse an image that did not become what its header says."""
    size = Size(height=height, width=width)
    if size != _reduced(header.size, reduction):
        raise CorruptImageError(f"{header.format}: says {header.size} and decodes to {size}")


def _reduced(size: Size, reduction: int) -> Size:
    """Return the size of a picture of which so many pixels a side became one, edges kept."""
    return Size(height=-(-size.height // reduction), width=-(-size.width // reduction))


def check_file_bytes(num_bytes: int, limits: DecodeLimits) -> None:
    """Refuse an encoded image that is too long to read.

    Raises:
        ImageTooLargeError: it is.
    """
    if num_bytes > limits.max_file_bytes:
        raise ImageTooLargeError(
            f"the file has {num_bytes} bytes, more than {limits.max_file_bytes}"
        )


def check_limits(header: ImageHeader, limits: DecodeLimits) -> None:
    """Refuse an image whose header is past a limit on its size.

    Raises:
        ImageTooLargeError: it is; the message gives both numbers.
    """
    size = header.size
    long, short = max(size.height, size.width), min(size.height, size.width)
    most = limits.most_pixels(header.format, header.mode)
    if size.num_pixels > most:
        kind = "" if most == limits.max_pixels else f" as {header.mode} in {header.format}"
        raise ImageTooLargeError(f"{size} is {size.num_pixels} pixels (at most {most}{kind})")
    if long > limits.max_side_px:
        raise ImageTooLargeError(f"{size} has a side longer than {limits.max_side_px} pixels")
    if long > short * limits.max_aspect:
        raise ImageTooLargeError(
            f"{size} is more than {limits.max_aspect:g} times as long as it is narrow"
        )


def _check_scans(data: bytes, limits: DecodeLimits) -> None:
    """Refuse a JPEG that makes the decoder pass over the picture again and again."""
    if takes_one_scan(data):
        return
    # Few pairs of bytes mean few scans; many may also lie in a video behind the picture.
    if data.count(b"\xff\xda") > limits.max_scans:
        num_scans = count_scans(data)
        if num_scans > limits.max_scans:
            raise ImageTooLargeError(f"JPEG of {num_scans} scans (at most {limits.max_scans})")


def _check_agreement(stored: Image.Image, header: ImageHeader) -> None:
    """Refuse an image whose decoder sees another size than the one that was checked."""
    sides = sorted((header.size.height, header.size.width))
    if sorted(stored.size) != sides:
        raise CorruptImageError(
            f"{header.format}: its headers contradict each other "
            f"({header.size} and {stored.width}x{stored.height})"
        )
