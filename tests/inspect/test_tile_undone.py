"""`vtok tile`'s fields and JSON give the image back: what is written is enough to undo the cut."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from vtok.cli.app import app
from vtok.resolution import Plan, stitch
from vtok.shards.shardset import open_shards

SIZES = [(1009, 673), (17, 16), (1, 1), (672, 1008)]
Tile = Callable[..., Path]


def noise(width: int, height: int) -> np.ndarray:
    generator = np.random.default_rng(width * 10_007 + height)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def tile(tmp_path: Path) -> Tile:
    """Return a run of `vtok tile` over noise of some sizes, undecodable unless kept exactly."""
    folder = tmp_path / "images"
    folder.mkdir()

    def run(*arguments: object, sizes: list[tuple[int, int]] = SIZES, code: int = 0) -> Path:
        for width, height in sizes:
            Image.fromarray(noise(width, height)).save(folder / f"{width}x{height}.png")
        out = tmp_path / "out"
        command = ["tile", str(folder), str(out), "--workers", "0", "--quiet"]
        result = CliRunner().invoke(app, [*command, *map(str, arguments)])
        assert result.exit_code == code, result.output
        return out

    return run


def stitched(out: Path) -> dict[str, np.ndarray]:
    """Undo the cut of every sample from its JSON and its image fields alone."""
    found = {}
    for sample in open_shards(out):
        plan = Plan.from_json(sample.meta)
        views = [
            np.asarray(Image.open(io.BytesIO(sample.images[view.name].data)).convert("RGB"))
            for view in plan.views
        ]
        found[sample.meta["source"]] = stitch(plan, views)
    return found


@pytest.mark.parametrize(
    "written", [("--format", "png"), ("--format", "webp", "--lossless")], ids=["png", "webp"]
)
def test_native_images_of_any_size_come_back_to_the_pixel(tile: Tile, written: tuple) -> None:
    found = stitched(tile("--scheme", "native", *written))
    assert len(found) == len(SIZES)
    for width, height in SIZES:
        assert np.array_equal(found[f"{width}x{height}.png"], noise(width, height))


@pytest.mark.parametrize(("overlap", "side"), [(0, 336), (32, 304)])
@pytest.mark.parametrize("written", [("--format", "png"), ("--format", "webp", "--lossless")])
def test_grids_of_whole_tiles_come_back_to_the_pixel(
    tile: Tile, written: tuple, overlap: int, side: int
) -> None:
    sizes = [(3 * side + overlap, 2 * side + overlap), (side + overlap, 2 * side + overlap)]
    found = stitched(tile("--scheme", "closest", "--overlap", overlap, *written, sizes=sizes))
    assert len(found) == 2
    for width, height in sizes:
        assert np.array_equal(found[f"{width}x{height}.png"], noise(width, height))


def test_lossy_formats_do_not_keep_every_pixel(tile: Tile) -> None:
    """Else the tests above would show nothing."""
    found = stitched(tile("--scheme", "native", "--format", "webp", sizes=[(64, 48)]))
    assert found["64x48.png"].shape == (48, 64, 3)
    assert not np.array_equal(found["64x48.png"], noise(64, 48))


def test_a_view_that_the_format_cannot_hold_is_a_failure_of_its_image(tile: Tile) -> None:
    sizes = [(17_000, 90), (16, 16)]
    out = tile("--scheme", "native", "--format", "webp", sizes=sizes)
    assert set(stitched(out)) == {"16x16.png"}
    assert '"too-large"' in (out / "shard-000000.json").read_text()


@pytest.mark.parametrize("wrong", [("jpg", "--lossless"), ("webp", "--lossless", "--quality", 90)])
def test_lossless_is_refused_where_it_cannot_be(tile: Tile, wrong: tuple) -> None:
    tile("--format", *wrong, code=2)
