"""Workers that other processes can import."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vtok.errors import OutputError


@dataclass(frozen=True)
class FakeOpener:
    """Squares units; misbehaves at one of them if told to.

    Attributes:
        name: Of the device.
        folder: Where it leaves a mark at the end, however that comes about.
        at: The unit at which it misbehaves.
        how: In which way.
        environment: Of its process.
    """

    name: str
    folder: Path
    at: int = -1
    how: str = ""
    environment: dict[str, str] = field(default_factory=lambda: {"VTOK_TEST": "here"})

    @contextmanager
    def open(self, tell: Callable[[Any], None]) -> Iterator["FakeOpener.Worker"]:
        tell((self.name, os.environ["VTOK_TEST"]))
        try:
            yield self.Worker(self, tell)
        finally:
            (self.folder / f"{self.name}.closed").touch()

    @dataclass
    class Worker:
        opener: "FakeOpener"
        tell: Callable[[Any], None]

        def work(self, units: Iterable[int]) -> Iterator[int]:
            for unit in units:
                if unit == self.opener.at:
                    getattr(self, self.opener.how)()
                yield unit * unit

        def refuse(self) -> None:
            raise OutputError("the disk is full")

        def die(self) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        def hang(self) -> None:
            self.tell("hanging")
            time.sleep(3600)
