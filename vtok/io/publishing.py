"""Objects put into remote storage: whole, verified, and where it matters only if none is there.

In: local files and bytes, URLs. Out: objects that are what was sent: their length and their digest
are held against it after they arrived, by the MD5 that the store tells, or else by reading them
back. Sending is tried again where a later try may fare better. Knows nothing of what objects hold.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vtok.errors import OutputError, VtokError
from vtok.io.files import sha256_file
from vtok.io.places import RemotePath, open_place, sha256_of
from vtok.io.remote import resolve
from vtok.io.retries import with_retries

_MD5 = re.compile(r"[0-9a-f]{32}")


def put_file(local: Path, target: RemotePath) -> None:
    """Copy a local file to an object; one that is there and the same is left as it is.

    Raises:
        OutputError: it could not be written whole.
    """
    with _output_errors(target):
        if _is_there(local, target):
            return

        def send() -> None:
            file_system, path = resolve(target.url)
            file_system.put_file(str(local), path)
            if not _is_there(local, target):
                raise OSError("what arrived is not what was sent")

        with_retries(send)


def put_new(target: RemotePath, data: bytes) -> None:
    """Create an object; one that is there already must be the same.

    Raises:
        OutputError: another one is there, or the store cannot create only what is not there.
    """

    def create() -> None:
        file_system, path = resolve(target.url)
        with suppress(FileExistsError):  # somebody's, or ours, of a try whose answer was lost
            file_system.pipe_file(path, data, mode="create")

    with _output_errors(target):
        with_retries(create)
        with open_place(target) as file:
            found = file.read(len(data) + 1)
    if found != data:
        raise OutputError(f"cannot write {target}: another one is there: another run wrote it")


def put_bytes(target: RemotePath, data: bytes) -> None:
    """Write an object, in the place of one that is there.

    Raises:
        OutputError: it could not be written whole.
    """

    def send() -> None:
        file_system, path = resolve(target.url)
        file_system.pipe_file(path, data)
        with open_place(target) as file:
            if file.read(len(data) + 1) != data:
                raise OSError("what arrived is not what was sent")

    with _output_errors(target):
        with_retries(send)


def remove_object(target: RemotePath) -> None:
    """Remove an object, if it is there.

    Raises:
        OutputError: it cannot be removed.
    """

    def remove() -> None:
        file_system, path = resolve(target.url)
        with suppress(FileNotFoundError):
            file_system.rm_file(path)
        file_system.invalidate_cache()

    with _output_errors(target):
        with_retries(remove)


def _is_there(local: Path, target: RemotePath) -> bool:
    """Tell whether an object has the length and the digest of a local file."""
    file_system, path = resolve(target.url)
    file_system.invalidate_cache()
    try:
        info: dict[str, Any] = file_system.info(path)
    except FileNotFoundError:
        return False
    if info.get("size") not in (None, local.stat().st_size):
        return False
    told = _told_md5(info)
    if told is not None:
        with local.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest() == told
    return sha256_of(target) == sha256_file(local)


def _told_md5(info: dict[str, Any]) -> str | None:
    """Return the MD5 that a store tells of an object; None of one that was sent in parts."""
    etag = str(info.get("ETag", "")).strip('"')
    if _MD5.fullmatch(etag) and not info.get("SSEKMSKeyId") and "aws:kms" not in str(info):
        return etag
    with suppress(binascii.Error, ValueError):
        digest = base64.b64decode(str(info.get("md5Hash", "")), validate=True).hex()
        return digest if _MD5.fullmatch(digest) else None
    return None


@contextmanager
def _output_errors(target: RemotePath) -> Iterator[None]:
    try:
        yield
    except VtokError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:300] or type(error).__name__
        if isinstance(error, TypeError):
            text = f"its storage cannot create only what is not there ({text})"
        raise OutputError(f"cannot write {target}: {text}") from error
