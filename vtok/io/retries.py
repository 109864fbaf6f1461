"""Again, after a while: what networks need and disks do not.

In: an action that may fail for a moment. Out: its result, or its last error. Knows no storage.
"""

import time
from collections.abc import Callable
from typing import TypeVar

ResultT = TypeVar("ResultT")

WAITS_S = (0.5, 2.0, 8.0)
"""How long to wait before the second, third and fourth try."""

_LASTING = (
    FileNotFoundError,
    FileExistsError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    ImportError,
    NotImplementedError,
    TypeError,
    ValueError,
)


def with_retries(
    action: Callable[[], ResultT], *, sleep: Callable[[float], None] = time.sleep
) -> ResultT:
    """Return what the action returns, trying again where a later try may fare better.

    What says that the object is missing, is there already, or may not be touched is raised at
    once: no waiting changes it.

    Raises:
        Exception: what the last try raised.
    """
    for wait_s in WAITS_S:
        try:
            return action()
        except _LASTING:
            raise
        except Exception:  # noqa: BLE001 - every backend has errors of its own for a bad moment
            sleep(wait_s)
    return action()
