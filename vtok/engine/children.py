"""Processes of our own that are started here and never outlive this one: both ends of the tie.

In: the function that the child runs. Out: the process, a connection to it, and in the child the
kernel's promise to end it with its parent. Imports nothing that takes long, so that a child that
needs little is there soon. Knows nothing of what children do.
"""

import fcntl
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection

_BUFFER_BYTES = 256 << 10
_BOOTSTRAP = (
    "import sys; sys.path[:] = sys.argv[5:]; "
    "from importlib import import_module; "
    "getattr(import_module(sys.argv[3]), sys.argv[4])(int(sys.argv[1]), int(sys.argv[2]))"
)


@dataclass(frozen=True, slots=True)
class Child:
    """A child, seen from its parent.

    Attributes:
        process: The process.
        connection: What it reads from and writes to.
        lifeline: A descriptor; when it closes, however it comes to that, the child is killed.
    """

    process: "subprocess.Popen[bytes]"
    connection: Connection
    lifeline: int

    def let_go(self) -> None:
        """Close what ties this process to one that has ended."""
        self.connection.close()
        os.close(self.lifeline)

    def kill(self) -> None:
        """End it now, whatever it is doing, and leave nothing of it."""
        self.process.kill()
        self.process.wait()
        self.let_go()


def start_child(
    module: str, function: str, *, environment: Mapping[str, str], stderr: int | None = None
) -> Child:
    """Start a process that calls a function with the descriptors of a socket and of its lifeline.

    Not multiprocessing: `spawn` runs the caller's script again, `fork` inherits torch and its
    threads, and both leave a tracker process behind.

    Args:
        module: Where the function is.
        function: Its name. It gives the lifeline to `die_with_parent` before all else.
        environment: Variables beside this process's own.
        stderr: A descriptor for what it prints; None for this process's.
    """
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):  # some systems give a tenth of what waits here for a busy worker
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
    lifeline_end, lifeline = os.pipe()
    with theirs, os.fdopen(lifeline_end):
        descriptors = (theirs.fileno(), lifeline_end)
        process = subprocess.Popen(
            [sys.executable, "-c", _BOOTSTRAP, *map(str, descriptors), module, function, *sys.path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=descriptors,
            env={**os.environ, **environment},
            process_group=0,  # an interrupt at the terminal is for the parent
        )
    return Child(process, Connection(ours.detach()), lifeline)


# From here on: in a child.


def die_with_parent(lifeline: int) -> None:
    """Have the kernel kill this process when the lifeline's other end closes.

    A signal on hang-up works in the midst of a decoder that never comes back to Python, and,
    unlike PR_SET_PDEATHSIG, whatever thread of the parent has started this process.
    """
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
        if select.select([lifeline], [], [], 0)[0]:
            os._exit(1)  # it closed before the signal was armed
    else:
        threading.Thread(target=_exit_after, args=(lifeline,), daemon=True).start()


def _exit_after(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)


def portable(error: BaseException) -> BaseException | None:
    """Return the exception if it survives the journey to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - exceptions of foreign classes may do anything here
        return None
    return error
