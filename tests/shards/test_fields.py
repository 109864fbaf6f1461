"""Indices within their codebook, features finite, JSON canonical."""

import json

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vtok.errors import FeatureOverflowError, NonFiniteError, ShardError
from vtok.shards.bfloat16 import LARGEST
from vtok.shards.fields import (
    all_finite,
    check_indices,
    decode_features,
    decode_indices,
    decode_json,
    encode_features,
    encode_indices,
    encode_json,
    index_dtype,
    narrow_features,
    split_field,
    view_field,
)
from vtok.shards.npy import encode_npy


@pytest.mark.parametrize(
    ("codebook_size", "dtype"),
    [
        (1, "uint8"),
        (256, "uint8"),
        (257, "uint16"),
        (65536, "uint16"),
        (65537, "uint32"),
        (2**32, "uint32"),
    ],
)
def test_the_largest_index_survives_the_smallest_dtype(codebook_size: int, dtype: str) -> None:
    assert index_dtype(codebook_size) == dtype
    data = encode_indices(np.array([0, codebook_size - 1]), codebook_size)
    again = decode_indices(data, codebook_size)
    assert again.dtype == dtype
    assert again.tolist() == [0, codebook_size - 1]
    with pytest.raises(ShardError, match=f"index {codebook_size} is outside"):
        encode_indices(np.array([0, codebook_size]), codebook_size)


@given(
    codebook_size=st.integers(1, 2**32),
    dtype=st.sampled_from(["int8", "int16", "int32", "int64", "uint8", "uint16", "uint64"]),
    data=st.data(),
)
def test_indices_come_back_or_are_refused(
    codebook_size: int, dtype: str, data: st.DataObject
) -> None:
    info = np.iinfo(dtype)
    values = data.draw(st.lists(st.integers(info.min, info.max), min_size=1, max_size=6))
    indices = np.array(values, dtype)
    if min(values) >= 0 and max(values) < codebook_size:
        assert decode_indices(encode_indices(indices, codebook_size), codebook_size).tolist() == (
            values
        )
    else:
        with pytest.raises(ShardError, match="outside the codebook"):
            encode_indices(indices, codebook_size)


def test_strided_indices_are_checked_where_they_are() -> None:
    indices = np.array([[1, -7], [2, -7]])
    check_indices(indices[:, 0], 3)
    with pytest.raises(ShardError, match="index -7"):
        check_indices(indices[:, 1], 3)


def test_stored_indices_must_be_in_range_and_in_their_dtype() -> None:
    with pytest.raises(ShardError, match="index 300 is outside the codebook of 257"):
        decode_indices(encode_npy(np.array([300], np.uint16)), 257)
    with pytest.raises(ShardError, match="dtype uint8"):
        decode_indices(encode_npy(np.array([3], np.uint8)), 257)
    for array in (np.array([0.5]), np.array([], np.int64), np.array([True])):
        with pytest.raises(ShardError, match="expected integers"):
            encode_indices(array, 8)
    for size in (0, 2**32 + 1):
        with pytest.raises(ValueError, match="codes"):
            index_dtype(size)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused(dtype: str, bad: float) -> None:
    features = np.ones((3, 4), np.float32)
    data = encode_features(features, dtype)  # type: ignore[arg-type]
    assert decode_features(data).dtype == ("float16" if dtype == "float16" else "float32")
    features[1, 2] = bad
    with pytest.raises(NonFiniteError, match="1 of 12 features"):
        encode_features(features, dtype)  # type: ignore[arg-type]
    with pytest.raises(ShardError, match="NaN or infinite"):
        decode_features(encode_npy(_cast(features, dtype)))


def _cast(features: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "bfloat16":
        return features.astype(ml_dtypes.bfloat16).view("V2")
    return features.astype(dtype)


def test_bfloat16_is_rounded_as_ml_dtypes_and_torch_round() -> None:
    generator = np.random.default_rng(5)
    patterns = generator.integers(0, 2**32, 100_000, np.uint32)
    halves = generator.integers(0, 0x7F7F, 5_000, np.uint32) << 16 | 0x8000  # ties
    numbers = np.concatenate((patterns, halves)).view(np.float32)
    numbers = numbers[np.abs(numbers) <= LARGEST]  # not the NaNs either
    (stored, again) = (narrow_features(numbers, "bfloat16"), encode_features(numbers, "bfloat16"))
    assert np.array_equal(stored.view("u2"), numbers.astype(ml_dtypes.bfloat16).view("u2"))
    as_torch = torch.from_numpy(numbers).to(torch.bfloat16)
    assert np.array_equal(stored.view("u2"), as_torch.view(torch.uint16).numpy())
    assert np.array_equal(decode_features(again, "bfloat16"), as_torch.float().numpy())


@given(data=st.data(), dtype=st.sampled_from(["float16", "float32", "float64"]))
def test_finiteness_is_that_of_numpy(data: st.DataObject, dtype: str) -> None:
    bits = 8 * np.dtype(dtype).itemsize
    patterns = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=1, max_size=3))
    array = np.array(patterns, f"u{bits // 8}").view(dtype)
    assert all_finite(array) == np.isfinite(array).all()


@pytest.mark.parametrize("pattern", [0x7BFF, 0x7C00, 0x7C01, 0x7FFF, 0xFBFF, 0xFC00, 0xFFFF, 0])
def test_finiteness_at_the_edges(pattern: int) -> None:
    array = np.array([0x3C00, pattern, 0xBC00], np.uint16).view(np.float16)
    assert all_finite(array) == np.isfinite(array).all()
    wide = np.array([0, pattern << 16 | pattern << 1 & 0xFFFF], np.uint32).view(np.float32)
    assert all_finite(wide) == np.isfinite(wide).all()


def test_only_floats_are_features() -> None:
    for array in (np.zeros((2, 2), np.int64), np.zeros((0, 4), np.float32)):
        with pytest.raises(ShardError, match="expected floats"):
            encode_features(array, "float16")


def test_float16_overflow_is_named() -> None:
    largest = np.float32(65504)
    assert decode_features(encode_features(np.array([-largest]), "float16"))[0] == -65504
    with pytest.raises(FeatureOverflowError, match="70000 does not fit float16") as caught:
        encode_features(np.array([1.0, -70000.0], np.float32), "float16")
    assert caught.value.reason == "overflow"
    for wide in ("bfloat16", "float32"):
        assert decode_features(encode_features(np.array([-70000.0]), wide))[0] < -65504  # type: ignore[arg-type]


@pytest.mark.parametrize("beyond", [65505.0, -65519.0])
def test_float16_does_not_clip_what_would_round_to_its_largest(beyond: float) -> None:
    assert np.abs(np.float16(beyond)) == 65504
    with pytest.raises(FeatureOverflowError, match="store --dtype bf16, or fp32"):
        encode_features(np.array([1.0, beyond], np.float32), "float16")


def test_bfloat16_overflow_is_named() -> None:
    assert decode_features(encode_features(np.array([LARGEST]), "bfloat16"))[0] == LARGEST
    with pytest.raises(FeatureOverflowError, match="store --dtype fp32"):
        encode_features(np.array([3.4e38], np.float32), "bfloat16")
    with pytest.raises(FeatureOverflowError, match="does not fit float32"):
        encode_features(np.array([1e39]), "float32")


def test_features_of_another_dtype_are_refused() -> None:
    with pytest.raises(ShardError, match="dtype float16"):
        decode_features(encode_npy(np.ones(2, np.float16)), "float32")


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(value=JSON_VALUES)
def test_json_comes_back(value: object) -> None:
    data = encode_json(value)
    assert decode_json(data) == value == json.loads(data)


def test_json_is_canonical() -> None:
    assert encode_json({"b": 1, "a": "é"}) == encode_json({"a": "é", "b": 1})
    assert encode_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()


@pytest.mark.parametrize(
    "value", [float("nan"), {"a": float("inf")}, b"bytes", "\udcff", np.float32(1), {1: {2j}}]
)
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises(ShardError, match="cannot be stored"):
        encode_json(value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"NaN",
        b"[Infinity]",
        b"1e999",
        b'{"a":1,"a":2}',
        b"\xff",
        b"[" * 100000,
        b"1" * 5000,
    ],
)
def test_hostile_json_is_refused(data: bytes) -> None:
    with pytest.raises(ShardError, match="not valid JSON"):
        decode_json(data)


def test_field_names_of_views() -> None:
    assert view_field("tile-000", "indices.npy") == "tile-000.indices.npy"
    assert split_field("tile-000.indices.npy") == ("tile-000", "indices.npy")
    assert split_field("thumbnail.jpg") == ("thumbnail", "jpg")
    assert split_field("json") is None
    assert split_field("jpg") is None
    assert split_field("ocr.json") is None
    with pytest.raises(ShardError, match="has a dot"):
        view_field("tile.0", "jpg")
