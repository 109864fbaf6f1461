"""Two thousand broken, hostile and odd files: every one accounted for, within memory and time.

The whole program runs over a generated folder (`broken_images.py`) with supervised decode workers.
Every file has to be written, or to have failed with a reason that is true of it; no worker may ever
hold more than 1 GB, no image may take longer than 20 s. `make test`
takes a sample of every class, `make torture` all files.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from broken_images import UNREADABLE, WRITTEN, Specimen, specimens, write_corpus, write_traps

from vtok.io.paths import path_text

MAX_WORKER_BYTES = 1 << 30
EVERY = 12
"""In `make test`: one file in so many of the large classes."""
LARGE = ("truncated", "flipped bits", "noise behind a signature", "no image", "orientations")
HEAVY = 1 << 16
"""Bombs that decode whole take seconds: `make test` has those smaller than this, and refused."""
HEADER = ("class", "tried", "survived")
TITLE = "Bad input: files written or failed for a true reason"
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MOST_S = 20.0
"""Of any image; the limit at which its worker is ended is lower, for the ending takes time too."""


BOUND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""As root, but bound by the modes of files like everyone."""


def can_be_refused() -> bool:
    """Tell whether the program can be run so that a file's mode keeps it out."""
    return os.geteuid() != 0 or shutil.which("setpriv") is not None


class Watch:
    """The most memory that each child of a process has held, looked at until it ends."""

    def __init__(self, pid: int) -> None:
        self.peaks: dict[int, int] = {}
        self._pid = pid
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(0.02):
            for path in Path(f"/proc/{self._pid}/task").glob("*/children"):
                for child in _read(path).split():
                    peak = _read(Path(f"/proc/{child}/status")).partition("VmHWM:")[2].split()
                    if peak:
                        most = max(self.peaks.get(int(child), 0), int(peak[0]) << 10)
                        self.peaks[int(child)] = most


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


class Result(NamedTuple):
    """What the program made of a folder: source → `WRITTEN` or the reason, and its workers."""

    fates: dict[str, str]
    messages: dict[str, str]
    report: dict[str, Any]
    peak_bytes: int
    num_workers_seen: int
    seconds: float
    file_seconds: dict[str, float]


def run_tile(folder: Path, out: Path, *, prefix: tuple[str, ...] = ()) -> Result:
    """Run `vtok tile` over a folder; every image may fail."""
    notes = out.with_name(f"{out.name}.times")
    options = ["--tile-size", "56", "--max-failure-rate", "1", "--workers", "2", "--json"]
    began = time.monotonic()
    process = subprocess.Popen(
        [*prefix, sys.executable, HERE / "timed.py", notes, "tile", folder, out, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    watch = Watch(process.pid)
    printed, complaints = process.communicate()
    watch.stop()
    assert process.returncode == 0, complaints.decode(errors="replace")[-2000:]
    report = json.loads(printed)
    messages = {each["source"]: each["message"] for each in report["failures"]}
    fates = {each["source"]: each["reason"] for each in report["failures"]}
    written = written_sources(out)
    assert not fates.keys() & set(written)
    assert len(written) == len(set(written)) == report["written"]
    return Result(
        fates={**fates, **dict.fromkeys(written, WRITTEN)},
        messages=messages,
        report=report,
        peak_bytes=max(watch.peaks.values(), default=0),
        num_workers_seen=len(watch.peaks),
        seconds=time.monotonic() - began,
        file_seconds=longest_of(notes),
    )


def longest_of(notes: Path) -> dict[str, float]:
    """Return the longest time that each file was in a worker's hands."""
    found: dict[str, float] = {}
    for line in notes.read_text().splitlines():
        seconds, _, source = line.partition("\t")
        name = json.loads(source)
        found[name] = max(float(seconds), found.get(name, 0.0))
    return found


def written_sources(out: Path) -> list[str]:
    """Return the source of every sample in the shards, read with the standard library."""
    found = []
    for shard in sorted(out.glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.name.endswith(".json") and member.name != "__vtok__":
                    file = tar.extractfile(member)
                    assert file is not None
                    found.append(json.loads(file.read()).get("source"))
    return [source for source in found if source is not None]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, in_full: bool) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("corpus")
    if in_full:
        return folder, write_corpus(folder)
    counts: Counter[str] = Counter()

    def is_taken(specimen: Specimen) -> bool:
        counts[specimen.group] += 1
        if specimen.group in LARGE:
            return counts[specimen.group] % EVERY == 1
        is_bomb = "bombs" in specimen.group
        return not is_bomb or (len(specimen.data) < HEAVY and WRITTEN not in specimen.may)

    few = (specimen for specimen in specimens(is_short=True) if is_taken(specimen))
    return folder, write_corpus(folder, few)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform != "linux", reason="watches the workers through /proc")
def test_every_file_is_accounted_for(
    corpus: tuple[Path, dict[bytes, Specimen]],
    tmp_path: Path,
    in_full: bool,
    table_row: Callable[..., Any],
) -> None:
    folder, files = corpus
    traps = write_traps(folder / "traps")
    prefix: tuple[str, ...] = ()
    if can_be_refused():
        secret = folder / "traps" / "secret.jpg"
        secret.write_bytes((folder / "traps" / "good.jpg").read_bytes())
        secret.chmod(0)
        traps[b"secret.jpg"] = UNREADABLE
        prefix = BOUND if os.geteuid() == 0 else ()
    result = run_tile(folder, tmp_path / "out", prefix=prefix)
    expected = {path_text(path): specimen for path, specimen in files.items()}
    tried: Counter[str] = Counter()
    survived: Counter[str] = Counter()
    wrong = []
    for name, may in traps.items():
        source = f"traps/{name.decode()}"
        if may is not None:
            expected[source] = Specimen("links, no permission", name, b"", may)
            continue
        tried["FIFO, socket, device"] += 1
        if source in result.fates:
            wrong.append(f"{source}: {result.fates[source]}, not passed over")
        else:
            survived["FIFO, socket, device"] += 1
    for source, specimen in expected.items():
        tried[specimen.group] += 1
        fate = result.fates.get(source, "lost")
        if fate in specimen.may:
            survived[specimen.group] += 1
        else:
            message = result.messages.get(source, "")
            wrong.append(f"{source}: {fate} ({message}), not {sorted(specimen.may)}")
    for group in tried:
        table_row(TITLE, HEADER, (group, str(tried[group]), str(survived[group])))
    figures = (
        f"{len(expected)} files in {result.seconds:.0f} s, {result.report['failed']} failed "
        f"({dict(Counter(result.fates.values()))}), {result.num_workers_seen} workers, "
        f"the largest {result.peak_bytes / 2**20:.0f} MiB"
    )
    slowest = sorted(result.file_seconds.items(), key=lambda each: -each[1])
    table_row("Bad input: memory and time", ("", "figures"), (str(len(expected)), figures))
    for source, seconds in slowest[:5]:
        table_row("Bad input: the slowest files", ("file", "seconds"), (source, f"{seconds:.2f}"))
    assert not wrong, "\n".join(wrong)
    assert set(result.fates) == set(expected)  # no FIFO, no socket, no device, nothing twice
    if "traps/secret.jpg" in expected:
        assert "Permission denied" in result.messages["traps/secret.jpg"]
    assert result.report["planned"] == len(expected)
    assert result.peak_bytes <= MAX_WORKER_BYTES, figures
    assert result.num_workers_seen >= 2
    assert set(result.file_seconds) == set(expected)
    if in_full:
        assert len(files) >= 2000
        assert slowest[0][1] <= MOST_S, slowest[0]
