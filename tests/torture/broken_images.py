"""Files as they come from the wild, and worse: generated, each with what may become of it.

In: a folder. Out: in it, some two thousand files of a dozen classes, and for each class the reasons
with which its files may fail (`WRITTEN` where they may also be written). The same bytes every time.
Nothing is fetched; no file is larger than some megabytes, whatever it claims to be.
"""

import io
import os
import random
import socket
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageCms

WRITTEN = "written"
DAMAGE = frozenset({WRITTEN, "corrupt", "not-an-image", "too-large", "degenerate-size"})
SOUND = frozenset({WRITTEN})
NO_IMAGE = frozenset({"not-an-image"})
BOMB = frozenset({"too-large", "corrupt", "timeout"})
UNREADABLE = frozenset({"unreadable"})
EITHER = DAMAGE | {"timeout"}

FORMATS = {
    "jpg": ("JPEG", {"quality": 90}), "png": ("PNG", {}), "webp": ("WEBP", {"lossless": True}),
    "gif": ("GIF", {}), "bmp": ("BMP", {}), "tiff": ("TIFF", {}), "avif": ("AVIF", {}),
}  # fmt: skip


class Specimen(NamedTuple):
    """One file.

    Attributes:
        group: What the table calls its class.
        name: Its name in the class's folder.
        data: Its bytes.
        may: What may become of it.
    """

    group: str
    name: bytes
    data: bytes
    may: frozenset[str]


def write_corpus(folder: Path, chosen: Iterable[Specimen] | None = None) -> dict[bytes, Specimen]:
    """Write specimens, all of them by default; return them by their path under the folder."""
    written = {}
    for specimen in specimens() if chosen is None else chosen:
        path = os.path.join(specimen.group.replace(" ", "-").encode(), specimen.name)
        whole = os.path.join(os.fsencode(folder), path)
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "wb") as file:
            file.write(specimen.data)
        written[path] = specimen
    return written


def specimens(*, is_short: bool = False) -> Iterator[Specimen]:
    """Yield every file of the corpus; those that take seconds to make are left out if short."""
    yield from truncations()
    yield from flipped_bits()
    yield from wrong_extensions()
    yield from no_images()
    yield from odd_modes()
    yield from orientations()
    yield from animations()
    yield from odd_names()
    yield from pixel_bombs()
    yield from scan_bombs()
    if not is_short:
        yield from largest()
    yield from chunk_bombs()
    yield from tiff_bombs()


def picture(height: int = 48, width: int = 64, seed: int = 0) -> Image.Image:
    """Return a smooth picture with some noise on it, so that no format makes it tiny."""
    draw = np.random.default_rng(seed)
    coarse = Image.fromarray(draw.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    noisy = smooth + draw.integers(-20, 20, smooth.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """Return the bytes of an image in a format."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def sound() -> dict[str, bytes]:
    """Return one whole image of every format, by extension."""
    return {
        extension: encoded(picture(), form, **options)
        for extension, (form, options) in FORMATS.items()
    }


def truncations() -> Iterator[Specimen]:
    """Yield every format cut at every 64 bytes (large ones at as many places)."""
    for extension, data in sound().items():
        step = max(64, len(data) // 150 // 64 * 64)
        for cut in range(0, len(data), step):
            name = f"{extension}-{cut:06d}.{extension}".encode()
            yield Specimen("truncated", name, data[:cut], DAMAGE)
    progressive = encoded(picture(), "JPEG", progressive=True)
    for cut in range(0, len(progressive), 64):
        yield Specimen("truncated", b"scans-%06d.jpg" % cut, progressive[:cut], DAMAGE)


def flipped_bits() -> Iterator[Specimen]:
    """Yield every format with one to eight bits flipped."""
    draw = random.Random(0)
    for extension, data in sound().items():
        for number in range(120):
            damaged = bytearray(data)
            reach = len(data) if number % 2 else min(len(data), 200)  # headers as often as all
            for _ in range(1 + number % 8):
                damaged[draw.randrange(reach)] ^= 1 << draw.randrange(8)
            name = f"{extension}-{number:03d}.{extension}".encode()
            yield Specimen("flipped bits", name, bytes(damaged), EITHER)


def wrong_extensions() -> Iterator[Specimen]:
    """Yield every format under every other's name."""
    for true, data in sound().items():
        for false in FORMATS:
            if true != false:
                yield Specimen("wrong extension", f"{true}.{false}".encode(), data, SOUND)


def no_images() -> Iterator[Specimen]:
    """Yield what is found under images' names and is none."""
    draw = random.Random(1)
    contents = {
        "empty": b"", "text": b"hello, world\n", "html": b"<!DOCTYPE html><title>404</title>",
        "json": b'{"error": "not found"}', "zip": b"PK\x03\x04" + bytes(60),
        "pdf": b"%PDF-1.7\n", "elf": b"\x7fELF" + bytes(60), "zeros": bytes(4096),
        "ones": b"\xff" * 4096, "gzip": b"\x1f\x8b\x08" + bytes(30), "svg": b"<svg></svg>",
        "heic": b"\0\0\0\x1cftypheic" + bytes(40), "jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
        "pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.", "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
        "psd": b"8BPS\0\1" + bytes(40), "ppm": b"P6 1 1 255\n\0\0\0", "ico": b"\0\0\1\0\1\0",
    }  # fmt: skip
    for name, data in contents.items():
        yield Specimen("no image", f"{name}.jpg".encode(), data, NO_IMAGE)
    for number in range(100):
        noise = draw.randbytes(draw.randrange(1, 5000))
        yield Specimen("no image", b"noise-%02d.png" % number, noise, NO_IMAGE)
    starts = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"BM",
              b"II*\0", b"MM\0*", b"\0\0\0\x1cftypavif"]  # fmt: skip
    for number in range(200):
        noise = starts[number % len(starts)] + draw.randbytes(draw.randrange(400))
        may = frozenset({"corrupt", "not-an-image", "too-large"})
        yield Specimen("noise behind a signature", b"%03d.jpg" % number, noise, may)


def odd_modes() -> Iterator[Specimen]:
    """Yield every mode that a format can hold."""
    base = picture()
    deep = np.asarray(base.convert("L"), np.uint16) * 257
    images: dict[str, tuple[Image.Image, str]] = {
        mode: (base.convert(mode), form)
        for mode, form in [
            ("1", "PNG"), ("L", "PNG"), ("P", "PNG"), ("LA", "PNG"), ("RGBA", "PNG"),
            ("CMYK", "TIFF"), ("YCbCr", "TIFF"), ("LAB", "TIFF"), ("F", "TIFF"), ("I", "TIFF"),
        ]
    }  # fmt: skip
    images["I;16"] = Image.fromarray(deep), "PNG"
    images["I;16 tiff"] = Image.fromarray(deep), "TIFF"
    images["P gif"] = base.convert("P"), "GIF"
    images["1 bmp"] = base.convert("1"), "BMP"
    images["CMYK jpeg"] = base.convert("CMYK"), "JPEG"
    images["L jpeg"] = base.convert("L"), "JPEG"
    for name, (image, form) in images.items():
        data = encoded(image, form)
        yield Specimen("odd modes", f"{name.replace(';', '')}.{form.lower()}".encode(), data, SOUND)
        if name == "CMYK jpeg":  # the same samples, said to be YCCK
            at = data.index(b"Adobe")
            ycck = data[: at + 11] + b"\x02" + data[at + 12 :]
            yield Specimen("odd modes", b"ycck.jpeg", ycck, SOUND)
    png = encoded(base.convert("P"), "PNG", transparency=bytes(range(256)))
    yield Specimen("odd modes", b"P with alphas.png", png, SOUND)
    nan = Image.fromarray(np.full((8, 8), np.nan, np.float32))
    yield Specimen("odd modes", b"nan.tiff", encoded(nan, "TIFF"), frozenset({"corrupt"}))
    for depth, kind in [(1, 0), (2, 0), (4, 0), (16, 0), (16, 2), (16, 4), (16, 6)]:
        channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
        row = b"\0" + bytes(-(-32 * depth * channels // 8))
        data = png_of(32, 24, kind=kind, depth=depth, content=row * 24)
        yield Specimen("odd modes", b"png-%d-%d.png" % (depth, kind), data, SOUND)


def orientations() -> Iterator[Specimen]:
    """Yield EXIF orientations 1 to 8, and what is none, in every format that has EXIF."""
    for extension in ("jpg", "png", "webp", "tiff"):
        form, options = FORMATS[extension]
        for value in (*range(1, 9), 0, 9, 65535):
            exif = Image.Exif()
            exif[0x0112] = value
            data = encoded(picture(), form, exif=exif, **options)
            name = f"{extension}-{value}.{extension}".encode()
            yield Specimen("orientations", name, data, SOUND)


def animations() -> Iterator[Specimen]:
    """Yield animations and files of several pages."""
    frames = [picture(seed=seed) for seed in range(12)]
    for extension, form in [
        ("gif", "GIF"), ("webp", "WEBP"), ("png", "PNG"), ("tiff", "TIFF"), ("avif", "AVIF"),
    ]:  # fmt: skip
        for count in (2, 12):
            data = encoded(frames[0], form, save_all=True, append_images=frames[1:count])
            name = f"{extension}-{count}.{extension}".encode()
            yield Specimen("animations", name, data, SOUND)


def odd_names() -> Iterator[Specimen]:
    """Yield sound images under names that break what splits, prints or trusts names."""
    data = sound()["jpg"]
    names = [
        b"a.b.c.jpg", b"a.b.jpg", b"..jpg", b".hidden.jpg", b"...jpg", b"new\nline.jpg",
        b"\n.jpg", b"tab\t.jpg", b"\x1b[31mred.jpg", b"not-utf8-\xff\xfe.jpg", b"\x80.jpg",
        "é.jpg".encode(), "e\u0301.jpg".encode(), "日本語 🎨.jpg".encode(), b" .jpg", b"-rf.jpg",
        b"--help.jpg", b"%s%n.jpg", b"%2e%2e%2f.jpg", b"a\\b.jpg", b"q'uo\"te.jpg", b"*.jpg",
        b"$(true).jpg", b"A.JPG", b"a.jpg", b"a.JPG", b"a.jpeg", b"A.jpg", b"con.jpg", b"nul.jpg",
        b"{000..999}.jpg", b"#.jpg", b"a?b=c.jpg", b"x" * 251 + b".jpg", b"\xc3" * 251 + b".jpg",
        b"__vtok__.jpg", b"__key__.jpg", b"deep/.hidden/x.jpg", b"deep/a.tar/x.jpg",
        b"deep/\xff/x.jpg", b"deep/a.jpg/a.jpg",
    ]  # fmt: skip
    names += [b"d/" * depth + b"x.jpg" for depth in (50, 300)]
    for name in names:
        yield Specimen("odd names", name, data, SOUND)


def pixel_bombs() -> Iterator[Specimen]:
    """Yield small files that claim, or are, more pixels than anyone should decode."""

    def bomb(name: str, data: bytes, may: frozenset[str] = BOMB) -> Specimen:
        return Specimen("pixel bombs", name.encode(), data, may)

    yield bomb("34-bytes.webp", vp8l_of(13_370, 13_370))
    yield bomb("16383.webp", vp8l_of(16_383, 16_383))
    yield bomb("canvas.webp", vp8x_of(1 << 24, 1 << 24))
    yield bomb("small-canvas.webp", vp8x_of(9000, 9000))
    yield bomb("2-31.png", png_of(2**31 - 1, 2**31 - 1))
    yield bomb("2-31-by-1.png", png_of(2**31 - 1, 1))
    yield bomb("zero.png", png_of(0, 10), frozenset({"corrupt"}))
    yield bomb("wide.png", png_of(10_000, 1, content=b"\0" + bytes(30_000)))
    yield bomb("high.png", png_of(1, 10_000, content=b"\0\0\0\0" * 10_000))
    yield bomb("wider.png", png_of(60_000, 200, content=(b"\0" + bytes(180_000)) * 200))
    for kind, depth, channels in [(2, 8, 3), (6, 8, 4), (2, 16, 3), (6, 16, 4), (0, 16, 1)]:
        side = 9450  # just under the limit: all of it has to be decoded
        content = zlib_of_zeros(side * (1 + side * channels * depth // 8))
        data = png_of(side, side, kind=kind, depth=depth, packed=content)
        yield bomb(f"full-{kind}-{depth}.png", data, BOMB | {WRITTEN})
    yield bomb("short-stream.png", png_of(9000, 9000, content=bytes(10)))
    yield bomb("screen.gif", b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b";")
    for width, height in [(65_500, 65_500), (9_000, 9_000)]:
        jpeg = bytearray(sound()["jpg"])
        at = jpeg.index(b"\xff\xc0") + 5
        jpeg[at : at + 4] = struct.pack(">HH", height, width)
        yield bomb(f"{width}.jpg", bytes(jpeg))
    for width, height in [(30_000, 30_000), (2**31 - 1, 2**31 - 1), (-1, 5), (9000, 9000)]:
        bmp = bytearray(sound()["bmp"])
        bmp[18:26] = struct.pack("<ii", width, height)
        yield bomb(f"{width}.bmp", bytes(bmp))
    rle = b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024)
    rle += struct.pack("<IiiHHIIiiII", 40, 9000, 9000, 1, 8, 1, 0, 0, 0, 256, 0)
    yield bomb("rle.bmp", rle + bytes(1024) + b"\xff\x01" * 2000 + b"\0\1", BOMB | {WRITTEN})
    for side in (20_000, 9_000):
        avif = bytearray(sound()["avif"])
        at = avif.index(b"ispe") + 8
        avif[at : at + 8] = struct.pack(">II", side, side)
        yield bomb(f"{side}.avif", bytes(avif), BOMB | {WRITTEN})
    plain = Image.new("RGB", (8000, 8000), (9, 99, 200))
    yield bomb("plain.avif", encoded(plain, "AVIF", speed=10), BOMB | {WRITTEN})
    yield bomb("plain.webp", encoded(plain, "WEBP", quality=1, method=0), BOMB | {WRITTEN})
    yield bomb("plain.jpg", encoded(plain, "JPEG", quality=1), BOMB | {WRITTEN})


def largest() -> Iterator[Specimen]:
    """Yield images of about as many pixels as are allowed, with all that there is to convert."""
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    other = profile.replace("sRGB".encode("utf-16-be"), "xxxx".encode("utf-16-be"))
    cases: list[tuple[str, str, int, dict[str, Any]]] = [
        ("WEBP", "RGB", 6850, {"quality": 1, "method": 0}),
        ("WEBP", "RGBA", 6100, {"quality": 1, "method": 0}),
        ("AVIF", "RGB", 7700, {"speed": 10, "subsampling": "4:4:4"}),
        ("AVIF", "RGBA", 6680, {"speed": 10}),
        ("PNG", "RGBA", 7250, {"compress_level": 1}),
        ("JPEG", "RGB", 9450, {"quality": 1, "progressive": True, "subsampling": 0}),
        ("JPEG", "CMYK", 8600, {"quality": 1, "progressive": True}),
        ("TIFF", "F", 7250, {"compression": "tiff_lzw"}),
        ("TIFF", "I", 8600, {"compression": "tiff_lzw"}),
    ]
    for form, mode, side, options in cases:
        if mode not in {"CMYK", "F", "I"}:
            options["icc_profile"] = other
        data = encoded(Image.new(mode, (side, side)), form, exif=exif, **options)
        name = f"{mode}-{side}.{form.lower()}".encode()
        yield Specimen("largest allowed", name, data, SOUND | {"timeout"})


def scan_bombs() -> Iterator[Specimen]:
    """Yield JPEGs that make a decoder pass over the picture again and again."""
    small = encoded(picture(64, 64), "JPEG", progressive=True)
    start = small.rindex(b"\xff\xda")
    for count in (150, 20_000):
        data = small[:start] + small[start:-2] * count + b"\xff\xd9"
        yield Specimen("scan bombs", b"%d.jpg" % count, data, BOMB)
    for count in (5, 85):  # as many as are allowed, over as many pixels
        data = large_scan_bomb(count)
        yield Specimen("scan bombs", b"large-%d.jpg" % count, data, BOMB | {WRITTEN})
    restarts = sound()["jpg"].replace(b"\xff\xda", b"\xff\xdd\0\4\0\1" * 50_000 + b"\xff\xda", 1)
    yield Specimen("scan bombs", b"restarts.jpg", restarts, BOMB | {WRITTEN})


def large_scan_bomb(count: int) -> bytes:
    """Return a JPEG of 81 megapixels with so many scans more than it needs."""
    large = encoded(Image.new("L", (9000, 9000)), "JPEG", progressive=True, quality=1)
    start = large.rindex(b"\xff\xda")
    return large[:start] + large[start:-2] * count + b"\xff\xd9"


def chunk_bombs() -> Iterator[Specimen]:
    """Yield huge profiles, texts and EXIF, and hundreds of thousands of small chunks."""

    def png(name: str, extra: bytes) -> Specimen:
        data = png_of(4, 4, content=(b"\0" + bytes(12)) * 4, extra=extra)
        return Specimen("profile and text bombs", f"{name}.png".encode(), data, BOMB | {WRITTEN})

    million = zlib_of_zeros(1 << 30)
    yield png("icc", chunk(b"iCCP", b"k\0\0" + million))
    yield png("ztxt", chunk(b"zTXt", b"k\0\0" + million))
    yield png("itxt", chunk(b"iTXt", b"k\0\1\0\0\0" + million))
    yield png("texts", chunk(b"tEXt", b"k\0" + bytes(1000)) * 5000)
    yield png("ztxts", chunk(b"zTXt", b"k\0\0" + zlib_of_zeros(60_000)) * 3000)
    yield png("small-chunks", chunk(b"teSt", b"") * 200_000)
    yield png(
        "exif", chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff" + b"\x12\1\3\0\1\0\0\0\6\0\0\0" * 65535)
    )
    yield png("length", struct.pack(">I", 2**31 - 1) + b"tEXt")
    profile = b"\xff\xe2" + struct.pack(">H", 65_535) + b"ICC_PROFILE\0"
    pieces = b"".join(profile + bytes([n, 255]) + bytes(65_519) for n in range(1, 256))
    jpeg = sound()["jpg"]
    for name, extra in [
        ("icc", pieces),
        ("exif", (b"\xff\xe1" + struct.pack(">H", 65_535) + b"Exif\0\0" + bytes(65_527)) * 100),
        ("comments", (b"\xff\xfe\0\2") * 500_000),
        ("fill", b"\xff" * 3_000_000),
    ]:
        data = jpeg[:2] + extra + jpeg[2:]
        yield Specimen("profile and text bombs", f"{name}.jpg".encode(), data, BOMB | {WRITTEN})
    frames = encoded(picture(), "GIF")[:-1]
    body = frames[frames.index(b"\x2c") :]
    for count in (20_000,):
        yield Specimen("profile and text bombs", b"frames.gif", frames + body[:1] * count,
                       EITHER)  # fmt: skip
    exif = b"Exif\0\0II*\0\x08\0\0\0\1\0\x69\x87\4\0\1\0\0\0\x08\0\0\0\x08\0\0\0"
    loop = encoded(picture(), "JPEG", exif=exif)
    yield Specimen("profile and text bombs", b"exif-loop.jpg", loop, BOMB | {WRITTEN})


def tiff_bombs() -> Iterator[Specimen]:
    """Yield TIFFs whose directories lie: sizes, offsets, counts, loops, compression."""

    def tiff(name: str, *changes: tuple[int, int, int, int], then: int = 0) -> Specimen:
        tags = {256: (3, 1, 16), 257: (3, 1, 16), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1),
                273: (4, 1, 8), 277: (3, 1, 1), 278: (3, 1, 16), 279: (4, 1, 256)}  # fmt: skip
        tags |= {tag: (kind, count, value) for tag, kind, count, value in changes}
        body = struct.pack("<H", len(tags))
        for tag, (kind, count, value) in sorted(tags.items()):
            body += struct.pack("<HHII", tag, kind, count, value)
        data = b"II*\0" + struct.pack("<I", 8 + 256) + bytes(256) + body + struct.pack("<I", then)
        return Specimen("tiff bombs", f"{name}.tiff".encode(), data, EITHER)

    yield tiff("plain")
    yield tiff("loop", then=264)
    yield tiff("size", (256, 4, 1, 2**32 - 1), (257, 4, 1, 2**32 - 1))
    yield tiff("large", (256, 4, 1, 9000), (257, 4, 1, 9000))
    yield tiff("strips", (273, 4, 2**30, 8))
    yield tiff("offset", (273, 4, 1, 2**32 - 8))
    yield tiff("samples", (277, 3, 1, 65535))
    yield tiff("bits", (258, 3, 1, 64))
    yield tiff("text", (270, 2, 2**32 - 1, 8))
    yield tiff("profile", (34675, 7, 2**31, 8))
    for compression in (2, 3, 4, 5, 6, 7, 8, 32773, 34712, 50000, 50001):
        yield tiff(f"compression-{compression}", (259, 3, 1, compression))
    for kind in ("tiff_deflate", "tiff_lzw", "packbits", "jpeg", "zstd"):
        data = encoded(Image.new("L", (9000, 9000)), "TIFF", compression=kind)
        if len(data) < 4 << 20:
            name = f"{kind}-9000.tiff".encode()
            yield Specimen("tiff bombs", name, data, BOMB | {WRITTEN})
            yield Specimen("tiff bombs", b"cut-" + name, data[: len(data) // 2], EITHER)


def write_traps(folder: Path) -> dict[bytes, frozenset[str] | None]:
    """Put what is no file, or not to be read, in a folder; None where it has to be passed over."""
    folder.mkdir(parents=True)
    (folder / "good.jpg").write_bytes(sound()["jpg"])
    os.mkfifo(folder / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(folder)  # the path of a socket has to be short
        try:
            server.bind("socket.jpg")
        finally:
            os.chdir(here)
    (folder / "to-itself.jpg").symlink_to("to-itself.jpg")
    (folder / "nowhere.jpg").symlink_to("/nonexistent/x.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "ring").symlink_to(".")
    (folder / "up").symlink_to("..")
    (folder / "folder.jpg").mkdir()
    (folder / "link.jpg").symlink_to("good.jpg")
    return {
        b"good.jpg": SOUND, b"link.jpg": SOUND, b"to-itself.jpg": UNREADABLE,
        b"nowhere.jpg": UNREADABLE, b"fifo.jpg": None, b"socket.jpg": None, b"zero.jpg": None,
    }  # fmt: skip


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(
    width: int,
    height: int,
    *,
    kind: int = 2,
    depth: int = 8,
    content: bytes = b"",
    packed: bytes | None = None,
    extra: bytes = b"",
) -> bytes:
    """Return a PNG of this size, colour type and depth, whatever its content."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(content) if packed is None else packed)
    return b"\x89PNG\r\n\x1a\n" + header + extra + body + chunk(b"IEND", b"")


def zlib_of_zeros(num_bytes: int) -> bytes:
    """Return the zlib stream of so many zeros without making them all at once."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    # After a full flush nothing refers back: the same megabyte becomes the same bytes, again.
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    tail = packer.compress(bytes(num_bytes & ((1 << 20) - 1))) + packer.flush()
    adler = (num_bytes % 65521) << 16 | 1
    return b"\x78\xda" + block * (num_bytes >> 20) + tail + struct.pack(">I", adler)


def vp8l_of(width: int, height: int) -> bytes:
    """Return a lossless WebP of one colour, of this size, in 34 bytes."""
    bits = (width - 1) | (height - 1) << 14 | 1 << 28
    stream = b"\x2f" + struct.pack("<I", bits) + bytes([0x88, 0x88, 0x08, 0, 0, 0, 0, 0, 0])
    body = b"WEBPVP8L" + struct.pack("<I", len(stream)) + stream
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vp8x_of(width: int, height: int) -> bytes:
    """Return an extended WebP whose canvas is of this size and whose picture is small."""
    small = encoded(picture(), "WEBP", lossless=True)[12:]
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes([0x10, 0, 0, 0]) + sizes + small
    return b"RIFF" + struct.pack("<I", len(body)) + body
