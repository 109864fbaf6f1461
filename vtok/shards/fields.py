"""A sample's fields as bytes: indices, features, images, metadata, sidecars; and their names.

In: a view's array, checked here on its way out. Out: the bytes of one tar member, and the array
again, checked on its way in: indices within their codebook and in the smallest dtype that holds
it, features finite. A field is called `<view>.indices.npy`, `<view>.features.npy` or
`<view>.jpg|png|webp`, or in a shard of images that of a whole one `jpg|png|webp`; the metadata is
`json`; whatever else a sample carries is a sidecar (`txt`).
Knows nothing of tars, keys or models.

Features are stored as float16, bfloat16 or float32, whatever they were computed in; what the dtype
cannot hold is an error. `vtok.shards.bfloat16` says how bfloat16 lies in a `.npy`; it is read back
as float32.
"""

import json
import math
from functools import lru_cache
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from vtok.errors import FeatureOverflowError, NonFiniteError, ShardError
from vtok.shards import bfloat16
from vtok.shards.keys import check_field
from vtok.shards.npy import decode_npy, encode_npy

META_FIELD = "json"
INDICES_PART = "indices.npy"
FEATURES_PART = "features.npy"
IMAGE_FORMATS = ("jpg", "png", "webp")
WHOLE = "whole"
"""The view of an image that is not cut."""
MAX_JSON_BYTES = 64 << 20
MAX_CODEBOOK_SIZE = 1 << 32

FeatureDtype = Literal["float16", "bfloat16", "float32"]
IndexArray = npt.NDArray[np.integer[Any]]
FeatureArray = npt.NDArray[np.floating[Any]]
StoredFeatures = FeatureArray | npt.NDArray[np.void]

_UNSIGNED = {size: np.dtype(f"u{size}") for size in (1, 2, 4, 8)}
_LARGEST = {"float16": 65504.0, "bfloat16": bfloat16.LARGEST, "float32": 3.4028234663852886e38}
_ADVICE = {
    "float16": "store --dtype bf16, or fp32",
    "bfloat16": "store --dtype fp32",
    "float32": "no dtype that is stored does",
}
_NPY_DTYPES = {"float16": "float16", "bfloat16": bfloat16.BFLOAT16.name, "float32": "float32"}
_SUSPECT_BITS = {"float16": 0x7BFF, "bfloat16": 0x7F7F0000, "float32": 0x7F800000}
_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
)


@lru_cache(maxsize=4096)  # a run has few names and many samples
def view_field(view: str, part: str) -> str:
    """Return the field's name of one part of a view: `tile-000` and `indices.npy`, say.

    Raises:
        ShardError: the view's name has a dot or whatever else a field cannot hold.
    """
    if "." in view:
        raise ShardError(f"view {view!r} cannot be stored: its name has a dot")
    return check_field(f"{view}.{part}")


def image_field(view: str, image_format: str) -> str:
    """Return the field's name of a picture in a shard of images: `png` of a whole one.

    Raises:
        ShardError: as `view_field` does.
    """
    return image_format if view == WHOLE else view_field(view, image_format)


def split_field(field: str) -> tuple[str, str] | None:
    """Return (view, part) of a field that belongs to a view, None of the metadata or a sidecar."""
    view, dot, part = field.partition(".")
    if dot and (part in (INDICES_PART, FEATURES_PART) or part in IMAGE_FORMATS):
        return view, part
    return None


@lru_cache(maxsize=256)
def index_dtype(codebook_size: int) -> np.dtype[np.unsignedinteger[Any]]:
    """Return the smallest unsigned dtype that holds every index below `codebook_size`.

    Raises:
        ValueError: the size is below 1 or above 2^32.
    """
    if not 1 <= codebook_size <= MAX_CODEBOOK_SIZE:
        raise ValueError(f"a codebook has 1 to 2^32 codes, not {codebook_size}")
    return np.dtype(np.min_scalar_type(codebook_size - 1))


def narrow_indices(indices: IndexArray, codebook_size: int) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Return the indices, any shape, in the smallest unsigned dtype that holds the codebook.

    Raises:
        ShardError: the array is empty or not of integers, or an index is outside
            [0, codebook_size).
    """
    check_indices(indices, codebook_size)
    return indices.astype(index_dtype(codebook_size))


def check_indices(indices: IndexArray, codebook_size: int, *, where: str = "indices") -> None:
    """Require integers in [0, codebook_size), at least one.

    Raises:
        ShardError: they are not; the message names the first that is outside.
    """
    kind = indices.dtype.kind
    if kind not in "iu" or not indices.size:
        raise ShardError(
            f"{where}: expected integers, got {indices.dtype} of shape {indices.shape}"
        )
    # As unsigned numbers, negative ones are the largest: one comparison finds both kinds of fault.
    unsigned, limit = indices, codebook_size
    if kind == "i":
        num_bytes = indices.dtype.itemsize
        unsigned = indices.view(_UNSIGNED[num_bytes])
        limit = min(codebook_size, 1 << (8 * num_bytes - 1))
    if unsigned.item(unsigned.argmax()) >= limit:  # a third of the time of max()
        first = indices[unsigned >= limit].flat[0]
        raise ShardError(f"{where}: index {first} is outside the codebook of {codebook_size}")


def encode_indices(indices: IndexArray, codebook_size: int) -> bytes:
    """Return the `.npy` bytes of indices, any shape, in the smallest dtype of the codebook.

    Raises:
        ShardError: as `narrow_indices` does.
    """
    return encode_npy(narrow_indices(indices, codebook_size))


def decode_indices(data: bytes, codebook_size: int, *, where: str = "indices") -> IndexArray:
    """Return stored indices in the dtype they are stored in: the codebook's smallest.

    Raises:
        ShardError: not a plain array of that dtype, or an index is outside the codebook.
    """
    array = decode_npy(data, dtypes=(index_dtype(codebook_size).name,), where=where)
    indices = cast(IndexArray, array)
    check_indices(indices, codebook_size, where=where)
    return indices


def narrow_features(features: FeatureArray, dtype: FeatureDtype) -> StoredFeatures:
    """Return finite features, any shape, in the dtype that is stored; bfloat16 as opaque bytes.

    Raises:
        NonFiniteError: a feature is NaN or infinite.
        FeatureOverflowError: a feature is beyond the largest number of the dtype.
        ShardError: the array is empty or not of floats.
    """
    if features.dtype.kind != "f" or not features.size:
        raise ShardError(f"features: expected floats, got {features.dtype} of {features.shape}")
    with np.errstate(over="ignore"):
        narrowed = features.astype("float16" if dtype == "float16" else "float32", copy=False)
    largest_bits = _largest_bits(narrowed)
    if largest_bits >= _SUSPECT_BITS[dtype]:  # then only is a second look worth its time
        if not all_finite(features):
            raise NonFiniteError(f"{_count(features)} features are NaN or infinite")
        largest = float(np.abs(features).max())
        if largest > _LARGEST[dtype]:
            raise FeatureOverflowError(
                f"a feature of {largest:g} does not fit {dtype} (at most {_LARGEST[dtype]:g}): "
                f"{_ADVICE[dtype]}"
            )
    if dtype == "bfloat16":
        return bfloat16.to_bfloat16(cast(npt.NDArray[np.float32], narrowed))
    return narrowed


def all_finite(array: FeatureArray) -> bool:
    """Tell whether no element is NaN or infinite, without a copy of the array."""
    bits = array.dtype.itemsize * 8
    if bits > 32:
        return bool(np.isfinite(array).all())
    # NaN and infinity are the numbers whose exponent is all ones: the largest bit patterns.
    return _largest_bits(array) < (0x7C00 if bits == 16 else 0x7F800000)


def _largest_bits(array: FeatureArray) -> int:
    """Return the bits, but for the sign, of the number farthest from zero; of NaN, if there is one.

    Read as signed integers, only numbers without the sign bit can be large; as unsigned ones, those
    with it are the largest.
    """
    bits = array.dtype.itemsize * 8
    positive = int(array.view(f"i{bits // 8}").max(initial=0))
    negative = int(array.view(f"u{bits // 8}").max(initial=0)) - (1 << (bits - 1))
    return max(positive, negative)


def _count(features: FeatureArray) -> str:
    return f"{int(np.count_nonzero(~np.isfinite(features)))} of {features.size}"


def encode_features(features: FeatureArray, dtype: FeatureDtype) -> bytes:
    """Return the `.npy` bytes of features, (N, D) or any shape, in the dtype that is stored.

    Raises:
        NonFiniteError: as `narrow_features` does, and FeatureOverflowError with it.
    """
    return encode_npy(narrow_features(features, dtype))


def decode_features(
    data: bytes, dtype: FeatureDtype | None = None, *, where: str = "features"
) -> FeatureArray:
    """Return stored features: float16, or float32 of float32 and bfloat16.

    Args:
        data: The `.npy` bytes.
        dtype: What they must be stored in; None for any.
        where: What to call them in errors.

    Raises:
        ShardError: not a plain array of that dtype, or a feature is NaN or infinite.
    """
    dtypes = tuple(_NPY_DTYPES.values()) if dtype is None else (_NPY_DTYPES[dtype],)
    stored = decode_npy(data, dtypes=dtypes, where=where)
    is_wide = stored.dtype == bfloat16.BFLOAT16
    features = bfloat16.from_bfloat16(stored) if is_wide else cast(FeatureArray, stored)
    if not all_finite(features):
        raise ShardError(f"{where}: {_count(features)} features are NaN or infinite: damaged")
    return features


def encode_json(value: Any) -> bytes:
    """Return canonical JSON: keys sorted, no spaces, UTF-8, no NaN. The same value, the same bytes.

    Raises:
        ShardError: the value holds what JSON or UTF-8 cannot: NaN, bytes, a lone surrogate.
    """
    try:
        return _ENCODER.encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ShardError(f"metadata cannot be stored as JSON: {error}") from error


def decode_json(data: bytes, *, where: str = "json") -> Any:
    """Return the value of strict JSON in UTF-8.

    Raises:
        ShardError: not JSON, with NaN or a repeated name, nested too deep or too long.
    """
    if len(data) > MAX_JSON_BYTES:
        raise ShardError(f"{where}: {len(data)} bytes of JSON (at most {MAX_JSON_BYTES})")
    try:
        return json.loads(
            data.decode(),
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            object_pairs_hook=_unique_pairs,
        )
    except (ValueError, RecursionError) as error:
        raise ShardError(f"{where}: not valid JSON: {error}") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name appears twice in one object")
    return value
