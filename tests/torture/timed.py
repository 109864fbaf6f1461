"""The program, with a note of how long each file was in a decode worker's hands.

    python tests/torture/timed.py NOTES tile IN OUT [options]

Into NOTES, a line each: seconds, a tab, and the file (as text, its newlines as they are escaped in
JSON). The times are those of the clock that the limit on one image goes by.
"""

import json
import sys
from time import monotonic
from typing import Any

from vtok.cli.app import main
from vtok.engine.process import WorkerProcess


def note_times(path: str) -> None:
    """Have every worker's end of a task written down, however it ends."""
    notes = open(path, "w", encoding="ascii")  # noqa: SIM115 - open as long as the program runs

    def note(source: str, began: float) -> None:
        notes.write(f"{monotonic() - began:.3f}\t{json.dumps(source)}\n")
        notes.flush()

    receive, bury = WorkerProcess.receive, WorkerProcess.bury

    def timed_receive(self: WorkerProcess) -> Any:
        began = self.working_since
        finished = receive(self)
        if finished is not None:
            note(finished[0].task.item.source, began)
        return finished

    def timed_bury(self: WorkerProcess) -> str:
        how = bury(self)
        if self.assignments:
            note(self.assignments[0].task.item.source, self.working_since)
        return how

    WorkerProcess.receive = timed_receive  # type: ignore[method-assign]
    WorkerProcess.bury = timed_bury  # type: ignore[method-assign]


if __name__ == "__main__":
    note_times(sys.argv.pop(1))
    main()
