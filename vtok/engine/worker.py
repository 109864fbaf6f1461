"""The decode worker: a process that prepares one image after another and never loads torch.

In, over its socket: a `Boot`, then `Orders`. Out: `READY`, then for every task, in order, one of
`Rendered` (its pixels are in a shared slot, whose descriptor follows when it is new), `Failure`
or `Broken`. The process ends when its socket does, and at once when its parent does. It knows
nothing of time limits, retries or other workers; whatever kills it is the parent's to record.
"""

import gc
import os
import pickle
import resource
import signal
import sys
import traceback
from functools import lru_cache
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from typing import NamedTuple

from vtok.engine.children import die_with_parent, portable
from vtok.engine.preparation import ImageFacts, ImageTask, Prepares
from vtok.engine.slots import SlotRef, SlotWriter
from vtok.errors import ImageTooLargeError
from vtok.records import Failure
from vtok.resolution.plan import Plan

READY = "ready"


class Boot(NamedTuple):
    """What a worker is told first.

    Attributes:
        preparation: What to do with every task.
        memory_limit_bytes: Address space that it may take; None for no limit.
    """

    preparation: Prepares
    memory_limit_bytes: int | None


class Orders(NamedTuple):
    """Some tasks, each pickled by itself, and the slots whose pixels nobody reads any more."""

    tasks: tuple[bytes, ...]
    freed: tuple[int, ...]


class Rendered(NamedTuple):
    """A prepared image without its pixels, which lie where `ref` says.

    Attributes:
        plan: Pickled by itself: images of one size have one plan, which is then read only once.
        about: The image's facts but its plan, in the order of `ImageFacts`.
        ref: Where the pixels are.
    """

    plan: bytes
    about: tuple[str, int, str, tuple[str, ...], dict[str, bytes]]
    ref: SlotRef

    @classmethod
    def of(cls, facts: ImageFacts, ref: SlotRef) -> "Rendered":
        """Return the reply for an image with these facts."""
        about = (
            facts.format,
            facts.num_bytes,
            facts.sha256,
            facts.conversions,
            facts.sidecars,
        )
        return cls(_write_plan(facts.plan), about, ref)

    @property
    def facts(self) -> ImageFacts:
        """The image's facts."""
        name, num_bytes, sha256, conversions, sidecars = self.about
        return ImageFacts(
            plan=_read_plan(self.plan),
            format=name,
            num_bytes=num_bytes,
            sha256=sha256,
            conversions=conversions,
            sidecars=sidecars,
        )


@lru_cache(maxsize=1024)
def _write_plan(plan: Plan) -> bytes:
    return pickle.dumps(plan, pickle.HIGHEST_PROTOCOL)


@lru_cache(maxsize=1024)
def _read_plan(data: bytes) -> Plan:
    plan: Plan = pickle.loads(data)
    return plan


class Broken(NamedTuple):
    """An exception that is no failure of an image: the job ends with it."""

    error: BaseException | None
    trace: str


Reply = Rendered | Failure | Broken


def main(socket_descriptor: int, lifeline_descriptor: int) -> None:
    """Serve until the socket closes.

    Args:
        socket_descriptor: One end of a socket pair; the parent has the other.
        lifeline_descriptor: The reading end of a pipe that nobody writes to; it ends with the
            parent, however the parent ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    die_with_parent(lifeline_descriptor)
    connection = Connection(socket_descriptor)
    boot: Boot = pickle.loads(connection.recv_bytes())
    _limit(boot.memory_limit_bytes)
    connection.send_bytes(pickle.dumps(READY))
    gc.freeze()  # what is loaded stays: nobody need look through it for garbage
    # What a foreign decoder prints from here on is about one image, and nobody could tell which.
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    slots = SlotWriter()
    while True:
        try:
            orders: Orders = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        slots.release(orders.freed)
        for task in orders.tasks:
            reply, descriptor = _carry_out(boot.preparation, pickle.loads(task), slots)
            try:
                connection.send_bytes(pickle.dumps(reply, pickle.HIGHEST_PROTOCOL))
                if descriptor is not None:
                    send_handle(connection, descriptor, os.getppid())
            except OSError:  # the parent hung up
                return


def _carry_out(
    preparation: Prepares, task: ImageTask, slots: SlotWriter
) -> tuple[Reply, int | None]:
    """Return the reply to one task, and the descriptor that goes with it."""
    try:
        outcome = preparation.prepare(task)
        if isinstance(outcome, Failure):
            return outcome, None
        ref, descriptor = slots.write(outcome.views)
        return Rendered.of(outcome.facts, ref), descriptor
    except MemoryError as error:
        message = f"it needs more memory than a worker may take: {error}"
        return task.failure("decode", ImageTooLargeError.reason, message), None
    except BaseException as error:  # noqa: BLE001 - it is raised again, in the parent
        return Broken(portable(error), traceback.format_exc()), None


def _limit(memory_limit_bytes: int | None) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # gigabytes on disk for every bad image
    if memory_limit_bytes is not None and sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard != resource.RLIM_INFINITY:
            memory_limit_bytes = min(memory_limit_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (memory_limit_bytes, hard))
