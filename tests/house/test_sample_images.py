"""The sample set holds one image of every kind the commands promise to read.

Everything is read with Pillow and numpy alone, so that the set stays an independent input for the
tests of the package. Sizes are (width, height) here, as Pillow gives them.
"""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

FOLDER = Path(__file__).parents[2] / "sample_images"
IMAGE_SUFFIXES = {".jpg", ".png", ".webp"}
IMAGE_NAMES = sorted(path.name for path in FOLDER.iterdir() if path.suffix in IMAGE_SUFFIXES)
MAX_TOTAL_BYTES = 6_000_000


def test_the_set_is_eight_to_ten_images_of_at_most_six_megabytes() -> None:
    assert 8 <= len(IMAGE_NAMES) <= 10
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= MAX_TOTAL_BYTES


def test_the_folder_holds_images_captions_and_the_attribution_only() -> None:
    captions = {f"{Path(name).stem}.txt" for name in IMAGE_NAMES}
    others = {path.name for path in FOLDER.iterdir()} - set(IMAGE_NAMES) - captions
    assert others == {"ATTRIBUTION.md"}


def test_no_two_images_share_a_stem() -> None:
    """A stem becomes a key, and a key names one sample."""
    stems = [Path(name).stem for name in IMAGE_NAMES]
    assert len(stems) == len(set(stems))


@pytest.mark.parametrize("name", IMAGE_NAMES)
def test_every_image_decodes_to_its_last_pixel(name: str) -> None:
    with Image.open(FOLDER / name) as image:
        image.verify()
    with Image.open(FOLDER / name) as image:
        image.load()
        low, high = np.asarray(image).min(), np.asarray(image).max()
    assert low < high


def test_landscape_is_three_to_two_exactly() -> None:
    with Image.open(FOLDER / "coffee.jpg") as image:
        assert image.size == (1008, 672)
        assert image.mode == "RGB"


def test_portrait_lies_on_its_side_until_its_orientation_is_obeyed() -> None:
    with Image.open(FOLDER / "astronaut.jpg") as image:
        width, height = image.size
        assert width > height
        assert image.getexif()[ExifTags.Base.Orientation] == 6  # shown a quarter to the right
        stored = np.asarray(image.convert("RGB"), dtype=float)
    upright = np.rot90(stored, k=-1)
    assert upright.shape[:2] == (512, 384)
    # The suit is orange and fills the lower half: right way up, red outweighs blue below, not above
    redness = (upright[..., 0] - upright[..., 2]).mean(axis=1)
    assert redness[256:].mean() > 2 * redness[:256].mean()


def test_panorama_is_at_least_three_times_as_wide_as_high() -> None:
    with Image.open(FOLDER / "launchpad.webp") as image:
        assert image.format == "WEBP"
        assert image.width / image.height >= 3


def test_icon_is_small_and_has_a_transparent_palette_entry() -> None:
    with Image.open(FOLDER / "horse.png") as image:
        assert max(image.size) <= 64
        assert image.mode == "P"
        assert "transparency" in image.info
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
    assert set(np.unique(alpha)) == {0, 255}


def test_grey_is_one_channel_of_eight_bits() -> None:
    with Image.open(FOLDER / "camera.png") as image:
        assert image.mode == "L"


def test_sixteen_bit_values_are_not_eight_bit_values_in_disguise() -> None:
    with Image.open(FOLDER / "retina.png") as image:
        assert image.mode == "I;16"
        values = np.asarray(image)
    assert values.dtype == np.uint16
    assert len(np.unique(values)) > 256 * 16
    assert (values % 257 != 0).mean() > 0.5  # v * 257 is how 8 bits are widened to 16
    assert (values % 256 != 0).mean() > 0.5  # v << 8 is the other way
    assert values.max() > 255  # clipping instead of scaling would leave a white square


def test_transparency_has_a_soft_edge_and_hidden_colour() -> None:
    with Image.open(FOLDER / "chelsea.png") as image:
        assert image.mode == "RGBA"
        pixels = np.asarray(image)
    alpha = pixels[..., 3]
    assert {0, 255} <= set(np.unique(alpha))
    assert len(np.unique(alpha)) > 100
    assert (pixels[alpha == 0][:, :3] == (255, 0, 255)).all()


def test_document_page_is_dark_print_on_white_a4() -> None:
    with Image.open(FOLDER / "page.png") as image:
        assert image.height / image.width == pytest.approx(math.sqrt(2), abs=0.01)
        grey = np.asarray(image.convert("L"))
    assert (grey > 250).mean() > 0.8
    assert 0.02 < (grey < 100).mean() < 0.2


def test_large_image_has_twelve_megapixels_and_compresses_well() -> None:
    path = FOLDER / "hubble.jpg"
    with Image.open(path) as image:
        num_pixels = image.width * image.height
    assert num_pixels >= 12_000_000
    assert path.stat().st_size * 8 / num_pixels < 1  # bits a pixel


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_captions_are_one_line_of_utf8(name: str) -> None:
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    assert len(text.strip().splitlines()) == 1


def test_a_caption_leaves_ascii() -> None:
    """A reader that guesses the encoding must fail on our own samples first."""
    texts = [path.read_bytes() for path in FOLDER.glob("*.txt")]
    assert any(not text.isascii() for text in texts)


def test_every_image_is_attributed_under_a_free_licence() -> None:
    text = (FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| `")]
    licences = {re.sub(r"[`\s]", "", row[0]): row[3].strip() for row in rows}
    assert sorted(licences) == IMAGE_NAMES
    assert set(licences.values()) == {"CC0 1.0", "public domain"}
    assert all(len(row) == 5 and all(cell.strip() for cell in row) for row in rows)
