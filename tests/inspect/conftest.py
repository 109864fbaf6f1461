"""Folders of images and of shards, made by the writers that the commands use."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vtok.records import Failure
from vtok.shards.commit import CommitRecord, Tally, commit_shard
from vtok.shards.header import Layout, ModelRecord, ShardHeader
from vtok.shards.manifest import finish_run
from vtok.shards.plan import RunPlan, begin_run, shard_name
from vtok.shards.samples import Sample
from vtok.shards.writer import ShardWriter

CODES = 1024
MODEL = ModelRecord(
    name="fake", family="fake", weights_sha256="ab" * 32, codebook_size=CODES, spec={}
)
BuildRun = Callable[..., Path]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Good images of three kinds, and files that are none."""
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("RGB", (1008, 672), "red").save(folder / "a-landscape.jpg")
    Image.new("L", (300, 800)).save(folder / "b-portrait.png")
    Image.new("RGB", (1, 1)).save(folder / "c-dot.png")
    Image.new("RGB", (1, 20000)).save(folder / "d-strip.png")
    (folder / "e-empty.jpg").write_bytes(b"")
    (folder / "f-text.png").write_text("not an image")
    return folder


def indices_of(position: int) -> np.ndarray:
    """Return (6, 9) indices that differ from sample to sample."""
    return (np.arange(54).reshape(6, 9) * 7 + position * 31) % CODES


@pytest.fixture
def build_run(tmp_path: Path) -> BuildRun:
    """Return a maker of output folders of seven images in shards of three; the fifth failed."""

    def build(name: str = "out", *, num_done: int = 3, layout: Layout = "sample") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        plan = RunPlan(
            command="encode-vq",
            inputs_sha256="cd" * 32,
            num_samples=7,
            shard_size=3,
            configuration={"layout": layout},
            model=MODEL,
            versions={"vtok": "0.1.0"},
            about={"python": "3.11"},
        )
        begin_run(folder, plan)
        header = ShardHeader(
            kind="indices",
            layout=layout,
            plan_sha256=plan.sha256,
            model=MODEL,
            scheme={"name": "native", "options": {"patch_px": 8}},
        )
        commits = [write_shard(folder, plan, header, shard) for shard in range(num_done)]
        if num_done == plan.num_shards:
            finish_run(folder, plan, commits)
        return folder

    return build


def write_shard(folder: Path, plan: RunPlan, header: ShardHeader, shard: int) -> CommitRecord:
    """Write one shard and its commit record."""
    counts = np.zeros(CODES, np.int64)
    failures = []
    with ShardWriter(folder / shard_name(shard), header) as writer:
        for position in plan.shard_range(shard):
            key, source = f"{position:012d}", f"{position}.jpg"
            if position == 4:
                failures.append(Failure(
                    key=key, source=source, stage="decode", reason="corrupt", message="it is cut"
                ))  # fmt: skip
                continue
            indices = indices_of(position)
            counts += np.bincount(indices.reshape(-1), minlength=CODES)
            meta = {"source": source, "size": {"height": 48, "width": 72}, "conversions": ["grey"]}
            writer.add(Sample(key=key, meta=meta, indices={"whole": indices}))
    num_written = writer.written.num_samples
    tally = Tally(
        failures=tuple(failures),
        num_views=num_written,
        num_tokens=54 * num_written,
        conversions={"grey": num_written},
        codebook_counts=tuple(counts.tolist()),
    )
    return commit_shard(folder, plan, shard, writer.written, tally)
