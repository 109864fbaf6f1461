"""One decode worker, seen from its parent: started, given orders, listened to, killed.

In: orders. Out: replies, with pixels as arrays in shared memory. This file does not know what a
reply means for a run: which images are retried and which are given up is the pool's business.
"""

import os
import pickle
import select
import subprocess
from collections import deque
from contextlib import suppress
from multiprocessing.reduction import recv_handle
from time import monotonic
from typing import NamedTuple

from vtok.engine.children import start_child
from vtok.engine.preparation import ImageTask, Outcome, Prepared
from vtok.engine.slots import SlotReader, anonymous_file
from vtok.engine.worker import Boot, Broken, Orders, Rendered, Reply
from vtok.records import Failure

MAX_QUEUED_BYTES = 64 << 10
"""A task longer than this is not sent to a worker that is busy: the pipe might not hold it."""
MAX_WAITING = 16
"""How many may wait for a worker that is busy, at most."""
MAX_WAITING_BYTES = 4 << 20
"""Of the files of all its tasks; with more, it has two at most: a long file is long in memory."""
DYING_S = 2.0
"""How long a worker that has hung up may take to end."""

# One image uses one core; idle thread pools would count against its memory limit. And what one
# image has freed the next takes: handed back to the system, each page would cost a fault again.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(16 << 20),
}


class Assignment(NamedTuple):
    """A task in a worker's hands.

    Attributes:
        ticket: The task's position in the run.
        task: The task.
        num_crashes: Workers that have died on it before.
    """

    ticket: int
    task: ImageTask
    num_crashes: int = 0


class WorkerProcess:
    """A decode worker and what it has been given to do.

    Args:
        boot: What it is to do; None to have it start up, and say that to it later by `boot`.

    Attributes:
        is_ready: Whether it has started up.
        assignments: Its tasks in order; it works on the first of them.
        working_since: When it began the first of them, as `time.monotonic` counts.
    """

    def __init__(self, boot: Boot | None = None) -> None:
        self.is_ready = False
        self.assignments: deque[Assignment] = deque()
        self.working_since = monotonic()
        self._unsent: list[bytes] = []
        self._file_bytes = 0  # of all its tasks
        self._slots = SlotReader()
        # In memory: no disk that is full keeps it from starting.
        self._complaints = anonymous_file()
        self._child = start_child(
            "vtok.engine.worker", "main", environment=_ENVIRONMENT, stderr=self._complaints
        )
        self._connection = self._child.connection
        self._poll = select.poll()
        self._poll.register(self._connection, select.POLLIN)
        if boot is not None:
            self.boot(boot)

    def boot(self, boot: Boot) -> None:
        """Say what it is to do: once, before all else."""
        self.working_since = monotonic()
        with suppress(OSError):  # it has died already: `receive` will tell
            self._connection.send_bytes(pickle.dumps(boot))

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._child.process.pid

    def fileno(self) -> int:
        """The descriptor that becomes readable when a reply has come, or the worker has gone."""
        return self._connection.fileno()

    def can_take(self, num_bytes: int, *, depth: int) -> bool:
        """Tell whether a task of this length can be sent without waiting for the worker."""
        if not self.is_ready:
            return False
        num_waiting = len(self.assignments)
        if num_waiting >= 2:  # all that wait must find room in the pipe together
            num_bytes *= MAX_WAITING
            if self._file_bytes > MAX_WAITING_BYTES:
                return False
        return not num_waiting or (num_waiting < depth and num_bytes <= MAX_QUEUED_BYTES)

    def assign(self, assignment: Assignment, encoded: bytes) -> None:
        """Put a task behind those that it has; `send` has it know of it.

        Args:
            assignment: What it is about.
            encoded: The task, as `encode_task` gives it.
        """
        self.assignments.append(assignment)
        self._file_bytes += _file_bytes(assignment)
        self._unsent.append(encoded)

    def send(self) -> None:
        """Send what was assigned since the last call, in one message: each wakes the worker up.

        Raises:
            OSError: the worker is gone; its assignments stand all the same.
        """
        if not self._unsent:
            return
        if len(self.assignments) == len(self._unsent):
            self.working_since = monotonic()
        orders = Orders(tuple(self._unsent), self._slots.take_freed())
        self._unsent.clear()
        self._connection.send_bytes(pickle.dumps(orders, pickle.HIGHEST_PROTOCOL))

    def receive(self) -> tuple[Assignment, Outcome] | None:
        """Return the next finished assignment, or None after the note that it has started up.

        Raises:
            EOFError: the worker is gone.
            Exception: what the preparation raised that is no failure of an image.
        """
        reply, descriptor = self._read()
        if isinstance(reply, str):
            self.is_ready = True
            return None
        if isinstance(reply, Broken):
            error = reply.error or RuntimeError("a decode worker met a mistake in the program")
            error.add_note(f"in a decode worker:\n{reply.trace}")
            raise error
        self.working_since = monotonic()
        assignment = self.assignments.popleft()
        self._file_bytes -= _file_bytes(assignment)
        if isinstance(reply, Failure):
            return assignment, reply
        views = self._slots.read(reply.ref, descriptor)
        return assignment, Prepared(task=assignment.task, facts=reply.facts, views=views)

    def has_reply(self) -> bool:
        """Tell whether `receive` would return (or raise) without waiting."""
        return bool(self._poll.poll(0))

    def _read(self) -> tuple[Reply | str, int | None]:
        """Return the next message, and the descriptor that goes with it."""
        try:
            reply: Reply | str = pickle.loads(self._connection.recv_bytes())
            if isinstance(reply, Rendered) and reply.ref.is_new:
                return reply, recv_handle(self._connection)
        except OSError as error:  # it died in the midst of a message
            raise EOFError from error
        return reply, None

    def kill(self) -> str:
        """End the process now, whatever it is doing; return how it ended, in words."""
        self._child.process.kill()
        return self.bury()

    def bury(self) -> str:
        """Wait for a process that is ending and leave nothing of it; return how it ended."""
        try:
            status = self._child.process.wait(DYING_S)
        except subprocess.TimeoutExpired:
            self._child.process.kill()
            status = self._child.process.wait()
        self._child.let_go()
        os.close(self._complaints)
        self._slots = SlotReader()  # its memory goes with the last array, not with this object
        return f"signal {-status}" if status < 0 else f"exit status {status}"

    def complaint(self) -> str:
        """Return the end of what the process has printed while it started."""
        size = os.fstat(self._complaints).st_size
        return os.pread(self._complaints, 4096, max(0, size - 4096)).decode(errors="replace")


def _file_bytes(assignment: Assignment) -> int:
    return max(0, assignment.task.item.size_bytes)  # below 0 where it is not known


def encode_task(task: ImageTask) -> bytes:
    """Return a task as it travels to a worker."""
    return pickle.dumps(task, pickle.HIGHEST_PROTOCOL)
