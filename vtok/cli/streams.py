"""Standard streams as they are found: closed, of any encoding, on a disk that may be full.

Characters that the encoding lacks are written as JSON escapes them, so that text stays readable
and JSON stays valid. Knows nothing of what is written.
"""

import codecs
import errno
import io
import os
import sys

_HANDLER = "vtok-escape"
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def fill_closed_streams() -> None:
    """Open what of standard input, output and error is closed: to nothing.

    Or the first files that are opened would get their numbers, and what a library prints as a
    warning would be written into a shard.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - to the end


def escape_what_cannot_be_written() -> None:
    """Make standard output take every character, whatever its encoding."""
    codecs.register_error(_HANDLER, _escape)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_HANDLER)


def is_no_space(error: OSError) -> bool:
    """Tell whether a write failed for want of space, on no file that has a name."""
    return error.errno in _NO_SPACE and error.filename is None


def drop_standard_output() -> None:
    """Send what is still buffered nowhere: flushing it on the way out would fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Return the characters as JSON escapes: UTF-16 units of four digits."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = (units[i : i + 2] for i in range(0, len(units), 2))
    return "".join(f"\\u{pair.hex()}" for pair in pairs), error.end
