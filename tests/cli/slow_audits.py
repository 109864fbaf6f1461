"""Audits that go wrong in a process of their own: it has to be able to import them."""

import os
import signal
import time
from pathlib import Path

from vtok.pipelines.verifying.audit import AuditTask, ShardAudit


def die(task: AuditTask) -> ShardAudit:
    """Be killed from outside, as where memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def hang(task: AuditTask) -> ShardAudit:
    """Leave the process's number beside the shard, and never end."""
    assert isinstance(task.path, Path)
    task.path.with_name(f"reader-{os.getpid()}").touch()
    time.sleep(3600)
    raise AssertionError
