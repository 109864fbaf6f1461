"""A file that holds many images, open for reading, on this machine or behind a URL."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from vtok.errors import InputError
from vtok.io.files import open_regular
from vtok.io.remote import is_url, open_url


class Container(NamedTuple):
    """A file and what its items are held to.

    Attributes:
        file: It, at its start.
        num_bytes: Its length.
        mtime_ns: When it was last changed; 0 behind a URL.
    """

    file: BinaryIO
    num_bytes: int
    mtime_ns: int


@contextmanager
def open_container(name: str) -> Iterator[Container]:
    """Open a file by its path or URL while the block lasts.

    Raises:
        InputError: it cannot be opened, or is no regular file.
    """
    if is_url(name):
        with open_url(name) as (file, num_bytes):
            yield Container(file, num_bytes, 0)
        return
    try:
        file = open_regular(name)
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror}") from error
    with file:
        facts = os.fstat(file.fileno())
        yield Container(file, facts.st_size, facts.st_mtime_ns)
