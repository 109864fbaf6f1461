"""Tar bytes, always the same for the same members: POSIX.1-1988 ustar, regular files only.

In: names and contents, in order. Out: chunks of an archive in which nothing depends on the clock,
the user or the machine: time 0, owner 0, mode 0644, no names of users, no extended headers.
Knows nothing of samples, keys or files.

The layout of the header is that of POSIX.1-1988, `struct header_posix_ustar`.
"""

import struct
from functools import lru_cache

from vtok.errors import ShardError

BLOCK_BYTES = 512
MAX_NAME_BYTES = 100
MAX_PREFIX_BYTES = 155
MAX_MEMBER_BYTES = 8**11 - 1
END_OF_ARCHIVE = bytes(2 * BLOCK_BYTES)

_PADDING = [bytes(-length % BLOCK_BYTES) for length in range(BLOCK_BYTES)]
_BEFORE_SIZE = b"0000644\0" + b"0000000\0" + b"0000000\0"  # mode, user, group
_AFTER_SIZE = b"\0" + b"00000000000\0"  # time
_AFTER_CHECKSUM = (
    b"\0 0"  # end of the checksum; type: a regular file
    + bytes(100)  # link
    + b"ustar\x0000"
    + bytes(64)  # names of user and group
    + b"0000000\0" * 2  # device
)
_HEADER = struct.Struct(f"{MAX_NAME_BYTES}s48s6s{len(_AFTER_CHECKSUM)}s167s")  # pads with zeros
_FIXED_SUM = sum(_AFTER_CHECKSUM) - ord(" ") + 8 * ord(" ")  # the checksum counts as 8 spaces


def member_header(name: str, num_bytes: int) -> bytes:
    """Return the 512 bytes that stand before a member's content.

    Raises:
        ShardError: the name needs more than 100 bytes and has no slash at which to split it into
            a prefix of at most 155 and a rest, or the content is 8 GiB or larger.
    """
    encoded = name.encode()
    if num_bytes > MAX_MEMBER_BYTES:
        raise ShardError(f"member {name!r} has {num_bytes} bytes: a tar member is below 8 GiB")
    prefix = b""
    if len(encoded) > MAX_NAME_BYTES:
        prefix, encoded = _split_name(name, encoded)
    middle, middle_sum = _middle(num_bytes)
    checksum = _octal_checksum(middle_sum + sum(encoded) + sum(prefix))
    return _HEADER.pack(encoded, middle, checksum, _AFTER_CHECKSUM, prefix)


@lru_cache(maxsize=4096)
def _middle(num_bytes: int) -> tuple[bytes, int]:
    """Return mode to time, and what they and all that is fixed add to the checksum."""
    middle = _BEFORE_SIZE + b"%011o" % num_bytes + _AFTER_SIZE
    return middle, _FIXED_SUM + sum(middle)


@lru_cache(maxsize=65536)
def _octal_checksum(checksum: int) -> bytes:
    return b"%06o" % checksum


def _split_name(name: str, encoded: bytes) -> tuple[bytes, bytes]:
    """Return prefix and rest of a long name: the longest prefix that fits, as GNU tar splits."""
    slash = encoded.rfind(b"/", 0, MAX_PREFIX_BYTES + 1)
    prefix, rest = encoded[: max(slash, 0)], encoded[slash + 1 :]
    if not prefix or not rest or len(rest) > MAX_NAME_BYTES:
        raise ShardError(
            f"name {name!r} of {len(encoded)} bytes does not fit a tar header "
            f"({MAX_NAME_BYTES}, and {MAX_PREFIX_BYTES} of folders before them): shorten the key"
        )
    return prefix, rest


def padding(num_bytes: int) -> bytes:
    """Return the zeros that fill up the last block of a content of this length."""
    return _PADDING[num_bytes % BLOCK_BYTES]
