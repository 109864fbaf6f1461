"""Units of work in several processes of this machine, one for each device.

In: for every device how to open its worker, and units. Out: what the workers yield, as it comes.
Units are handed out in order, to whoever asks next: a worker asks while it still has work, so that
none waits. What a worker tells on the way is passed on in the caller's thread. Which worker made a
unit changes nothing about it. Knows nothing of what the units are.
"""

import pickle
import selectors
import signal
import subprocess
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, Protocol, TypeVar

from vtok.engine.children import Child, die_with_parent, portable, start_child
from vtok.errors import DeviceError
from vtok.executors.local import Worker

ResultT = TypeVar("ResultT", covariant=True)
Tell = Callable[[Any], None]

ENDING_S = 20.0
"""How long a worker may take to drop what it has in hand."""


class OpensWorker(Protocol[ResultT]):
    """How a worker is opened where it works; travels there by pickle."""

    @property
    def name(self) -> str:
        """Its device, for messages."""

    @property
    def environment(self) -> dict[str, str]:
        """Variables that its process needs beside the caller's."""

    def open(self, tell: Tell) -> AbstractContextManager[Worker[ResultT]]:
        """Open it; `tell` reaches the caller, with whatever can be pickled."""


def run_on_devices(
    openers: Sequence[OpensWorker[ResultT]], units: Sequence[int], hear: Tell
) -> Iterator[ResultT]:
    """Yield the results of all units, in the order in which they come.

    Args:
        openers: One a device.
        units: In the order in which they are handed out.
        hear: Called with what the workers tell.

    Raises:
        DeviceError: a worker's process died.
        Exception: what a worker raised; the others have dropped what they had in hand.
    """
    left = iter(units)
    with _Processes(openers) as processes:
        while (message := processes.next()) is not None:
            process, (kind, content) = message
            if kind == "ask":
                process.send(next(left, None))
            elif kind == "told":
                hear(content)
            elif kind == "result":
                yield content
            elif kind == "broken":
                error, trace = content
                error = error or RuntimeError(f"the worker on {process.name} met a mistake")
                error.add_note(f"on {process.name}:\n{trace}")
                raise error


@dataclass(slots=True)
class _Process:
    """A worker, seen from here."""

    name: str
    child: Child

    def fileno(self) -> int:
        return self.child.connection.fileno()

    def send(self, value: object) -> None:
        with suppress(OSError):  # it has gone: the next message says so
            self.child.connection.send_bytes(pickle.dumps(value))

    def wait(self) -> int:
        return self.child.process.wait()


@dataclass(slots=True)
class _Processes:
    """All workers; none outlives the block."""

    openers: Sequence[OpensWorker[Any]]
    running: list[_Process] = field(default_factory=list)
    selector: selectors.DefaultSelector = field(default_factory=selectors.DefaultSelector)

    def __enter__(self) -> "_Processes":
        for opener in self.openers:
            process = _start(opener)
            self.running.append(process)
            self.selector.register(process, selectors.EVENT_READ, process)
        return self

    def __exit__(self, *rest: object) -> None:
        for process in self.running:
            process.child.process.terminate()
        for process in self.running:
            try:
                process.child.process.wait(ENDING_S)
            except subprocess.TimeoutExpired:
                process.child.kill()
            else:
                process.child.let_go()
        self.selector.close()

    def next(self) -> tuple[_Process, tuple[str, Any]] | None:
        """Return the next message and who sent it; None once all have ended well."""
        while self.running:
            ((key, _), *_) = self.selector.select()
            process: _Process = key.data
            try:
                message: tuple[str, Any] = pickle.loads(process.child.connection.recv_bytes())
            except (EOFError, OSError):
                status = process.wait()
                how = f"signal {-status}" if status < 0 else f"exit status {status}"
                raise DeviceError(
                    f"the worker on {process.name} died ({how}): what is committed is kept, the "
                    "same command resumes"
                ) from None
            if message[0] != "end":
                return process, message
            self.selector.unregister(process)
            self.running.remove(process)
            process.wait()
            process.child.let_go()
        return None


def _start(opener: OpensWorker[Any]) -> _Process:
    child = start_child("vtok.executors.devices", "serve", environment=opener.environment)
    started = _Process(opener.name, child)
    started.send(opener)
    return started


# From here on: in a worker's process.


def serve(socket_descriptor: int, lifeline_descriptor: int) -> None:
    """Work until no unit is left, or the parent ends it.

    Args:
        socket_descriptor: One end of a socket pair; the parent has the other.
        lifeline_descriptor: The reading end of a pipe that ends with the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    die_with_parent(lifeline_descriptor)
    link = _Link(Connection(socket_descriptor))
    try:
        opener: OpensWorker[Any] = pickle.loads(link.connection.recv_bytes())
        with opener.open(link.tell) as worker:
            for result in worker.work(link.units()):
                link.send("result", result)
        link.send("end", None)
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - it is raised again, in the parent
        link.send("broken", (portable(error), traceback.format_exc()))


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


class _Link:
    """The way to the parent, shared by the threads of a worker."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._lock = threading.Lock()

    def send(self, kind: str, content: object) -> None:
        with self._lock, suppress(OSError):  # the parent has hung up, and ends this process
            self.connection.send_bytes(pickle.dumps((kind, content)))

    def tell(self, content: object) -> None:
        self.send("told", content)

    def units(self) -> Iterator[int]:
        """Yield units as the parent hands them out; asked for by one thread at a time."""
        while True:
            self.send("ask", None)
            unit: int | None = pickle.loads(self.connection.recv_bytes())
            if unit is None:
                return
            yield unit
