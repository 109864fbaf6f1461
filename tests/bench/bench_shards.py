"""CPU time and bytes of vtok's shard writers and reader beside webdataset's, in one run.

    python tests/bench/bench_shards.py [--json]

Every figure is the median of several rounds, taken in turn, of process CPU time (not wall time,
so that a busy machine or disk does not count). vtok's times include what webdataset's writer does
not do: range checks, SHA-256 of the tar, a duplicate check of the keys, fsync and rename.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import webdataset as wds

sys.path.insert(0, str(Path(__file__).parents[2]))

from vtok.shards.header import Layout, ModelRecord, ShardHeader
from vtok.shards.keys import sample_key, sample_keys
from vtok.shards.samples import Sample
from vtok.shards.shardset import open_shards
from vtok.shards.writer import ShardWriter

NUM_SAMPLES = 8192
NUM_FEATURE_SAMPLES = 128
ROUNDS = 5
MODEL = ModelRecord(name="m", family="f", weights_sha256="0" * 64, codebook_size=8192)
META = {"source": "photos/0123.jpg", "size": {"height": 480, "width": 640}, "views": ["whole"]}

Figures = dict[str, float]


def index_header(layout: Layout) -> ShardHeader:
    return ShardHeader(kind="indices", layout=layout, plan_sha256="0" * 64, model=MODEL)


def feature_header(layout: Layout) -> ShardHeader:
    return ShardHeader(
        kind="features", layout=layout, plan_sha256="0" * 64, feature_dtype="float16"
    )


def write_tarwriter(
    path: Path, field: str, arrays: np.ndarray, *, mtime: float | None, meta: bool = False
) -> None:
    with wds.TarWriter(str(path), mtime=mtime) as writer:
        for i, array in enumerate(arrays):
            sample = {"__key__": sample_key(i), field: array}
            if meta:
                sample["json"] = META
            writer.write(sample)


def write_samples(path: Path, layout: Layout, arrays: np.ndarray, *, meta: bool = False) -> None:
    with ShardWriter(path, index_header(layout)) as writer:
        for i, array in enumerate(arrays):
            writer.add(
                Sample(key=sample_key(i), meta=META if meta else {}, indices={"whole": array})
            )


def write_stacked(path: Path, arrays: np.ndarray, header: ShardHeader, batch: int) -> None:
    with ShardWriter(path, header) as writer:
        for start in range(0, len(arrays), batch):
            stop = min(start + batch, len(arrays))
            keys = sample_keys(range(start, stop))
            writer.add_stacked(keys, {"whole": arrays[start:stop]})


def write_features(path: Path, arrays: np.ndarray) -> None:
    with ShardWriter(path, feature_header("sample")) as writer:
        for i, array in enumerate(arrays):
            writer.add(Sample(key=sample_key(i), features={"whole": array}))


def read_webdataset(path: Path, fields: tuple[str, ...], *, block: bool) -> None:
    read = wds.WebDataset(str(path), shardshuffle=False).decode().to_tuple(*fields)
    for _ in read.unbatched() if block else read:
        pass


def read_vtok(path: Path) -> None:
    for _ in open_shards(path):
        pass


def medians(cases: dict[str, Callable[[], None]], num_samples: int) -> Figures:
    """Return case → median CPU microseconds a sample, the cases taken in turn."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, case in cases.items():
            start = time.process_time()
            case()
            times[name].append((time.process_time() - start) / num_samples * 1e6)
    return {name: statistics.median(values) for name, values in times.items()}


def measure(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    indices = rng.integers(0, 8192, (NUM_SAMPLES, 16, 16))
    narrow = indices.astype(np.uint16)  # what TarWriter is given: 512 bytes a sample
    features = rng.normal(size=(NUM_FEATURE_SAMPLES, 576, 1024)).astype(np.float16)
    field = "whole.indices.npy"
    paths = {name: folder / f"{name}.tar" for name in ("default", "mtime0", "sample", "block")}
    index_us = medians(
        {
            "TarWriter, default": lambda: write_tarwriter(
                paths["default"], field, narrow, mtime=None
            ),
            "TarWriter, mtime=0": lambda: write_tarwriter(paths["mtime0"], field, narrow, mtime=0),
            "vtok, a sample": lambda: write_samples(paths["sample"], "sample", indices),
            "vtok, blocks, sample by sample": lambda: write_samples(
                paths["block"], "block", indices
            ),
            "vtok, blocks, stacked": lambda: write_stacked(
                paths["block"], indices, index_header("block"), 256
            ),
            "TarWriter, mtime=0, with JSON": lambda: write_tarwriter(
                folder / "m.tar", field, narrow, mtime=0, meta=True
            ),
            "vtok, a sample, with JSON": lambda: write_samples(
                folder / "m.tar", "sample", indices, meta=True
            ),
        },
        NUM_SAMPLES,
    )
    feature_us = medians(
        {
            "TarWriter, mtime=0": lambda: write_tarwriter(
                folder / "f.tar", "whole.features.npy", features, mtime=0
            ),
            "vtok, a sample": lambda: write_features(folder / "f.tar", features),
            "vtok, blocks, stacked": lambda: write_stacked(
                folder / "f.tar", features, feature_header("block"), 3
            ),
        },
        NUM_FEATURE_SAMPLES,
    )
    feature_bytes = (folder / "f.tar").stat().st_size / NUM_FEATURE_SAMPLES
    read_us = medians(
        {
            "webdataset, a sample": lambda: read_webdataset(
                paths["sample"], ("__key__", field), block=False
            ),
            "vtok, a sample": lambda: read_vtok(paths["sample"]),
            "webdataset, blocks": lambda: read_webdataset(
                paths["block"], ("keys.json", field), block=True
            ),
            "vtok, blocks": lambda: read_vtok(paths["block"]),
        },
        NUM_SAMPLES,
    )
    return {
        "write_512_byte_indices_us": index_us,
        "bytes_a_sample": {name: path.stat().st_size / NUM_SAMPLES for name, path in paths.items()},
        "block_feature_overhead": feature_bytes / features[0].nbytes - 1,
        "write_1.18_MB_features_us": feature_us,
        "read_512_byte_indices_us": read_us,
        "ratios": {
            "TarWriter, default / vtok, a sample": index_us["TarWriter, default"]
            / index_us["vtok, a sample"],
            "TarWriter, mtime=0 / vtok, a sample": index_us["TarWriter, mtime=0"]
            / index_us["vtok, a sample"],
            "the same with JSON": index_us["TarWriter, mtime=0, with JSON"]
            / index_us["vtok, a sample, with JSON"],
            "TarWriter, default / vtok, blocks": index_us["TarWriter, default"]
            / index_us["vtok, blocks, stacked"],
            "TarWriter, mtime=0 / vtok, blocks": index_us["TarWriter, mtime=0"]
            / index_us["vtok, blocks, stacked"],
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    lines = [json.dumps(figures, indent=2)] if arguments.json else []
    for title, values in figures.items() if not arguments.json else ():
        lines.append(title)
        for name, value in values.items() if isinstance(values, dict) else [("", values)]:
            lines.append(f"  {name:38} {value:10.4g}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
