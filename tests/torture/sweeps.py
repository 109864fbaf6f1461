"""What every sweep needs: the program on a faulty disk, and whether a folder tells the truth.

In: a scenario (a command over small inputs) and a fault. Out: how the run ended, and what of the
output folder contradicts itself. The checks read JSON and digests by themselves, not through vtok.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
EXIT_CODES = {
    "kill": -9, "torn": -9, "enospc": 3, "eio": 3, "power": 3, "sigint": 130, "sigterm": 143,
    "twice": 130,
}  # fmt: skip
MAY_LEAVE_PARTIALS = ("kill", "torn", "twice")
LOCK = ".vtok.lock"
CHECKPOINT = "checkpoint.pt"
FAILURES = "failures.jsonl"


class Ending(NamedTuple):
    """How a run ended.

    Attributes:
        status: Exit code, or minus the signal.
        operations: The kinds of all operations on the disk that it began.
        struck: The kind of the one that the fault struck.
        words: What it printed.
        max_bytes: Resident memory at its highest.
    """

    status: int
    operations: list[str]
    struck: str
    words: str
    max_bytes: int = 0


class Program:
    """The program in a process that is forked for every run; see `zygote.py`."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "zygote.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"},
        )

    def run(
        self, arguments: list[str], kind: str | None = None, at: int = 0, *, mount: Path = HERE
    ) -> Ending:
        """Run the program; the n-th operation on the disk (mounted there) fails in this way."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"arguments": arguments, "kind": kind, "at": at, "log": str(self._log)}
        order["mount"] = str(mount)
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        reply = json.loads(self._process.stdout.readline())
        return Ending(**reply, words=self._log.read_text(errors="replace"))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One command and what it works on.

    Attributes:
        name: What the table calls it.
        arguments: The command line for an output folder.
        before: Makes the folder what it is before the command runs; returns the contents that
            files may keep having until the command replaces them.
        status: Its exit code where nothing disturbs it.
        is_damaged: Whether the records that were there before are wrong, until it mends them.
    """

    name: str
    arguments: Callable[[Path], list[str]]
    before: Callable[[Path], dict[str, str]] = lambda _: {}
    status: int = 0
    is_damaged: bool = False


def digests(folder: Path) -> dict[str, str]:
    """Return every file of a folder and the digest of its bytes, the lock aside.

    A checkpoint's digest is of what it holds: pickled, equal strings may be one object or two.
    """
    return {
        str(path.relative_to(folder)): (contents if path.name == CHECKPOINT else sha256)(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != LOCK
    }


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def contents(path: Path) -> str:
    """Return the digest of a checkpoint's names, numbers and tensors."""
    import torch

    def lines(value: Any, name: str) -> Iterator[str]:
        if isinstance(value, dict | list | tuple):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, each in items:
                yield from lines(each, f"{name}/{key}")
        elif isinstance(value, torch.Tensor):
            yield f"{name} {value.dtype} {hashlib.sha256(value.numpy().tobytes()).hexdigest()}"
        else:
            yield f"{name} {value!r}"

    held = torch.load(path, weights_only=True)
    return hashlib.sha256("\n".join(lines(held, "")).encode()).hexdigest()


def lies(folder: Path, *, may_hold: list[dict[str, str]], is_damaged: bool = False) -> list[str]:
    """Return what in an output folder says other than what is there.

    Args:
        folder: After a fault.
        may_hold: Digests by name, of the run that was not disturbed (and of one before it): every
            visible file has to be one of them, byte for byte.
        is_damaged: Whether the one before it lied already.
    """
    if not folder.exists():
        return []
    found = []
    for name, digest in digests(folder).items():
        is_partial = re.search(r"(^|/)\.[^/]+\.partial$", name)
        may_change = Path(name).name in {CHECKPOINT, "log.jsonl", "samples.png", FAILURES}
        if is_partial or may_change:
            continue
        if digest not in [each.get(name) for each in may_hold]:
            found.append(f"{name} is not what an undisturbed run writes")
    if (folder / FAILURES).exists():  # of an unfinished run, those met so far
        for line in (folder / FAILURES).read_text().splitlines():
            assert json.loads(line)["reason"]
    found += [] if is_damaged else _lying_commits(folder)
    found += _lying_records(folder)
    return found


def _lying_commits(folder: Path) -> list[str]:
    found = []
    commits = {}
    for path in sorted(folder.glob("shard-*.json")):
        commits[path.with_suffix(".tar").name] = commit = json.loads(path.read_bytes())
        tar = path.with_suffix(".tar")
        if not tar.exists():
            found.append(f"{path.name} has no tar")
        elif sha256(tar) != commit["sha256"] or tar.stat().st_size != commit["num_bytes"]:
            found.append(f"{path.name} is not of its tar")
        plan = json.loads((folder / "plan.json").read_bytes())
        if plan["sha256"] != commit["plan_sha256"]:
            found.append(f"{path.name} is of another plan")
    manifest = folder / "manifest.json"
    if manifest.exists():
        listed = {e["name"]: e["sha256"] for e in json.loads(manifest.read_bytes())["shards"]}
        if listed != {name: commit["sha256"] for name, commit in commits.items()}:
            found.append("the manifest is not of the commits")
    return found


def _lying_records(folder: Path) -> list[str]:
    """Look at what ends `decode-vq` and `train-vq`."""
    found = []
    images = folder / "images.json"
    if images.exists():
        files = [file for e in json.loads(images.read_bytes())["images"] for file in e["files"]]
        found += [f"images.json names {file}" for file in files if not (folder / file).exists()]
    figures, weights = folder / "training.json", folder / "model.safetensors"
    if figures.exists():
        facts: dict[str, Any] = json.loads(figures.read_bytes())
        if not weights.exists() or facts["weights_sha256"] != sha256(weights):
            found.append("training.json is not of the weights")
    return found


def complaints(ending: Ending, kind: str, status: int = 0) -> list[str]:
    """Return what is wrong with the way in which a run ended.

    Args:
        ending: Of the run.
        kind: Of the fault.
        status: The exit code where there is none.
    """
    found = []
    if kind == "eio" and ending.struck == "mkdir" and ending.status == status:
        return []  # the folder was there already: nothing has failed
    if ending.status != EXIT_CODES[kind]:
        found.append(f"exit {ending.status}, not {EXIT_CODES[kind]}: {ending.words[-2000:]}")
    if "Traceback" in ending.words:
        found.append(f"a traceback: {ending.words[-2000:]}")
    elif kind in {"enospc", "eio", "power"} and not re.search(
        r"^vtok: error: .+\n\Z", ending.words, re.M
    ):
        found.append(f"no line that says why: {ending.words!r}")
    return found


def differences(again: Ending, out: Path, expected: dict[str, str], status: int = 0) -> list[str]:
    """Return in what a resumed run's folder differs from an undisturbed run's."""
    if again.status != status:
        return [f"resuming: exit {again.status}: {again.words[-2000:]}"]
    differing = {name for name, _ in digests(out).items() ^ expected.items()}
    return [f"resuming: other bytes in {sorted(differing)}"] if differing else []


def state(folder: Path) -> str:
    """Return all that a run can see in a folder, as text: equal states are gone on from alike."""
    if not folder.exists():
        return "none"
    found = []
    for path in folder.rglob("*"):
        if path.name == LOCK:
            continue
        name = re.sub(r"\.[0-9a-f]{16}\.partial$", ".partial", str(path.relative_to(folder)))
        found.append(f"{name} {sha256(path) if path.is_file() else ''}")
    return "\n".join(sorted(found))


def partials(folder: Path) -> list[str]:
    """Return the temporary files in a folder."""
    return [str(path) for path in folder.rglob("*.partial")]
