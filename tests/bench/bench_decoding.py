"""What an image costs before it reaches a model, beside Pillow and transformers, in one run.

    python tests/bench/bench_decoding.py [FOLDER] [--limit 200] [--only-scaling] [--json]

CPU time of this process, medians over the rounds, taken in turn: small photographs squashed to a
square, and 12-megapixel copies of some of them. Differences are to Pillow's full decode and bicubic
resize, in levels of 255. Workers are timed by the clock: 1 and 2 processes, each way; that alone
needs a quiet machine.
"""

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from vtok.engine.decoding import DecodePool
from vtok.engine.preparation import ImageTask, Preparation, Prepared
from vtok.engine.quality import psnr
from vtok.io.sources.folders import FileSource
from vtok.io.sources.item import SourceItem
from vtok.resolution import Scheme, SchemeOptions, resolve

LARGE = (4000, 3000)
NUM_LARGE = 8
WAYS: dict[str, dict[str, Any]] = {
    "vtok, exact": {},
    "vtok, --resizing fast": {"resizing": "fast"},
    "vtok, --decoding scaled": {"decoding": "scaled"},
    "vtok, both": {"decoding": "scaled", "resizing": "fast"},
}


class Held(SourceItem):
    """An encoded image in memory, so that no disk is measured."""

    __slots__ = ("_data", "mtime_ns", "size_bytes")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size_bytes, self.mtime_ns = len(data), 0

    @property
    def source(self) -> str:
        return "memory"

    location = source

    def read(self, *, max_bytes: int | None = None) -> bytes:
        return self._data

    def digest_line(self) -> bytes:
        return b"memory"


def plain(data: bytes, side: int) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC))


def processor(side: int) -> Callable[[bytes], object] | None:
    """Return transformers' processor on Pillow at this size, if it is here."""
    try:
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    except ImportError:
        return None
    run = CLIPImageProcessorPil(
        size={"height": side, "width": side}, do_center_crop=False, resample=3
    )
    return lambda data: run(Image.open(io.BytesIO(data)), return_tensors="np")


def preparation(scheme: Scheme, way: str) -> Preparation:
    return Preparation(scheme=scheme, **WAYS[way])


def tasks(encoded: Sequence[bytes]) -> list[ImageTask]:
    return [ImageTask(index=i, key=f"{i:06d}", item=Held(data)) for i, data in enumerate(encoded)]


def views(prepare: Preparation, encoded: Sequence[bytes]) -> list[np.ndarray]:
    outcomes = [prepare.prepare(task) for task in tasks(encoded)]
    assert all(isinstance(each, Prepared) for each in outcomes)
    return [each.views[0] for each in outcomes if isinstance(each, Prepared)]


def costs(encoded: Sequence[bytes], side: int, rounds: int) -> dict[str, float]:
    """Return way → CPU milliseconds an image."""
    scheme = resolve("squash", SchemeOptions(tile_size_px=side, patch_px=4))
    cases: dict[str, Callable[[], object]] = {
        "Pillow": lambda: [plain(data, side) for data in encoded]
    }
    theirs = processor(side)
    if theirs is not None:
        cases["transformers, Pillow"] = lambda: [theirs(data) for data in encoded]
    for way in WAYS:
        prepare = preparation(scheme, way)
        cases[way] = lambda prepare=prepare: [prepare.prepare(task) for task in tasks(encoded)]
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            began = time.process_time()
            case()
            found[name].append((time.process_time() - began) * 1000 / len(encoded))
    return {name: statistics.median(values) for name, values in found.items()}


def differences(encoded: Sequence[bytes], side: int) -> dict[str, dict[str, float]]:
    """Return way → how far its pixels are from Pillow's."""
    scheme = resolve("squash", SchemeOptions(tile_size_px=side, patch_px=4))
    exact = [plain(data, side) for data in encoded]
    found = {}
    for way in WAYS:
        ours = views(preparation(scheme, way), encoded)
        off = [np.abs(a.astype(int) - b) for a, b in zip(ours, exact, strict=True)]
        ratios = [psnr(a, b) for a, b in zip(ours, exact, strict=True) if not np.array_equal(a, b)]
        found[way] = {
            "mean": float(np.mean([each.mean() for each in off])),
            "max": float(max(each.max() for each in off)),
            "psnr_mean": statistics.mean(ratios) if ratios else float("inf"),
            "psnr_min": min(ratios) if ratios else float("inf"),
        }
    return found


def scaling(files: Sequence[Path], side: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return way → images a second of two workers over those of one, by the clock.

    The files are read from the disk's cache by the workers, as in a run. Beside the ratio: what one
    worker, by the clock, and what the parent, in CPU time, takes for an image. Where there are two
    cores, the parent's work is taken from two workers and not from one, which bounds the ratio.
    """
    scheme = resolve("squash", SchemeOptions(tile_size_px=side, patch_px=4))
    items = [item for file in files for item in FileSource(str(file)).list()]
    items *= max(1, 2000 // len(items))
    work = [ImageTask(index=i, key=f"{i:06d}", item=item) for i, item in enumerate(items)]
    found = {}
    for way in ("vtok, exact", "vtok, --resizing fast"):
        seconds: dict[int, list[float]] = {1: [], 2: []}
        own: list[float] = []
        for _ in range(rounds):
            for num_workers, runs in seconds.items():
                with DecodePool(preparation(scheme, way), num_workers=num_workers) as pool:
                    for _ in pool.map(work[: len(work) // 4]):
                        pass  # the workers have loaded, and their memory is theirs
                    began, cpu = time.monotonic(), time.process_time()
                    for _ in pool.map(work):
                        pass
                    own.append((time.process_time() - cpu) * 1000 / len(work))
                    runs.append(time.monotonic() - began)
        found[way] = {
            "ratio": statistics.median(seconds[1]) / statistics.median(seconds[2]),
            "one_worker_ms": statistics.median(seconds[1]) * 1000 / len(work),
            "parent_cpu_ms": statistics.median(own),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", default="sample_images")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-scaling", action="store_true", help="leave out what the clock times")
    parser.add_argument("--only-scaling", action="store_true", help="only what the clock times")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    files = sorted(Path(options.folder).rglob("*.jpg"))[: options.limit]
    photographs = [file.read_bytes() for file in files]
    large = []
    for data in photographs[:NUM_LARGE]:
        buffer = io.BytesIO()
        with Image.open(io.BytesIO(data)) as image:
            image.convert("RGB").resize(LARGE).save(buffer, "JPEG", quality=90)
        large.append(buffer.getvalue())
    sizes = {} if options.only_scaling else {"photographs": photographs, "12 megapixels": large}
    found: dict[str, Any] = {
        name: {
            "cpu_ms": costs(images, options.side, options.rounds),
            "differences": differences(images, options.side),
        }
        for name, images in sizes.items()
    }
    found["two_workers_over_one"] = (
        {} if options.no_scaling else scaling(files, options.side, options.rounds)
    )
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name in sizes:
        cpu: dict[str, float] = found[name]["cpu_ms"]
        print(f"{name:26} CPU ms  x Pillow  x transformers   mean   max   PSNR mean, min")
        for way, ms in cpu.items():
            off = found[name]["differences"].get(way)
            line = f"  {way:24} {ms:6.2f}  {ms / cpu['Pillow']:8.2f}"
            line += f"  {ms / cpu.get('transformers, Pillow', float('nan')):14.2f}"
            if off is not None:
                line += f"  {off['mean']:6.4f}  {off['max']:4.0f}"
                line += f"   {off['psnr_mean']:.1f}, {off['psnr_min']:.1f}"
            print(line)
    for way, each in found["two_workers_over_one"].items():
        print(
            f"two workers / one, {way}: {each['ratio']:.2f}  (one: {each['one_worker_ms']:.2f} ms "
            f"an image; the parent: {each['parent_cpu_ms']:.2f} CPU ms)"
        )


if __name__ == "__main__":
    main()
