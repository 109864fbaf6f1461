"""Processes that read shards for `vtok verify`: killed, it is said; none outlives its parent."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import slow_audits

from vtok.pipelines.verifying import audits

QUICK = ("--workers", "0", "--tile-size", "28", "--shard-size", "3", "--quiet")
ORPHANS_S = 5.0
PROGRAM = """
import slow_audits
from vtok.cli.app import main
from vtok.pipelines.verifying import audits

audits.audit_shard = slow_audits.hang
main()
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def out(vtok: Any, photos: Path, tmp_path: Path) -> Path:
    vtok("tile", photos, tmp_path / "out", *QUICK)
    return tmp_path / "out"


def test_one_that_is_killed(
    vtok: Any, out: Path, monkeypatch: pytest.MonkeyPatch, digests: Any
) -> None:
    whole = digests(out)
    monkeypatch.setattr(audits, "audit_shard", slow_audits.die)
    stderr = vtok("verify", out, "--workers", "2", "--repair", code=3).stderr
    assert stderr.count("\n") == 1
    assert "a process that reads shards was ended from outside" in stderr
    assert digests(out) == whole


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
def test_none_outlives_its_parent(out: Path) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "verify", out, "--workers", "2"],
        env={**os.environ, "PYTHONPATH": path},
    )
    ends = time.monotonic() + 60
    while len(found := list(out.glob("reader-*"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < ends
        time.sleep(0.02)
    process.kill()
    process.wait()
    readers = [int(each.name.partition("-")[2]) for each in found]
    ends = time.monotonic() + ORPHANS_S
    while any(map(is_running, readers)):
        assert time.monotonic() < ends, "a reader is alive"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
