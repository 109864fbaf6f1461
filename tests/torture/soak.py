"""Soak: many images through a command, in flat memory, killed again and again on the way.

    python tests/torture/soak.py [--images 200000] [--kills 10] [--command tile --command encode-vq]

Each command runs twice over the same generated images: once in peace, watched for growth of memory
and descriptors (in the main process and in its decode workers), and once killed at random moments
and resumed until it ends. The two output folders have to be equal byte for byte, and no worker may
outlive its parent. Ends with a table, and with exit code 1 if anything grew, leaked or differed.
"""

import argparse
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
SHARD_SIZE = 1000
NUM_DRAWN = 96
SAMPLE_EVERY_S = 1.0
WARM_UP = 0.2
"""Share of the images before which growth does not count: pools and caches fill."""
MAX_GROWTH = 0.05
"""Of the median size, over the whole run: beyond it, memory is not flat."""
ORPHANS_S = 5.0


@dataclass(frozen=True)
class Moment:
    """What a run's processes held at one time."""

    images: int
    main_bytes: int
    worker_bytes: int
    descriptors: int


@dataclass
class Findings:
    """What became of one command."""

    command: str
    images: int
    seconds: float = 0.0
    kills: int = 0
    problems: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def main() -> int:
    """Run the soak; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--command", action="append", choices=["tile", "encode-vq"])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work; kept, and used again")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="vtok-soak-"))
    images = make_images(folder / "images", options.images)
    model = make_model(folder / "model")
    all_findings = []
    for command in options.command or ["tile", "encode-vq"]:
        arguments = [command, str(images)]
        extra = ["--shard-size", str(SHARD_SIZE), "--workers", str(options.workers), "--quiet"]
        extra += {
            "encode-vq": ["--model", str(model)],
            # One view an image: the run is what is soaked, not the cutting.
            "tile": ["--tile-size", "28", "--scheme", "squash"],
        }[command]
        findings = Findings(command, options.images)
        quiet, killed = folder / f"{command}-quiet", folder / f"{command}-killed"
        watch(findings, [*arguments, str(quiet), *extra], quiet)
        torment(findings, [*arguments, str(killed), *extra], killed, options)
        ours, theirs = folder_digest(quiet), folder_digest(killed)
        findings.lines.append(f"digest, quiet   {ours}")
        findings.lines.append(f"digest, killed  {theirs}")
        if ours != theirs:
            findings.problems.append("the killed run's bytes differ from the quiet run's")
        all_findings.append(findings)
        show(findings)
    if options.folder is None:
        shutil.rmtree(folder)
    return int(any(findings.problems for findings in all_findings))


def make_images(folder: Path, num_images: int) -> Path:
    """Generate small pictures of a few sizes and formats, no two alike, a thousand to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [_draw(number) for number in range(NUM_DRAWN)]
    for index in range(num_images):
        form, data = drawn[index % NUM_DRAWN]
        path = folder / f"{index // 1000:04d}" / f"{index % 1000:03d}.{form.lower()}"
        if path.exists():
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(_with_comment(form, data, b"number %d" % index))
    return folder


def _draw(number: int) -> tuple[str, bytes]:
    draw = np.random.default_rng(number)
    coarse = draw.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    size = (32 + 8 * (number % 3), 24 + 8 * (number % 4))
    form = "PNG" if number % 2 else "JPEG"
    encoded = io.BytesIO()
    Image.fromarray(coarse).resize(size).save(encoded, form)
    return form, encoded.getvalue()


def _with_comment(form: str, data: bytes, text: bytes) -> bytes:
    """Return an encoded image with some more bytes: to draw each would take too long."""
    if form == "JPEG":
        return data[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + data[2:]
    chunk = b"tEXtnumber\0" + text
    whole = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    return data[:33] + whole + data[33:]  # behind the header


def make_model(folder: Path) -> Path:
    """Write a tokenizer of the shipped architecture, small and with random weights."""
    if folder.exists():
        return folder
    program = (
        "import sys, torch; torch.manual_seed(0);"
        "from vtok.models.vtok_base import VtokBaseConfig as C, VtokBaseTokenizer as T;"
        "from vtok.models.files.weights import save_folder; from pathlib import Path;"
        "c = C(width=16, hidden=16, encoder_layers='c', decoder_layers='c', num_heads=2, window=4,"
        " codebook_size=300, code_dim=8); save_folder(Path(sys.argv[1]), T(c), c.to_json())"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], check=True, env=environment())
    return folder


def environment() -> dict[str, str]:
    """Return what the runs see: this tree's vtok, one thread."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    """Start the program in a group of its own."""
    code = "from vtok.cli.app import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment(), start_new_session=True
    )


def watch(findings: Findings, arguments: list[str], out: Path) -> None:
    """Run in peace, and look at what the processes hold as it goes on."""
    began = time.monotonic()
    process = start(arguments)
    moments = []
    while process.poll() is None:
        moment = look(process.pid, out)
        if moment is not None:
            moments.append(moment)
        time.sleep(SAMPLE_EVERY_S)
    findings.seconds = time.monotonic() - began
    if process.returncode:
        findings.problems.append(f"the quiet run ended with {process.returncode}")
        return
    report = json.loads((out / "manifest.json").read_text())
    if report["written"] != findings.images:
        findings.problems.append(f"written: {report['written']} of {findings.images}")
    steady = [each for each in moments if each.images >= WARM_UP * findings.images]
    if len(steady) < 8:
        findings.lines.append(
            f"only {len(steady)} looks at the quiet run: too short to tell growth"
        )
        return
    for name in ("main_bytes", "worker_bytes", "descriptors"):
        values = [getattr(each, name) for each in steady]
        slope = float(np.polyfit([each.images for each in steady], values, 1)[0])
        growth = slope * findings.images
        middle = float(np.median(values))
        if name == "descriptors":
            shown = f"{slope * 1e5:+.3f} per 100,000 images, median {middle:.0f}"
            leaks = growth >= 2
        else:
            shown = (
                f"{slope * 1000 / 1024:+.2f} KiB per 1,000 images "
                f"({growth / 2**20:+.1f} MiB over the run), median {middle / 2**20:.0f} MiB, "
                f"highest {max(values) / 2**20:.0f} MiB"
            )
            leaks = growth > MAX_GROWTH * middle
        findings.lines.append(f"{name:<14}  {shown}, {len(steady)} looks")
        if leaks:
            findings.problems.append(f"{name} grows: {shown}")


def torment(
    findings: Findings, arguments: list[str], out: Path, options: argparse.Namespace
) -> None:
    """Run again, killed at random moments, until a run ends by itself."""
    draw = random.Random(options.seed)
    moments = sorted(draw.uniform(0.01, 0.99) * findings.images for _ in range(options.kills))
    for moment in moments:
        process = start(arguments)
        while process.poll() is None and num_done(out) < moment:
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 2))
        if process.poll() is not None:
            findings.problems.append(f"a run ended with {process.returncode} before it was killed")
            continue
        workers = children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        findings.kills += 1
        check_orphans(findings, workers)
    code = start(arguments).wait()
    if code:
        findings.problems.append(f"the last run ended with {code}")


def check_orphans(findings: Findings, workers: list[int]) -> None:
    """Require the workers of a killed run to be gone soon."""
    began = time.monotonic()
    while alive := [pid for pid in workers if is_running(pid)]:
        if time.monotonic() - began > ORPHANS_S:
            findings.problems.append(f"{len(alive)} workers alive after {ORPHANS_S:g} s")
            return
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Tell whether a process is there, and is more than an entry that nobody has read yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def num_done(out: Path) -> int:
    """Return how many images the commit records in a folder stand for."""
    if not out.exists():
        return 0
    names = os.listdir(out)
    return SHARD_SIZE * sum(name.startswith("shard-") and name.endswith(".json") for name in names)


def look(pid: int, out: Path) -> Moment | None:
    """Return what a run's processes hold now; None if they are on their way out."""
    try:
        workers = children(pid)
        return Moment(
            images=num_done(out),
            main_bytes=resident_bytes(pid),
            worker_bytes=max(map(resident_bytes, workers), default=0),
            descriptors=sum(len(os.listdir(f"/proc/{each}/fd")) for each in [pid, *workers]),
        )
    except OSError:
        return None


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, from any of its threads."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, task.read_text().split())
    return found


def resident_bytes(pid: int) -> int:
    """Return the private resident memory of a process: pages shared with others are not counted."""
    _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def folder_digest(folder: Path) -> str:
    """Return one digest of all names and bytes in an output folder, the lock aside."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ".vtok.lock":
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(folder)} {content}\n".encode())
    return digest.hexdigest()


def show(findings: Findings) -> None:
    """Print what was found of one command."""
    rate = findings.images / findings.seconds if findings.seconds else 0
    print(f"{findings.command}: {findings.images:,} images, quiet run {findings.seconds:.0f} s")
    print(f"  {rate:.0f} images/s, killed {findings.kills} times and resumed")
    for line in findings.lines:
        print(f"  {line}")
    for problem in findings.problems or ["nothing grew, nothing leaked, the bytes are equal"]:
        print(f"  {'PROBLEM: ' if findings.problems else ''}{problem}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
