"""Images per second that `vtok inspect` reads and plans on one core, beside Pillow reading headers.

`python tests/bench/bench_inspect.py`: makes a folder of JPEGs of different sizes, then in turn
opens each with Pillow (header only) and inspects the folder under a scheme; medians of several
passes and their ratio. The files are in the page cache for both. Time is the process's own, user
and system, so that other work on the machine does not count.
"""

import argparse
import io
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from vtok.pipelines.inspect import InspectConfig, choose_schemes
from vtok.pipelines.inspecting.images import Survey

NEEDED_PER_S = 3000
MOST_OVERHEAD = 2.0
PAYLOAD_BYTES = 40_000


def make_jpegs(folder: Path, count: int, seed: int = 7) -> None:
    """Write JPEGs whose headers give different sizes, each with an EXIF block as cameras write.

    The pixels are of one small picture, so that making 10,000 takes seconds: the size in the frame
    header is replaced, and the file is lengthened to a photograph's weight. Reading a header is the
    same work as for a whole photograph.
    """
    draw = random.Random(seed)
    picture, exif = Image.effect_noise((64, 64), 60).convert("RGB"), Image.Exif()
    exif[0x0110] = "benchmark"
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", exif=exif)
    data = buffer.getvalue()
    frame = data.index(b"\xff\xc0") + 5  # marker, length, precision; then height, width
    for i in range(count):
        height, width = draw.randint(200, 6000), draw.randint(200, 6000)
        sides = height.to_bytes(2, "big") + width.to_bytes(2, "big")
        jpeg = data[:frame] + sides + data[frame + 4 :]
        path = folder / f"{i:06d}.jpg"
        path.write_bytes(jpeg)
        os.truncate(path, PAYLOAD_BYTES)


def read_with_pillow(folder: Path) -> int:
    """Open every file of the folder, header only; return the pixels that they announce."""
    num_pixels = 0
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        with Image.open(entry.path) as image:
            num_pixels += image.width * image.height
    return num_pixels


def inspect(folder: Path, *schemes: str) -> int:
    """Inspect the folder as the command does; return the pixels of the sizes found."""
    survey = Survey(choose_schemes(InspectConfig(paths=(str(folder),), schemes=schemes)).schemes)
    num_pixels = 0
    for row in survey.rows([str(folder)]):
        assert row.header is not None
        num_pixels += row.header.size.num_pixels
    return num_pixels


def seconds(work: Callable[[], int]) -> float:
    """Return the processor time that a piece of work takes: of one core, whoever else is on it."""
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest.mark.bench
def test_inspect_beside_pillow(tmp_path: Path) -> None:
    make_jpegs(tmp_path, 300)
    assert inspect(tmp_path, "closest") == read_with_pillow(tmp_path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("names", nargs="*", default=["closest", "llava-next", "internvl"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_jpegs(folder, arguments.images)
        read_with_pillow(folder)
        times: dict[str, list[float]] = {"pillow": []}
        for _ in range(arguments.passes):  # in turn, so that a slow minute hits all alike
            times["pillow"].append(seconds(lambda: read_with_pillow(folder)))
            for scheme in arguments.names:
                times.setdefault(scheme, []).append(seconds(lambda s=scheme: inspect(folder, s)))
    medians = {name: statistics.median(each) for name, each in times.items()}
    for label, median in medians.items():
        rate, ratio = arguments.images / median, median / medians["pillow"]
        needed = label == "pillow" or (rate >= NEEDED_PER_S and ratio < MOST_OVERHEAD)
        sys.stdout.write(
            f"{label:26}{rate:10,.0f} images/s   {ratio:5.2f} x pillow"
            f"{'' if needed else f'   needed: {NEEDED_PER_S:,} and below {MOST_OVERHEAD:g}'}\n"
        )


if __name__ == "__main__":
    main()
