"""A run that is stopped and goes on (a suspended job, a paused container) loses no image to it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROGRAM = """
import sys
from pathlib import Path
from engine_fakes import Pausing, png_tasks
from vtok.engine.decoding import DecodePool

with DecodePool(Pausing(Path(sys.argv[1])), num_workers=1, timeout_s=1.5) as pool:
    print(pool.worker_pids[0], flush=True)
    print(*(type(each).__name__ for each in pool.map(png_tasks(3))))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no signal stops a process here")
def test_time_in_which_all_stood_still_does_not_count(tmp_path: Path) -> None:
    mark = tmp_path / "in work"
    path = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, mark],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        while not mark.exists():
            assert process.poll() is None
            time.sleep(0.01)
        for pid in (process.pid, worker):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(3.5)  # more than twice the limit on one image
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.2)  # the parent is awake first, and finds its worker late
        os.kill(worker, signal.SIGCONT)
        assert process.communicate()[0].split() == ["Prepared"] * 3
    finally:
        process.kill()
        process.wait()
