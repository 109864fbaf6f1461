"""Audits of many shards: which samples are picked of each, and as many at once as there are cores.

In: tasks, one a shard. Out: their audits, in order. Knows nothing of what becomes of them.
"""

import itertools
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from vtok.engine.decoding import default_num_workers
from vtok.pipelines.audit import AuditTask, ShardAudit, audit_shard
from vtok.pipelines.progress import Progress

MIN_SAMPLES_FOR_PROCESSES = 2000
"""Fewer samples are read before the first process has started."""


def audit_all(
    tasks: Sequence[AuditTask], num_samples: int, workers: int | None, progress: Progress
) -> Iterator[ShardAudit]:
    """Yield the audit of every shard, in order, as many at once as there are workers."""
    wanted = default_num_workers() if workers is None else workers
    num_workers = min(wanted, len(tasks))
    if num_workers <= 1 or (workers is None and num_samples < MIN_SAMPLES_FOR_PROCESSES):
        yield from _told(map(audit_shard, tasks), progress)
        return
    # Not forked: torch and its threads may be in this process already.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_leave_interrupts)
    try:
        yield from _told(pool.map(audit_shard, tasks), progress)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _told(audits: Iterator[ShardAudit], progress: Progress) -> Iterator[ShardAudit]:
    for audit in audits:
        for _ in range(audit.num_samples):
            progress.written()
        progress.shard_done()
        yield audit


def _leave_interrupts() -> None:
    """Leave Ctrl-C to the parent, which then ends this process in good order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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
