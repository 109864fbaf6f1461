"""How fast headers are read, beside Pillow; run with `pytest -m bench -s tests/io`."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from vtok.io.images import read_header

SAMPLES = [
    path
    for path in sorted((Path(__file__).parents[2] / "sample_images").iterdir())
    if path.suffix in {".jpg", ".png", ".webp"}
]


def per_second(read: Callable[[Path], object], num_rounds: int = 20) -> float:
    best = float("inf")
    for _ in range(num_rounds):
        start = time.process_time()
        for path in SAMPLES:
            read(path)
        best = min(best, time.process_time() - start)
    return len(SAMPLES) / best


def pillow_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


@pytest.mark.bench
def test_headers_per_second() -> None:
    ours, pillow = per_second(read_header), per_second(pillow_size)
    print(f"\nread_header {ours:.0f}/s, Pillow's open {pillow:.0f}/s, on {len(SAMPLES)} images")  # noqa: T201
