"""`.npy` bytes against numpy's own, and against whoever wishes us ill."""

import io
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vtok.errors import ShardError
from vtok.shards.npy import STORED_DTYPES, decode_npy, encode_npy, npy_header, npy_pieces


def saved(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


ARRAYS = st.sampled_from(STORED_DTYPES).flatmap(
    lambda dtype: (
        hnp.arrays("uint16", hnp.array_shapes(min_dims=1, max_dims=8, max_side=4)).map(
            lambda bits: bits.view("V2")
        )
        if dtype == "void16"
        else hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=8, max_side=4))
    )
)


@given(array=ARRAYS)
def test_bytes_are_those_of_numpy_and_come_back(array: np.ndarray) -> None:
    data = encode_npy(array)
    assert data == saved(array)
    again = decode_npy(data)
    assert again.dtype == array.dtype
    assert again.shape == array.shape
    assert again.tobytes() == array.tobytes()
    assert again.flags.writeable


def test_a_transposed_array_is_written_in_c_order() -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3).T
    assert np.array_equal(decode_npy(encode_npy(array)), array)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, np.int64),
        np.zeros(3, np.float64),
        np.zeros(3, ">u2"),
        np.zeros(3, bool),
        np.array([{}], object),
        np.zeros((2, 0), np.uint8),
        np.zeros((1,) * 9, np.uint8),
    ],
)
def test_other_arrays_are_not_written(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="not stored"):
        encode_npy(array)


def claim(text: str, body: bytes = b"") -> bytes:
    """Return a .npy file with this header text."""
    header = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


GOOD = "{'descr': '<u2', 'fortran_order': False, 'shape': (2,), }"


def test_the_hand_made_header_is_fine_before_it_is_spoiled() -> None:
    assert decode_npy(claim(GOOD, b"\x01\x00\x02\x00")).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (claim(GOOD.replace("(2,)", "(2000000, 2000000)")), "claims 8000000000000 bytes"),
        (claim(GOOD.replace("(2,)", "(4294967296, 4294967296)")), "claims"),
        (claim(GOOD.replace("(2,)", "(0, 1000000000000000)")), "no elements"),
        (claim(GOOD.replace("(2,)", "(-2, -2)"), bytes(8)), "plain numeric"),
        (claim(GOOD.replace("(2,)", "(2, 1, 1, 1, 1, 1, 1, 1, 1)"), bytes(4)), "dimensions"),
        (claim(GOOD.replace("False", "True"), bytes(4)), "Fortran"),
        (claim(GOOD.replace("<u2", "<i8"), bytes(16)), "dtype int64"),
        (claim(GOOD.replace("<u2", ">u2"), bytes(4)), "plain numeric"),
        (claim(GOOD.replace("<u2", "|O"), bytes(16)), "plain numeric"),
        (claim(GOOD.replace("<u2", "<f1"), bytes(2)), "plain numeric"),
        (claim(GOOD + "; __import__('os')", bytes(4)), "plain numeric"),
        (claim(GOOD, bytes(5)), "claims 4 bytes, 5 are there"),
        (claim(GOOD, bytes(3)), "claims 4 bytes, 3 are there"),
        (saved(np.array([{"a": 1}], object), allow_pickle=True), "plain numeric"),
        (saved(np.zeros(2, [("a", "<u2")])), "plain numeric"),
        (pickle.dumps([1, 2]), "version 1.0"),
        (b"", "version 1.0"),
        (b"\x93NUMPY\x02\x00" + bytes(60), "version 1.0"),
        (b"\x93NUMPY\x01\x00\xff\xff", "version 1.0"),
    ],
)
def test_hostile_bytes_are_refused(data: bytes, problem: str) -> None:
    with pytest.raises(ShardError, match=problem):
        decode_npy(data, where="x.npy")


@given(cut=st.integers(0, 200), at=st.integers(0, 151), bit=st.integers(0, 7))
def test_cuts_and_flips_are_refused_or_change_the_content_only(cut: int, at: int, bit: int) -> None:
    data = encode_npy(np.arange(12, dtype=np.uint16))
    if cut < len(data):
        with pytest.raises(ShardError):
            decode_npy(data[:cut])
    flipped = bytearray(data)
    flipped[at] ^= 1 << bit
    try:
        array = decode_npy(bytes(flipped))
    except ShardError:
        return
    assert array.nbytes == 24


def test_headers_are_remembered_by_shape_and_dtype() -> None:
    assert npy_header((2,), np.dtype("u2")) is npy_header((2,), np.dtype("u2"))


@pytest.mark.parametrize("dtype", STORED_DTYPES)
def test_a_large_array_comes_in_two_pieces_and_is_not_copied(dtype: str) -> None:
    array = (
        np.arange(40000, dtype=np.uint32).astype("uint16").view("V2" if dtype == "void16" else "u2")
    )
    array = array if dtype == "void16" else array.astype(dtype)
    pieces = npy_pieces(array.reshape(200, 200))
    assert b"".join(pieces) == saved(array.reshape(200, 200))  # type: ignore[arg-type]
    assert np.shares_memory(np.frombuffer(pieces[1], np.uint8), array)
    transposed = array.reshape(100, 400).T
    assert b"".join(npy_pieces(transposed)) == saved(np.ascontiguousarray(transposed))  # type: ignore[arg-type]
    assert npy_pieces(array[:9]) == saved(array[:9])
