"""Audits of many shards: which samples are picked of each, and as many at once as there are cores.

In: tasks, one a shard. Out: their audits, in order. Knows nothing of what becomes of them.
"""

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait

from vtok.engine.decoding import default_num_workers
from vtok.errors import UnreachableError
from vtok.pipelines.outputs.progress import Progress
from vtok.pipelines.verifying.audit import AuditTask, ShardAudit, audit_shard

MIN_SAMPLES_FOR_PROCESSES = 2000
"""Fewer samples are read before the first process has started."""


def audit_all(
    tasks: Sequence[AuditTask], num_samples: int, workers: int | None, progress: Progress
) -> Iterator[ShardAudit]:
    """Yield the audit of every shard, in order, as many at once as there are workers.

    Raises:
        UnreachableError: a process that reads shards was killed.
    """
    wanted = default_num_workers() if workers is None else workers
    num_workers = min(wanted, len(tasks))
    if num_workers <= 1 or (workers is None and num_samples < MIN_SAMPLES_FOR_PROCESSES):
        yield from _told(map(audit_shard, tasks), progress)
        return
    # Not forked: torch and its threads may be in this process already.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_depend_on_parent)
    try:
        yield from _told(pool.map(audit_shard, tasks), progress)
    except BrokenProcessPool as error:
        raise UnreachableError(
            "a process that reads shards was ended from outside (is memory short?), and nothing is "
            "known of the shards that are left: verify again, with --workers 1"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _told(audits: Iterator[ShardAudit], progress: Progress) -> Iterator[ShardAudit]:
    for audit in audits:
        for _ in range(audit.num_samples):
            progress.written()
        progress.shard_done()
        yield audit


def _depend_on_parent() -> None:
    """Leave Ctrl-C to the parent, which then ends this process in good order; die if it dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def spread(counts: Sequence[int], num_picked: int | None) -> list[frozenset[int]]:
    """Return, for every shard, which of its samples are picked: as far apart as they can be."""
    starts = [0, *itertools.accumulate(counts)]
    total = starts[-1]
    wanted = 0 if num_picked is None else min(num_picked, total)
    positions = [(2 * i + 1) * total // (2 * wanted) for i in range(wanted)]
    return [
        frozenset(each - start for each in positions if start <= each < start + count)
        for start, count in zip(starts, counts, strict=False)
    ]
