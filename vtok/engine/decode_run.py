"""One run of a decode pool: its workers are supervised by a thread while the caller goes on.

In: tasks and workers. Out: outcomes in the tasks' order. What is done with the workers is the
crew's business, and how the outcomes reach the caller the handover's; this file starts the thread
that goes back and forth between the two, and ends it.
"""

import threading
from collections.abc import Iterable, Iterator
from typing import Protocol

from vtok.engine.crew import Crew, Employer
from vtok.engine.handover import Handover
from vtok.engine.preparation import ImageTask, Outcome
from vtok.engine.process import WorkerProcess
from vtok.engine.worker import Boot


class Pool(Employer, Protocol):
    """What a run needs of its pool: what its crew does, and how far ahead it may be."""

    max_ahead: int
    max_ahead_bytes: int


class DecodeRun:
    """One pass over some tasks, from when it is made until `stop`."""

    def __init__(
        self,
        pool: Pool,
        workers: list[WorkerProcess],
        boot: Boot,
        tasks: Iterable[ImageTask],
    ) -> None:
        self._handover = Handover(pool.max_ahead, pool.max_ahead_bytes, pool.times)
        self._crew = Crew(pool, workers, boot, tasks, self._handover)
        self._thread = threading.Thread(target=self._supervise, name="vtok-decode", daemon=True)
        self._thread.start()

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcomes in the order of the tasks."""
        while (outcome := self._handover.take()) is not None:
            yield outcome

    def stop(self) -> None:
        """End the run, wherever it is; workers that are at work for it are ended too."""
        if not self._handover.stop():
            return
        self._thread.join()
        self._handover.close()
        self._crew.close()

    def _supervise(self) -> None:
        try:
            while True:
                self._crew.hand_out()
                # Asked when nothing is left to hand out, or none would wake us.
                if self._handover.is_over():
                    return
                self._crew.listen()
                self._crew.end_the_late()
                self._handover.announce()
                self._crew.grow()
        except BaseException as error:  # noqa: BLE001 - raised again by `take`, in the caller
            self._handover.fail(error)
