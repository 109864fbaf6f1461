"""Runs of vtok beside the scripts that people write: the same model, pixels and images, in turn.

    python tests/bench/bench_peers.py [FOLDER] [--limit 200] [--rounds 3] [--clip] [--only naive]

The naive script is a DataLoader of two workers (Pillow, floats normalised there), batches of 32 in
fp32 or under bf16 autocast, and webdataset's TarWriter; the loop at batch 1 is that of published
extraction scripts: one image through the tokenizer, one .npy. Beside a device that only waits, the
scripts differ in nothing but the host's work (`--only "host alone"`): there the naive script
prepares its images as those of transformers' models do, by their image processor, or by Pillow
alone where transformers is not installed or `--pillow` is given; fast is `--resizing fast`. The
start of vtok's decode workers, a quarter of a CPU second each, counts: take many images, which may
be more than the folder has: they are then read again and again.
With --clip the features are of a CLIP ViT-B/32 with random weights (needs transformers), else of
vtok-base. CPU seconds count all processes; ratios are of medians.
"""

import argparse
import importlib.util
import itertools
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset as wds
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from random_models import CLIP_SIZES, save_clip

from vtok.models.registry import load_encoder, load_tokenizer
from vtok.pipelines.bench import bench
from vtok.pipelines.benchmarking.report import BenchReport
from vtok.pipelines.benchmarking.subject import BenchConfig
from vtok.pipelines.config.parts import CutConfig, ModelConfig
from vtok.resolution import SchemeOptions

SIDE_PX = 224


class Photographs(torch.utils.data.Dataset[tuple[int, torch.Tensor]]):
    """What a script's dataset does: open, squash, to floats, normalise."""

    def __init__(self, files: Sequence[Path], side_px: int) -> None:
        self.files = files
        self.side_px = side_px

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[int, torch.Tensor]:
        with Image.open(self.files[index]) as image:
            size = (self.side_px, self.side_px)
            picture = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div(255)
        return index, pixels.sub(0.5).div(0.5)


class ProcessedPhotographs(Photographs):
    """The same, by transformers' image processor: resized, cropped, normalised."""

    def __init__(self, files: Sequence[Path], side_px: int) -> None:
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

        super().__init__(files, side_px)
        self.process = CLIPImageProcessorPil(
            size={"shortest_edge": side_px}, crop_size={"height": side_px, "width": side_px}
        )

    def __getitem__(self, index: int) -> tuple[int, torch.Tensor]:
        with Image.open(self.files[index]) as image:
            found = self.process(images=image.convert("RGB"), return_tensors="pt")
        return index, found["pixel_values"][0]


def photographs(folder: str, limit: int) -> list[Path]:
    """Return so many images of a folder, from its beginning again where it has fewer."""
    found = (path for path in Path(folder).rglob("*") if path.suffix.lower() in {".jpg", ".png"})
    return list(itertools.islice(itertools.cycle(sorted(found)), limit))


def naive(
    data: Photographs, model: Callable[[torch.Tensor], torch.Tensor], field: str, folder: str
) -> None:
    loader = torch.utils.data.DataLoader(data, batch_size=32, num_workers=2)
    with wds.TarWriter(f"{folder}/shard.tar") as writer, torch.inference_mode():
        for indices, pixels in loader:
            for index, array in zip(indices.tolist(), model(pixels).numpy(), strict=True):
                writer.write({"__key__": f"{index:08d}", field: array})


def autocast(model: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return the model as a script runs it in bf16."""

    def run(pixels: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return model(pixels).half()

    return run


def one_by_one(
    data: Photographs, model: Callable[[torch.Tensor], torch.Tensor], folder: str
) -> None:
    loader = torch.utils.data.DataLoader(data, batch_size=1, num_workers=2)
    with torch.inference_mode():
        for index, pixels in loader:
            np.save(f"{folder}/{index.item()}.npy", model(pixels).numpy())


def waiting(shape: tuple[int, ...], dtype: torch.dtype, ms: float) -> Callable[..., torch.Tensor]:
    def run(pixels: torch.Tensor) -> torch.Tensor:
        time.sleep(ms / 1000 * len(pixels))
        return torch.zeros((len(pixels), *shape), dtype=dtype)

    return run


def costs(work: Callable[[str], object], num_images: int) -> tuple[float, float]:
    """Return CPU and wall milliseconds an image, children included, of work into a folder."""
    os.sync()
    with tempfile.TemporaryDirectory() as folder:
        began, cpu = time.monotonic(), all_cpu()
        work(folder)
        wall, used = time.monotonic() - began, all_cpu() - cpu
    return used * 1000 / num_images, wall * 1000 / num_images


def all_cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def of(report: BenchReport) -> tuple[float, float]:
    return report.cpu_s * 1000 / report.num_images, report.wall_s * 1000 / report.num_images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", default="sample_images")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clip", action="store_true")
    parser.add_argument("--pillow", action="store_true", help="no script uses transformers")
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = photographs(options.folder, options.limit)
        listed = Path(folder) / "photographs.txt"
        listed.write_text("".join(f"{path.absolute()}\n" for path in files))
        name = "vtok-base"
        if options.clip:
            name = str(save_clip(Path(folder) / "clip", CLIP_SIZES["CLIP ViT-B/32"]))
        measure(options, files, str(listed), name)


def measure(
    options: argparse.Namespace, files: Sequence[Path], listed: str, name_of_encoder: str
) -> None:
    encoder, tokenizer = load_encoder(name_of_encoder).eval(), load_tokenizer("vtok-base").eval()
    has_transformers = importlib.util.find_spec("transformers") is not None
    is_processed = has_transformers and not options.pillow

    def cut(side_px: int, *, is_cropped: bool) -> CutConfig:
        options = SchemeOptions(tile_size_px=side_px, patch_px=4)
        return CutConfig(scheme="centre-crop" if is_cropped else "squash", options=options)

    def ours(
        tokens: Any, ms: float | None = None, dtype: str = "auto", resizing: Any = "exact"
    ) -> BenchReport:
        return bench(
            BenchConfig(
                input=listed, tokens=tokens, limit=options.limit, rounds=1,
                fake_device_ms=ms,
                cut=(
                    cut(SIDE_PX, is_cropped=False)
                    if ms is None
                    else cut(256 if tokens == "vq" else 336, is_cropped=is_processed)
                ),
                model=ModelConfig(
                    name=name_of_encoder if tokens == "continuous" else "vtok-base",
                    compute_dtype=dtype,
                ),
                resizing=resizing,
            )
        )  # fmt: skip

    data = Photographs(files, SIDE_PX)
    usual = ProcessedPhotographs if is_processed else Photographs
    large, small = usual(files, 336), usual(files, 256)
    features = waiting((576, 1024), torch.float16, 0.0)
    indices = waiting((256,), torch.int64, 0.0)
    cases: dict[str, tuple[Callable[[str], object], Callable[[], BenchReport]]] = {
        "features, naive fp32 script": (
            partial(naive, data, encoder.features, "npy"),
            lambda: ours("continuous"),
        ),
        "features, naive bf16 script": (
            partial(naive, data, autocast(encoder.features), "npy"),
            lambda: ours("continuous", dtype="bf16"),
        ),
        "features in fp32, the same": (
            partial(naive, data, encoder.features, "npy"),
            lambda: ours("continuous", dtype="fp32"),
        ),
        "indices, naive fp32 script": (
            partial(naive, data, tokenizer.tokenize, "npy"),
            lambda: ours("vq"),
        ),
        "indices, loop at batch 1": (
            partial(one_by_one, data, tokenizer.tokenize),
            lambda: ours("vq"),
        ),
        "host alone, 576x1024 fp16": (
            partial(naive, large, features, "npy"),
            lambda: ours("continuous", 0.0),
        ),
        "host alone, features, fast": (
            partial(naive, large, features, "npy"),
            lambda: ours("continuous", 0.0, resizing="fast"),
        ),
        "host alone, 256 indices": (partial(naive, small, indices, "npy"), lambda: ours("vq", 0.0)),
        "host alone, indices, fast": (
            partial(naive, small, indices, "npy"),
            lambda: ours("vq", 0.0, resizing="fast"),
        ),
    }
    found: dict[str, dict[str, float]] = {}
    for name, (script, run) in cases.items():
        if options.only not in name:
            continue
        rounds = []
        for _ in range(options.rounds):
            theirs = costs(script, len(data))
            rounds.append((*theirs, *of(run())))
        cpu, wall, our_cpu, our_wall = (
            statistics.median(column) for column in zip(*rounds, strict=True)
        )
        found[name] = {
            "script_cpu_ms": cpu, "vtok_cpu_ms": our_cpu, "cpu_ratio": cpu / our_cpu,
            "script_wall_ms": wall, "vtok_wall_ms": our_wall, "wall_ratio": wall / our_wall,
        }  # fmt: skip
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{'':30} {'script':>8} {'vtok':>8}  ratio   {'script':>8} {'vtok':>8}  ratio")
    print(f"{'ms an image':30} {'CPU':>8} {'CPU':>8} {'':8} {'wall':>8} {'wall':>8}")
    for name, each in found.items():
        print(
            f"{name:30} {each['script_cpu_ms']:8.2f} {each['vtok_cpu_ms']:8.2f} "
            f"{each['cpu_ratio']:6.2f}   {each['script_wall_ms']:8.2f} "
            f"{each['vtok_wall_ms']:8.2f} {each['wall_ratio']:6.2f}"
        )


if __name__ == "__main__":
    main()
