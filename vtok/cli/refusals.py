"""What the system refuses, told from a mistake of the program.

Most refusals are foreseen where they happen, and say what was wanted. For those that are not, an
error of the system that names a file is reason enough to end in one line.
"""

import errno

_NO_PROGRAMS_FAULT = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.EIO),
        *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT),
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    }
)
"""A file that is missing, or is there already, may well be a program's fault, and is not here."""


def is_refusal(error: OSError) -> bool:
    """Tell whether the system refuses a file for a reason that no program is to blame for."""
    return error.errno in _NO_PROGRAMS_FAULT and isinstance(error.filename, str | bytes)
