"""Arrays as `.npy` bytes, written and parsed here: no pickle, no surprise, no allocation on trust.

In: a C-ordered array of an allowed dtype, or bytes that claim to be one. Out: version 1.0 `.npy`
bytes, the same as `numpy.save` writes, or the array. A header is believed only if it is exactly
what numpy would have written and its shape accounts for every byte that is there. The format is
described in numpy's `numpy/lib/format.py`. Knows nothing of codebooks, samples or tars.
"""

import re
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from vtok.errors import ShardError

STORED_DTYPES = ("uint8", "uint16", "uint32", "float16", "float32", "void16")
"""What a shard may hold; `void16`, which is two opaque bytes, is how bfloat16 is written."""

ANY_INTEGER_DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
"""What an index array made elsewhere may hold."""

MAX_DIMENSIONS = 8

Content = bytes | tuple[bytes, memoryview]
"""The bytes of a file, whole or in two pieces of which the second belongs to an array."""

_MAGIC = b"\x93NUMPY\x01\x00"
_ALIGNMENT_BYTES = 64
_LARGE_BYTES = 1 << 15  # what a copy of it costs is more than what handling two pieces does
_HEADER = re.compile(
    rb"\{'descr': '([<|](?:[ui][1248]|f[248]|V2))', 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,18}, )*[0-9]{1,18},?)?\), \} *\n"
)


def encode_npy(array: npt.NDArray[np.generic]) -> bytes:
    """Return the `.npy` bytes of an array of a `STORED_DTYPES` dtype.

    Raises:
        ValueError: another dtype, more than `MAX_DIMENSIONS` dimensions, or no elements.
    """
    content = np.ascontiguousarray(array).data  # joined without another copy on the way
    return b"".join((npy_header(array.shape, array.dtype), content))


def npy_pieces(array: npt.NDArray[np.generic]) -> Content:
    """Return the same bytes; those of a large array where it has them, not copied, if C-ordered.

    Raises:
        ValueError: as `encode_npy` does.
    """
    if array.nbytes < _LARGE_BYTES:
        return encode_npy(array)
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    return npy_header(array.shape, array.dtype), content


@lru_cache(maxsize=4096)
def npy_header(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> bytes:
    """Return the header that stands before the bytes of a C-ordered array.

    Raises:
        ValueError: the dtype is not among `STORED_DTYPES`, or the shape has too many dimensions or
            no elements.
    """
    if dtype.name not in STORED_DTYPES or not dtype.isnative:
        raise ValueError(f"arrays of dtype {dtype} are not stored, only {', '.join(STORED_DTYPES)}")
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"an array of {len(shape)} dimensions is not stored")
    if 0 in shape:
        raise ValueError(f"an empty array of shape {shape} is not stored")
    descr = dtype.newbyteorder("<").str
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    # numpy leaves room for the first axis to grow to 21 digits, then pads to 64 bytes.
    room = 21 - len(repr(shape[0])) if shape else 0
    num_bytes = len(_MAGIC) + 2 + len(text) + room + 1
    text += b" " * (room + -num_bytes % _ALIGNMENT_BYTES) + b"\n"
    return _MAGIC + len(text).to_bytes(2, "little") + text


def decode_npy(
    data: bytes,
    *,
    dtypes: tuple[str, ...] = STORED_DTYPES,
    where: str = "array",
    any_order: bool = False,
) -> npt.NDArray[np.generic]:
    """Return the array, writable and owned by the caller, of `.npy` bytes.

    Args:
        data: All the bytes of the file.
        dtypes: Names of the dtypes to accept.
        where: What to call the bytes in an error.
        any_order: Whether to take Fortran order, as numpy writes what has been transposed.

    Raises:
        ShardError: not version 1.0, a dtype outside the list (objects and pickles among them),
            Fortran order unless it is taken, or a shape that does not account for the bytes that
            are there.
    """
    length = int.from_bytes(data[8:10], "little")
    start = len(_MAGIC) + 2 + length
    header = data[10:start]
    if data[:8] != _MAGIC or len(header) != length:
        raise ShardError(f"{where}: not a version 1.0 .npy file")
    match = _HEADER.fullmatch(header)
    if match is None:
        raise ShardError(f"{where}: the .npy header is not one of a plain numeric array")
    dtype = np.dtype(match[1].decode())
    if dtype.name not in dtypes:
        raise ShardError(f"{where}: dtype {dtype.name} is not one of {', '.join(dtypes)}")
    is_fortran = match[2] == b"True"
    if is_fortran and not any_order:
        raise ShardError(f"{where}: the array is in Fortran order")
    shape = tuple(int(size) for size in (match[3] or b"").rstrip(b",").split(b", ") if size)
    _check_shape(shape, dtype.itemsize, len(data) - start, where)
    flat = np.frombuffer(data, dtype, offset=start)
    return flat.reshape(shape, order="F" if is_fortran else "C").copy()


def _check_shape(shape: tuple[int, ...], itemsize: int, num_bytes: int, where: str) -> None:
    """Require the shape to account for every byte: products in Python integers cannot overflow."""
    if len(shape) > MAX_DIMENSIONS:
        raise ShardError(f"{where}: {len(shape)} dimensions (at most {MAX_DIMENSIONS})")
    if 0 in shape:
        raise ShardError(f"{where}: shape {shape} has no elements")
    claimed = itemsize
    for size in shape:
        claimed *= size
    if claimed != num_bytes:
        raise ShardError(f"{where}: shape {shape} claims {claimed} bytes, {num_bytes} are there")
