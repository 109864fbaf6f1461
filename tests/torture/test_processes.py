"""Whole processes, decode workers and all: signals, a parent that is killed, a disk that is full.

What `test_crash_sweep.py` does at every operation inside one process, this does from outside, with
what the operating system has for it: signals to the group, limits, a small tmpfs, strace.
"""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from broken_images import encoded, large_scan_bomb
from PIL import Image
from sweeps import Ending, differences, digests, lies, partials, state

TIMEOUT_S = 120.0
ORPHANS_S = 5.0
NUM_IMAGES = 40
TITLE = "Crash proof: whole processes"
HEADER = ("fault", "tried", "survived")
ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-c", "from vtok.cli.app import main; main()"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(sys.platform != "linux", reason="watches processes through /proc"),
]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More images than any run gets through before it is interrupted."""
    folder = tmp_path_factory.mktemp("many")
    for index in range(NUM_IMAGES):
        shade = np.full((30, 45, 3), index, np.uint8)
        Image.fromarray(shade).save(folder / f"{index:03d}.png")
    return folder


def arguments(images: Path, out: Path) -> list[str]:
    sizes = ["--tile-size", "28", "--shard-size", "2"]
    return ["tile", str(images), str(out), *sizes, "--workers", "2", "--quiet"]


@pytest.fixture(scope="module")
def expected(many: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("quiet") / "out"
    assert finished(arguments(many, out)).status == 0
    return digests(out)


def heed_signals() -> None:
    """Heed what a parent may ignore: as the tests run under `nohup`, or in the background."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start(command: list[str], **options: Any) -> "subprocess.Popen[str]":
    """Start the program as the leader of a group of its own."""
    options.setdefault("preexec_fn", heed_signals)
    return subprocess.Popen(
        [*PROGRAM, *command],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **options,
    )


def end(process: "subprocess.Popen[str]") -> Ending:
    words, _ = process.communicate(timeout=TIMEOUT_S)
    return Ending(process.returncode, [], "", words)


def finished(command: list[str], **options: Any) -> Ending:
    return end(start(command, **options))


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    ends = time.monotonic() + TIMEOUT_S
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends, f"no {path.name} after {TIMEOUT_S:g} s"
        time.sleep(0.005)


def workers_of(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, task.read_text().split())
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def seconds_until_gone(pids: list[int]) -> float:
    began = time.monotonic()
    while any(map(is_running, pids)):
        if time.monotonic() - began > TIMEOUT_S:
            return float("inf")
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("name", "signals", "code"),
    [
        ("SIGINT to the group", [signal.SIGINT], 130),
        ("SIGTERM", [signal.SIGTERM], 143),
        ("SIGHUP", [signal.SIGHUP], 129),
        ("SIGINT twice", [signal.SIGINT, signal.SIGINT], 130),
        ("SIGTERM twice", [signal.SIGTERM, signal.SIGTERM], 143),
        ("SIGKILL", [signal.SIGKILL], -9),
    ],
)
def test_signals(
    name: str,
    signals: list[signal.Signals],
    code: int,
    many: Path,
    expected: dict[str, str],
    tmp_path: Path,
    table_row: Callable[..., Any],
) -> None:
    out = tmp_path / "out"
    process = start(arguments(many, out))
    wait_for(out / "shard-000001.json", process)
    workers = workers_of(process.pid)
    for number in signals:
        if number == signal.SIGINT:  # as a terminal does: decode workers have groups of their own
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
    ending = end(process)
    found = [] if ending.status == code else [f"exit {ending.status}: {ending.words}"]
    found += lies(out, may_hold=[expected])
    if len(signals) == 1 and code > 0:
        found += partials(out)
    gone_s = seconds_until_gone(workers)
    if gone_s > ORPHANS_S:
        found.append(f"workers were alive for {gone_s} s")
    assert len(workers) == 2
    found += differences(finished(arguments(many, out)), out, expected)
    table_row(TITLE, HEADER, (name, "1", str(int(not found))))
    assert not found, "\n".join(found)


def test_no_worker_outlives_its_parent(tmp_path: Path, table_row: Callable[..., Any]) -> None:
    """Not even one that is inside a decoder, which does not listen to anyone."""
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    for index in range(4):
        (images / f"{index}.png").write_bytes(encoded(Image.new("RGB", (8, 8)), "PNG"))
    for index in range(2):
        (images / f"slow-{index}.jpg").write_bytes(large_scan_bomb(85))
    process = start(arguments(images, out))
    wait_for(out / "shard-000001.json", process)
    time.sleep(1.0)  # both workers are in the slow ones
    workers = workers_of(process.pid)
    process.kill()
    process.communicate()
    gone_s = seconds_until_gone(workers)
    row = ("parent killed, workers inside a decoder", "1", str(int(gone_s <= ORPHANS_S)))
    table_row(TITLE, HEADER, row)
    assert len(workers) == 2
    assert gone_s <= ORPHANS_S


def test_files_may_not_grow(
    many: Path, expected: dict[str, str], tmp_path: Path, table_row: Callable[..., Any]
) -> None:
    """The kernel refuses every write beyond a length (RLIMIT_FSIZE), as a quota does.

    It holds for memory shared with decode workers too, which is no image's fault.
    """
    cases = [(1, 0), (2000, 0), (2000, 2)]
    found: list[str] = []
    num_survived = 0
    for size, workers in cases:
        out = tmp_path / f"{size}-{workers}"

        def limit(size: int = size) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        here = [*arguments(many, out), "--workers", str(workers)]
        ending = finished(here, preexec_fn=limit)
        problems = full_disk_problems(ending, out, expected)
        if "the limit on the size of a file (ulimit -f" not in ending.words:
            problems.append(f"it does not say which limit: {ending.words}")
        problems += differences(finished(arguments(many, out)), out, expected)
        num_survived += not problems
        found += [f"at {size} bytes, {workers} workers: {problem}" for problem in problems]
    row = ("files may not grow (RLIMIT_FSIZE)", str(len(cases)), str(num_survived))
    table_row(TITLE, HEADER, row)
    assert not found, "\n".join(found)


def full_disk_problems(ending: Ending, out: Path, expected: dict[str, str]) -> list[str]:
    found = lies(out, may_hold=[expected])
    if ending.status != 3 or not re.fullmatch(r"vtok: error: cannot write .+\n", ending.words):
        found.append(f"exit {ending.status}: {ending.words}")
    if left := partials(out):
        found.append(f"temporary files are left: {left}")
    return found


@pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0,
    reason="mounting a tmpfs needs root and unshare",
)
def test_a_full_tmpfs(
    many: Path,
    expected: dict[str, str],
    tmp_path: Path,
    in_full: bool,
    table_row: Callable[..., Any],
) -> None:
    """No bytes left, or no inodes, at ever later points of the run."""
    whole = ["size=64m,nr_inodes=0"]
    limits = [f"size={kib}k,nr_inodes=0" for kib in range(4, 240, 4)]
    limits += [f"size=64m,nr_inodes={number}" for number in range(2, 40)]
    found: list[str] = []
    num_tried = num_survived = 0
    for limit in [*whole, *(limits if in_full else limits[3::24])]:
        folder = tmp_path / limit
        folder.mkdir()
        script = (
            "limit=$1; here=$2; kept=$3; shift 3;"
            ' mount -t tmpfs -o "$limit" none "$here" || exit 9;'
            ' "$@"; code=$?; cp -a "$here/out" "$kept"; exit $code'
        )
        kept = tmp_path / f"{limit}-kept"
        command = [*PROGRAM, *arguments(many, folder / "out")]
        run = subprocess.run(
            ["unshare", "-m", "sh", "-c", script, "sh", limit, folder, kept, *command],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        ending = Ending(run.returncode, [], "", run.stdout + run.stderr)
        if limit in whole:
            assert ending.status == 0, ending.words
            continue
        num_tried += 1
        problems = []
        if ending.status == 0:  # it was enough after all
            problems += differences(ending, kept, expected)
        else:
            problems += full_disk_problems(ending, kept, expected)
            problems += differences(finished(arguments(many, kept)), kept, expected)
        num_survived += not problems
        found += [f"{limit}: {problem}" for problem in problems]
    table_row(TITLE, HEADER, ("full tmpfs", str(num_tried), str(num_survived)))
    assert not found, "\n".join(found)


# Not unlink, which an undisturbed run does not call; nor ftruncate, by which a decode worker sizes
# shared memory: each of its successors dies there too, and the image is rightly recorded as failed.
SYSTEM_CALLS = ("write", "pwrite64", "fsync", "rename", "mkdir")


@pytest.mark.torture
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace (apt-get install strace)")
@pytest.mark.parametrize("call", SYSTEM_CALLS)
def test_killed_at_the_nth_system_call(
    call: str, many: Path, tmp_path: Path, table_row: Callable[..., Any]
) -> None:
    """As the kernel sees it: the call is in any thread of any process of the run."""
    images = tmp_path / "images"
    images.mkdir()
    for path in sorted(many.iterdir())[:5]:
        shutil.copy2(path, images)
    quiet = tmp_path / "quiet"
    assert finished(arguments(images, quiet)).status == 0
    expected = digests(quiet)
    found: list[str] = []
    num_tried = num_survived = 0
    resumed: set[str] = set()  # states of the folder that a run went on from already
    out, log = tmp_path / "out", tmp_path / "strace"

    def traced(*injection: str) -> list[str]:
        """Run under strace; return the threads that made the call, one for every time."""
        shutil.rmtree(out, ignore_errors=True)
        command = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={call}", *injection]
        command += [*PROGRAM, *arguments(images, out)]
        subprocess.run(command, env=ENVIRONMENT, capture_output=True, check=False)
        lines = (line.split(maxsplit=1) for line in log.read_text().splitlines())
        return [thread for thread, what in lines if what.startswith(f"{call}(")]

    most = max(Counter(traced()).values())  # strace counts the calls of each thread by itself
    for number in range(1, most + 1):
        traced("-e", f"inject={call}:signal=KILL:when={number}")
        problems = lies(out, may_hold=[expected])
        left_behind = state(out)
        if left_behind not in resumed:
            problems += differences(finished(arguments(images, out)), out, expected)
        if not problems:
            resumed.add(left_behind)
        num_tried += 1
        num_survived += not problems
        found += [f"{call} {number}: {problem}" for problem in problems]
    row = (f"killed at the n-th {call} (strace)", str(num_tried), str(num_survived))
    table_row(TITLE, HEADER, row)
    assert num_tried
    assert not found, "\n".join(found)


def test_the_failures_of_a_run_are_those_of_the_resumed_one(
    many: Path, tmp_path: Path, table_row: Callable[..., Any]
) -> None:
    """Killed with failures behind it, a run counts them once, and all of them."""
    images = tmp_path / "images"
    shutil.copytree(many, images)
    for index in range(0, NUM_IMAGES, 5):
        (images / f"{index:03d}.png").write_bytes(b"broken")
    command = [*arguments(images, tmp_path / "out"), "--max-failure-rate", "1"]
    process = start(command)
    wait_for(tmp_path / "out" / "shard-000004.json", process)
    process.kill()
    process.communicate()
    again = finished([*command[:-3], "--max-failure-rate", "1", "--json"])
    report = json.loads(again.words)
    counts = [report[name] for name in ("planned", "written", "duplicates", "failed")]
    row = ("killed among failing images", "1", str(int(counts == [40, 32, 0, 8])))
    table_row(TITLE, HEADER, row)
    assert counts == [40, 32, 0, 8]
    assert len(report["failures"]) == 8
