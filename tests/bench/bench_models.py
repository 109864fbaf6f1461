"""What a device gives: models of published sizes, each alone and in a whole run.

    python tests/bench/bench_models.py [FOLDER] [--device cuda] [--limit 2000] [--only CLIP]

The weights are random, so nothing is downloaded; CLIP needs transformers. For each model and dtype:
images a second when fed from memory, the share of what the device multiplies in a large matrix
product, images a second of a whole run from files to shards, and the cores that would feed the
model. Medians; the first row names the device. On a CPU the model's figures are of one core.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from random_models import CLIP_SIZES, save_clip, save_vqgan

from vtok.pipelines.bench import bench
from vtok.pipelines.benchmarking.report import BenchReport
from vtok.pipelines.benchmarking.subject import BenchConfig
from vtok.pipelines.config.parts import CutConfig, ModelConfig
from vtok.resolution import SchemeOptions

SQUARE = CutConfig(scheme="squash", options=SchemeOptions(tile_size_px=256))


class Case(NamedTuple):
    """One row: a model, what is made of images, and how."""

    name: str
    model: str
    tokens: Any
    dtype: str
    cut: CutConfig


def cases(folder: Path, only: str) -> Iterator[Case]:
    """Yield the rows whose name has `only` in it; their models are saved when their turn comes."""
    models: list[tuple[str, Any, tuple[str, ...]]] = [
        (name, size, ("bf16", "fp32")) for name, size in CLIP_SIZES.items()
    ]
    models += [("vtok-base", None, ("bf16", "fp32")), ("VQGAN f16, 16,384 codes", None, ("fp32",))]
    for name, size, dtypes in models:
        if only not in name:
            continue
        if size is not None:
            path, tokens, cut = str(save_clip(folder / name, size)), "continuous", CutConfig()
        elif name == "vtok-base":
            path, tokens, cut = name, "continuous", SQUARE
        else:
            path, tokens, cut = str(save_vqgan(folder / "vqgan")), "vq", SQUARE
        for dtype in dtypes:
            yield Case(name, path, tokens, dtype, cut)
    if only in "vtok-base indices":
        yield Case("vtok-base indices", "vtok-base", "vq", "fp32", SQUARE)


def measure(case: Case, options: argparse.Namespace) -> BenchReport:
    return bench(
        BenchConfig(
            input=options.folder,
            tokens=case.tokens,
            model=ModelConfig(name=case.model, device=options.device, compute_dtype=case.dtype),
            cut=case.cut,
            limit=options.limit,
            rounds=options.rounds,
            resizing=options.resizing,
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", default="sample_images")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--limit", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--resizing", default="exact", choices=["exact", "fast"])
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder), options.only):
            report = measure(case, options)
            found.append({"name": case.name, "dtype": case.dtype, **report.to_json()})
            if not options.json:
                if len(found) == 1:
                    print(f"{_device(report.device)}, torch {torch.__version__}")
                    print(f"{'':28} {'':4} {'model/s':>8} {'share':>6} {'run/s':>8} {'cores':>6}")
                _print(case, report)
    if options.json:
        print(json.dumps(found, indent=2))


def _print(case: Case, report: BenchReport) -> None:
    share = f"{report.matrix_share:6.3f}" if report.matrix_share else " " * 6
    print(
        f"{case.name:28} {case.dtype} {1000 / report.model_ms:8.1f} {share} "
        f"{report.num_images / report.wall_s:8.1f} {report.cores_to_feed:6.2f}",
        flush=True,
    )


def _device(name: str) -> str:
    return torch.cuda.get_device_name(name) if name.startswith("cuda") else name


if __name__ == "__main__":
    main()
