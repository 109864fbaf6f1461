"""Headers, samples and whole runs for the tests of shards."""

from pathlib import Path

import numpy as np

from vtok.records import Failure
from vtok.shards.commit import CommitRecord, Tally, commit_shard
from vtok.shards.header import Layout, ModelRecord, ShardHeader
from vtok.shards.keys import sample_key
from vtok.shards.plan import RunPlan, begin_run, shard_name
from vtok.shards.samples import ImageBytes, Sample
from vtok.shards.writer import ShardWriter, WrittenShard

MODEL = ModelRecord(
    name="tiny", family="test", weights_sha256="ab" * 32, codebook_size=8192, spec={"f": 16}
)


def index_header(layout: Layout = "sample", plan_sha256: str = "0" * 64) -> ShardHeader:
    return ShardHeader(kind="indices", layout=layout, plan_sha256=plan_sha256, model=MODEL)


def index_samples(num_samples: int, *, first: int = 0, sidecar: bool = True) -> list[Sample]:
    rng = np.random.default_rng(first)
    return [
        Sample(
            key=sample_key(first + i),
            meta={"source": f"photos/{i}.jpg", "size": {"height": 64, "width": 48}},
            indices={"whole": rng.integers(0, 8192, (4, 3))},
            sidecars={"txt": f"caption {i} é".encode()} if sidecar else {},
        )
        for i in range(num_samples)
    ]


def tile_sample(key: str = "000000000000") -> Sample:
    return Sample(
        key=key,
        meta={"grid": {"rows": 1, "cols": 2}},
        images={
            "tile-000": ImageBytes("png", b"png bytes"),
            "tile-001": ImageBytes("png", b"more"),
            "thumbnail": ImageBytes("jpg", b"jpeg bytes"),
        },
    )


def write_shard(
    path: Path, header: ShardHeader, samples: list[Sample], *, samples_per_block: int = 256
) -> WrittenShard:
    with ShardWriter(path, header, samples_per_block=samples_per_block) as writer:
        for sample in samples:
            writer.add(sample)
    return writer.written


def run_plan(num_samples: int = 10, shard_size: int = 4, **changes: object) -> RunPlan:
    settings: dict[str, object] = {
        "command": "encode-vq",
        "inputs_sha256": "12" * 32,
        "num_samples": num_samples,
        "shard_size": shard_size,
        "configuration": {"scheme": "closest", "tile_size": 336},
        "model": MODEL,
        "versions": {"torch": "2.13"},
        "about": {"workers": "2"},
    }
    return RunPlan(**{**settings, **changes})  # type: ignore[arg-type]


def write_run(folder: Path, plan: RunPlan, *, layout: Layout = "sample") -> list[CommitRecord]:
    """Write every shard of a plan; the last sample of the run fails."""
    folder.mkdir(exist_ok=True)
    begin_run(folder, plan)
    commits = []
    for shard in range(plan.num_shards):
        positions = plan.shard_range(shard)
        samples = index_samples(len(positions), first=positions.start)
        failures: tuple[Failure, ...] = ()
        if shard == plan.num_shards - 1:
            last = samples.pop()
            failures = (
                Failure(
                    key=last.key, source="x.jpg", stage="decode", reason="corrupt", message="cut"
                ),
            )
        written = write_shard(
            folder / shard_name(shard), index_header(layout, plan.sha256), samples
        )
        counts = np.zeros(8192, int)
        for sample in samples:
            np.add.at(counts, sample.indices["whole"].reshape(-1), 1)
        tally = Tally(
            failures=failures,
            num_views=len(samples),
            num_tokens=12 * len(samples),
            conversions={"exif-orientation": 2},
            codebook_counts=tuple(counts.tolist()),
        )
        commits.append(commit_shard(folder, plan, shard, written, tally))
    return commits
