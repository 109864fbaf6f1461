"""Fuzzing of everything that reads untrusted bytes: a typed error, or what an oracle agrees with.

    python tests/torture/fuzz.py                           every target, 60 s each
    python tests/torture/fuzz.py tar npy --seconds 3600    two of them, for long
    python tests/torture/fuzz.py tar --atheris             guided by coverage (pip install atheris)

A target takes bytes. It may raise the errors of its class and nothing else; what it accepts is held
to somebody else's reader where there is one (tarfile, numpy, json, Pillow). Inputs are seeds,
mutated: bits, bytes, spans, numbers at their edges, splices of two seeds, and checksums made right
again where a format would stop at them. What fails is written to `fuzz-TARGET-DIGEST` and belongs
into the tests of its reader then.
"""

import argparse
import contextlib
import hashlib
import io
import json
import random
import re
import struct
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

# Guided fuzzing has to see the modules as they are loaded.
if "--atheris" in sys.argv:
    import atheris

    loading = atheris.instrument_imports(include=["vtok"])
else:
    loading = contextlib.nullcontext()

with loading:
    from vtok.errors import ManifestError, SampleError, ShardError, VtokError, WeightsError
    from vtok.io.images import DecodeLimits, decode, read_header
    from vtok.io.json_files import parse_json
    from vtok.io.sources import open_source
    from vtok.io.tar import iter_members, read_member
    from vtok.shards.commit import CommitRecord, Tally, commit_shard
    from vtok.shards.fields import decode_json
    from vtok.shards.header import ModelRecord, ShardHeader
    from vtok.shards.manifest import Manifest, finish_run
    from vtok.shards.npy import ANY_INTEGER_DTYPES, STORED_DTYPES, decode_npy, encode_npy
    from vtok.shards.plan import RunPlan, begin_run
    from vtok.shards.reader import Shard
    from vtok.shards.samples import Sample
    from vtok.shards.strict import StrictObject
    from vtok.shards.writer import ShardWriter

DTYPES = tuple(dict.fromkeys((*STORED_DTYPES, *ANY_INTEGER_DTYPES)))
MAX_PIXELS = 1 << 20
EDGES = (0, 1, 2, 7, 8, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
WORDS = (b"NaN", b"Infinity", b"-1", b"1e999", b"null", b"[", b"{", b'"', b"\\ud800", b"9" * 40,
         b"true", b"\x00", b"\xff\xd8", b"..", b"/etc/passwd", b"\n")  # fmt: skip


@dataclass(frozen=True)
class Target:
    """One reader.

    Attributes:
        check: Reads bytes; an `AssertionError` says that the oracle disagrees.
        errors: What it may raise besides.
        seeds: Bytes that it accepts.
        mend: Makes checksums right again after a mutation.
    """

    check: Callable[[bytes], None]
    errors: tuple[type[Exception], ...]
    seeds: list[bytes] = field(default_factory=list)
    mend: Callable[[bytes], bytes] = lambda data: data


def check_tar(data: bytes) -> None:
    """Hold the names and bytes of an archive to those that tarfile reads."""
    file = io.BytesIO(data)
    members = list(iter_members(file, num_bytes=len(data)))
    ours = [(each.name, read_member(file, each)) for each in members]
    theirs = tarfile_reads(data)
    # tarfile stops, or says so, at modes and times that are no numbers; we do not look at those.
    for (name, content), (their_name, their_content) in zip(ours, theirs, strict=False):
        # A file of the oldest kind whose short name was cut behind a slash is a folder to tarfile,
        # whatever its long name says.
        assert content == their_content or (their_content is None and not name.endswith("/"))
        # It takes the times of GNU headers for the beginning of a name, which GNU tar does not.
        assert name.rstrip("/") == their_name or their_name.endswith("/" + name)
    assert len(theirs) <= len(ours)


def tarfile_reads(data: bytes) -> list[tuple[str, bytes | None]]:
    """Return names and bytes of the regular files that tarfile finds before it gives up."""
    found = []
    with (
        contextlib.suppress(tarfile.TarError),
        tarfile.open(fileobj=io.BytesIO(data), mode="r:", errors="surrogateescape") as tar,
    ):
        for member in tar:
            file = tar.extractfile(member)
            found.append((member.name, None if file is None else file.read()))
    return found


def check_npy(data: bytes) -> None:
    """Hold an array to numpy's."""
    ours = decode_npy(data, dtypes=DTYPES)
    theirs = np.load(io.BytesIO(data), allow_pickle=False)
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert ours.tobytes() == theirs.tobytes()


def check_json(data: bytes) -> None:
    """Hold both readers of JSON to Python's."""
    for read in (lambda: parse_json(data, source="x"), lambda: decode_json(data)):
        try:
            value = read()
        except (ManifestError, ShardError):
            continue
        assert value == json.loads(data)


def check_records(data: bytes) -> None:
    """Read a plan, a commit, a manifest and a header; what is accepted says the same again."""
    value = decode_json(data)
    for kind in (RunPlan, CommitRecord, Manifest):
        try:
            record = kind.read(StrictObject(value, "x"))
        except ManifestError:
            continue
        assert kind.read(StrictObject(record.to_json(), "x")) == record
    with contextlib.suppress(ShardError, ManifestError):
        header = ShardHeader.decode(data, where="x")
        assert ShardHeader.decode(header.encode(), where="x") == header


def check_shard(data: bytes) -> None:
    """Read every sample of a shard: indices within the codebook, keys all different."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(data)
        file.flush()
        shard = Shard(Path(file.name))
        keys = []
        for sample in shard:
            keys.append(sample.key)
            for array in sample.indices.values():
                assert int(array.max(initial=0)) < shard.header.codebook_size
            for array in sample.features.values():
                assert np.isfinite(array.astype(np.float64)).all()
        assert len(set(keys)) == len(keys)
        assert list(shard.keys()) == keys


def check_image(data: bytes) -> None:
    """Read a header and decode: the same size both times, and Pillow's where that opens it."""
    header = read_header(data)
    limits = DecodeLimits(max_pixels=MAX_PIXELS)
    result = decode(data, limits)
    assert result.size == header.size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of tags that it skips
        image = Image.open(io.BytesIO(data))
    with image:
        assert sorted(image.size) == sorted((header.size.width, header.size.height))


def check_list(data: bytes) -> None:
    """List a table and an archive of images that somebody else has made."""
    for extension in ("csv", "jsonl", "txt", "tar"):
        with tempfile.NamedTemporaryFile(suffix=f".{extension}") as file:
            file.write(data)
            file.flush()
            with contextlib.suppress(VtokError):
                for item in open_source(file.name).list():
                    assert "\n" not in item.source
                    if extension == "tar":
                        item.read(max_bytes=1 << 20)


def check_pickle(data: bytes) -> None:
    """Read weights without running them."""
    from vtok.models.files.pickles import read_pickle

    with tempfile.NamedTemporaryFile(suffix=".pt") as file:
        file.write(data)
        file.flush()
        read_pickle(Path(file.name))


def check_weights(data: bytes) -> None:
    """Read a model folder whose weights or configuration are these bytes."""
    from vtok.models.registry import load_tokenizer

    with tempfile.TemporaryDirectory() as folder:
        name = "config.json" if data[:1] == b"{" else "model.safetensors"
        for path in small_model().iterdir():
            (Path(folder) / path.name).write_bytes(path.read_bytes())
        (Path(folder) / name).write_bytes(data)
        load_tokenizer(folder)


_MODEL: list[Path] = []


def small_model() -> Path:
    """Return a model folder, made once."""
    import torch

    from vtok.models.files.weights import save_folder
    from vtok.models.vtok_base import VtokBaseTokenizer
    from vtok.models.vtok_base_networks import VtokBaseConfig

    if not _MODEL:
        config = VtokBaseConfig(
            width=8, hidden=8, encoder_layers="c", decoder_layers="c", num_heads=1, window=4,
            codebook_size=16, code_dim=4,
        )  # fmt: skip
        _MODEL.append(Path(tempfile.mkdtemp(prefix="vtok-fuzz-")))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            save_folder(_MODEL[0], VtokBaseTokenizer(config), config.to_json())
    return _MODEL[0]


def mend_tar(data: bytes) -> bytes:
    """Make the checksum of every header right that looks like one."""
    mended = bytearray(data)
    for at in range(0, len(data) - 511, 512):
        if data[at + 257 : at + 262] == b"ustar":
            total = sum(mended[at : at + 512]) - sum(mended[at + 148 : at + 156]) + 8 * 32
            mended[at + 148 : at + 156] = b"%06o\0 " % total
    return bytes(mended)


def mend_png(data: bytes) -> bytes:
    """Make the checksum of every PNG chunk right, as far as lengths can be followed."""
    mended = bytearray(data)
    at = 8
    while data[:4] == b"\x89PNG" and at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        mended[end : end + 4] = struct.pack(">I", zlib.crc32(mended[at + 4 : end]))
        at = end + 4
    return bytes(mended)


def tar_seeds() -> list[bytes]:
    """Return archives in three formats."""
    seeds = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
            for name, size in [("a.jpg", 3), ("b/" + "c" * 90 + ".json", 600), ("d.npy", 0)]:
                member = tarfile.TarInfo(name)
                member.size = size
                tar.addfile(member, io.BytesIO(bytes(size)))
            if form != tarfile.USTAR_FORMAT:
                member = tarfile.TarInfo("long/" * 30 + "é.jpg")
                tar.addfile(member)
        seeds.append(buffer.getvalue()[: 512 * 16] + bytes(1024))
    return seeds


def run_seeds() -> dict[str, list[bytes]]:
    """Return the files of a small run: its shards, in both layouts, and its records."""
    seeds: dict[str, list[bytes]] = {"shard": [], "records": []}
    model = ModelRecord(name="m", family="f", weights_sha256="0" * 64, codebook_size=300)
    for layout in ("sample", "block"):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            plan = RunPlan(
                command="encode-vq", inputs_sha256="1" * 64, num_samples=3, shard_size=3,
                configuration={"scheme": {"name": "native"}}, model=model, versions={"vtok": "1"},
                about={"input": "x"},
            )  # fmt: skip
            begin_run(folder, plan)
            header = ShardHeader(
                kind="indices", layout=layout, plan_sha256=plan.sha256, model=model,  # type: ignore[arg-type]
                feature_dtype=None, scheme={"name": "native"},
            )  # fmt: skip
            with ShardWriter(folder / "shard-000000.tar", header) as writer:
                for number in range(3):
                    key = f"{number:012d}"
                    indices = {"whole": np.full((2, 3), 299 - number)}
                    writer.add(Sample(key=key, meta={"key": key, "source": "x"}, indices=indices))
            counts = [0] * 300
            for number in range(3):
                counts[299 - number] = 6
            tally = Tally(num_views=3, num_tokens=18, codebook_counts=tuple(counts))
            commit = commit_shard(folder, plan, 0, writer.written, tally)
            finish_run(folder, plan, [commit])
            seeds["shard"].append((folder / "shard-000000.tar").read_bytes())
            seeds["records"] += [path.read_bytes() for path in sorted(folder.glob("*.json"))]
            seeds["records"].append(header.encode())
    return seeds


def image_seeds() -> list[bytes]:
    """Return a small image of every format, one of them progressive, one 16 bits deep."""
    from broken_images import encoded, picture, sound

    seeds = list(sound().values())
    seeds.append(encoded(picture(16, 16), "JPEG", progressive=True))
    seeds.append(encoded(Image.fromarray(np.full((9, 9), 999, np.uint16)), "PNG"))
    frames = [picture(8, 8, seed=seed) for seed in range(3)]
    seeds.append(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    return seeds


def pickle_seeds() -> list[bytes]:
    """Return checkpoints in both of torch's formats."""
    import torch

    seeds = []
    state = {"state_dict": {"a.weight": torch.ones(2, 3), "b": torch.arange(4)}, "epoch": 3}
    for zipped in (True, False):
        buffer = io.BytesIO()
        torch.save(state, buffer, _use_new_zipfile_serialization=zipped)
        seeds.append(buffer.getvalue())
    return seeds


def targets() -> dict[str, Target]:
    """Return every target by name."""
    arrays = [np.arange(6, dtype=np.uint16).reshape(2, 3), np.ones((1, 4), np.float32)]
    runs = run_seeds()
    model = small_model()
    lists = [
        b"path,caption\na.png,x\n", b'{"path": "a.png", "caption": "x"}\n', b"a.png\nb.png\n",
        *tar_seeds(),
    ]  # fmt: skip
    return {
        "tar": Target(check_tar, (ShardError,), tar_seeds(), mend_tar),
        "npy": Target(check_npy, (ShardError,), [encode_npy(array) for array in arrays]),
        "json": Target(check_json, (), [b'{"a": [1, -2.5e3, "\\u00e9"], "b": {"c": null}}']),
        "records": Target(check_records, (ShardError, ManifestError), runs["records"]),
        "shard": Target(check_shard, (ShardError,), runs["shard"], mend_tar),
        "image": Target(check_image, (SampleError,), image_seeds(), mend_png),
        "list": Target(check_list, (), lists, mend_tar),
        "pickle": Target(check_pickle, (WeightsError,), pickle_seeds()),
        "weights": Target(
            check_weights,
            (WeightsError, VtokError),
            [(model / name).read_bytes() for name in ("config.json", "model.safetensors")],
        ),
    }


def mutate(draw: random.Random, seeds: list[bytes]) -> bytes:
    """Return a seed with one to four changes."""
    data = bytearray(draw.choice(seeds))
    for _ in range(draw.randint(1, 4)):
        data = bytearray(_change(draw, data, seeds))
    return bytes(data)


def _change(draw: random.Random, data: bytearray, seeds: list[bytes]) -> bytes:
    reach = len(data) if draw.random() < 0.5 else min(len(data), 512)
    at = draw.randrange(reach + 1)
    span = draw.choice((1, 2, 4, 8, 64, 512))
    match draw.randrange(9):
        case 0:
            if data:
                data[at % len(data)] ^= 1 << draw.randrange(8)
        case 1:
            data[at : at + 1] = bytes([draw.randrange(256)])
        case 2:
            del data[at : at + span]
        case 3:
            data[at:at] = data[at : at + span] * draw.choice((1, 1, 2, 40))
        case 4:
            data[at:at] = draw.randbytes(span)
        case 5:
            width = draw.choice((1, 2, 4, 8))
            number = draw.choice(EDGES) % (1 << 8 * width)
            data[at : at + width] = number.to_bytes(width, draw.choice(("big", "little")))
        case 6:
            word = draw.choice(WORDS)
            data[at : at + draw.choice((0, len(word)))] = word
        case 7:
            other = draw.choice(seeds)
            data[at:] = other[draw.randrange(len(other) + 1) :]
        case _:
            numbers = list(re.finditer(rb"[0-9]+", data))
            if numbers:
                found = draw.choice(numbers)
                data[found.start() : found.end()] = b"%d" % draw.choice(EDGES)
    return bytes(data[: 1 << 20])


def attempt(target: Target, data: bytes) -> BaseException | None:
    """Return what a target does that it may not do."""
    try:
        target.check(data)
    except target.errors:
        return None
    except (Exception, RecursionError) as error:  # noqa: BLE001 - the thing that is looked for
        return error
    return None


def fuzz(
    name: str, target: Target, *, seed: int, runs: int | None = None, seconds: float = 0
) -> tuple[int, list[tuple[bytes, BaseException]]]:
    """Try mutations, so many or for so long; return how many, and what failed."""
    draw = random.Random(f"{name} {seed}")
    failures = []
    ends = time.monotonic() + seconds
    count = 0
    while count < runs if runs is not None else time.monotonic() < ends:
        data = mutate(draw, target.seeds)
        data = target.mend(data) if draw.random() < 0.7 else data
        error = attempt(target, data)
        if error is not None:
            failures.append((data, error))
        count += 1
    return count, failures


def main() -> int:
    """Fuzz the targets that were named; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", help="all of them by default")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--seed", type=int, default=None, help="by default another every time")
    parser.add_argument("--atheris", action="store_true", help="be guided by coverage")
    options = parser.parse_args()
    all_targets = targets()
    seed = options.seed if options.seed is not None else int(time.time())
    num_failed = 0
    for name in options.targets or all_targets:
        target = all_targets[name]
        if options.atheris:
            guided(target)  # does not come back
        count, failures = fuzz(name, target, seed=seed, seconds=options.seconds)
        print(f"{name:<8} {count:>9,} tried  {count - len(failures):>9,} survived  (seed {seed})")
        shown = set()
        for data, error in failures:
            where = traceback.extract_tb(error.__traceback__)[-1]
            kind = (type(error), where.filename, where.lineno)
            if kind in shown:
                continue
            shown.add(kind)
            path = Path(f"fuzz-{name}-{hashlib.sha256(data).hexdigest()[:12]}")
            path.write_bytes(data)
            print(f"  {path}: {error!r} at {where.filename}:{where.lineno}")
        num_failed += len(shown)
        sys.stdout.flush()
    return int(num_failed > 0)


def guided(target: Target) -> None:
    """Fuzz one target for ever, by the branches that inputs reach."""

    def one(data: bytes) -> None:
        error = attempt(target, target.mend(data))
        if error is not None:
            raise error

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], corpus], one)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
