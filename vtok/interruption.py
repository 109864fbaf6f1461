"""Whether this process has been told to stop, for code that calls foreign libraries.

In: an interruption, announced by whoever catches signals. Out: the same one, raised again where
work is about to be handed on. A signal's exception may come up inside a decoder or an array
library, which can swallow it or turn it into an error of its own: the image at hand would count as
damaged, and the run would go on. Knows no signals.
"""


class _Announced:
    """What is to be raised, if anything; of the process, as signals are."""

    interruption: BaseException | None = None


def announce(interruption: BaseException) -> None:
    """Say that the process is to stop with this exception."""
    _Announced.interruption = interruption


def withdraw() -> None:
    """Say that nothing is to stop any more."""
    _Announced.interruption = None


def raise_if_interrupted() -> None:
    """Raise what was announced, if it was; call it before a result is relied upon."""
    if _Announced.interruption is not None:
        raise _Announced.interruption
