"""Samples as members of a tar: one set of members a sample, or blocks of stacked arrays.

In: samples, checked and encoded here whole before any of their bytes is handed on, so that a
sample that fails leaves no trace. Out: (name, content) of members, in an order that depends on
the samples alone. Knows nothing of files, digests or the header.

`sample`: `<key>.<field>`, fields sorted. `block`: `000000.keys.json` (a list), one
`000000.<view>.indices.npy` of (B, ...) for every view, `000000.meta.json` (a list) if there is
any metadata, `000000.<sidecar>.list.json` for every sidecar. A block ends after
`samples_per_block` samples, at `MAX_BLOCK_BYTES`, or where a sample has other fields, shapes or
metadata than the one before; B is the number of samples in it.
"""

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vtok.errors import ShardError
from vtok.shards.fields import (
    FEATURES_PART,
    INDICES_PART,
    META_FIELD,
    encode_json,
    image_field,
    narrow_features,
    narrow_indices,
    split_field,
    view_field,
)
from vtok.shards.header import ShardHeader
from vtok.shards.keys import check_field, check_key, check_keys
from vtok.shards.npy import Content, npy_pieces
from vtok.shards.samples import Sample

SAMPLES_PER_BLOCK = 256
MAX_BLOCK_BYTES = 4 << 20
KEYS_FIELD = "keys.json"
METAS_FIELD = "meta.json"
LIST_SUFFIX = ".list.json"

NamedContent = tuple[str, Content]
"""A member. What an array holds of it is to be written before the array changes."""
StoredArray = npt.NDArray[np.generic]

_name = itemgetter(0)


class Layout(Protocol):
    """How samples become members."""

    def members(self, sample: Sample) -> list[NamedContent]:
        """Return the members that can be written now that this sample has come."""

    def last_members(self) -> list[NamedContent]:
        """Return the members that waited for more samples."""


def narrow_arrays(
    sample: Sample, header: ShardHeader, *, stacked: bool = False
) -> dict[str, StoredArray]:
    """Return field → array, checked and in the dtype that is stored.

    Args:
        sample: Its arrays are of one view, or `stacked`: of as many samples as their first axis.
        header: What they are checked by.
        stacked: Whether they are.

    Raises:
        ShardError: a view's name or an index cannot be stored, or the header is of another kind.
        NonFiniteError: a feature is NaN, infinite or too large for its dtype.
    """
    arrays: dict[str, StoredArray] = {}
    for view, indices in sample.indices.items():
        arrays[view_field(view, INDICES_PART)] = narrow_indices(indices, header.codebook_size)
        header.check_shape(indices.shape[stacked:], where=view)
    for view, features in sample.features.items():
        if header.feature_dtype is None:
            raise ShardError(f"a shard of {header.kind} holds no features")
        arrays[view_field(view, FEATURES_PART)] = narrow_features(features, header.feature_dtype)
    return arrays


class SampleLayout:
    """One set of members a sample, as every WebDataset reader expects."""

    def __init__(self, header: ShardHeader) -> None:
        self._header = header

    def members(self, sample: Sample) -> list[NamedContent]:
        """Return `<key>.<field>` and content of every field, sorted."""
        key = check_key(sample.key)
        fields: list[NamedContent] = [
            (name, npy_pieces(array)) for name, array in narrow_arrays(sample, self._header).items()
        ]
        image_name = image_field if self._header.kind == "images" else view_field
        for view, image in sample.images.items():
            fields.append((image_name(view, image.format), image.data))
        for name, data in sample.sidecars.items():
            fields.append((check_sidecar(name), data))
        if sample.meta:
            fields.append((META_FIELD, encode_json(meta_with_key(sample))))
        if not fields:
            raise ShardError(f"sample {key!r} has no fields: a tar cannot hold it")
        fields.sort(key=_name)
        return [(f"{key}.{name}", data) for name, data in fields]

    def last_members(self) -> list[NamedContent]:
        """Return nothing: no sample waits."""
        return []


class BlockLayout:
    """Blocks of stacked arrays: a twentieth of the overhead, for small samples."""

    def __init__(self, header: ShardHeader, *, samples_per_block: int = SAMPLES_PER_BLOCK) -> None:
        if samples_per_block < 1:
            raise ValueError(f"a block has at least one sample, not {samples_per_block}")
        self._header = header
        self._samples_per_block = samples_per_block
        self._num_blocks = 0
        self._signature: tuple[Any, ...] = ()
        self._capacity = samples_per_block
        self._keys: list[str] = []
        self._metas: list[bytes] = []  # encoded as they come: a bad one fails alone
        self._arrays: dict[str, list[StoredArray]] = {}
        self._sidecars: dict[str, list[str]] = {}

    def members(self, sample: Sample) -> list[NamedContent]:
        """Return the members of the block that this sample ends, most often none."""
        if sample.images:
            raise ShardError("blocks hold no images: use the layout of one member set a sample")
        sidecars = {
            check_sidecar(name): [_text(name, data)] for name, data in sample.sidecars.items()
        }
        metas = [encode_json(meta_with_key(sample))] if sample.meta else []
        arrays = {name: array[None] for name, array in narrow_arrays(sample, self._header).items()}
        return list(self._append([sample.key], arrays, metas, sidecars))

    def stacked_members(
        self,
        keys: Sequence[str],
        arrays: Mapping[str, StoredArray],
        metas: Sequence[Mapping[str, Any]] = (),
    ) -> list[NamedContent]:
        """Return the members of the blocks that these samples end; the same as one by one.

        Args:
            keys: B keys.
            arrays: View → (B, ...) indices or features, as the header's kind says.
            metas: B mappings, or none at all.
        """
        stacked = Sample(
            key="",
            indices=arrays if self._header.kind == "indices" else {},  # type: ignore[arg-type]
            features=arrays if self._header.kind == "features" else {},  # type: ignore[arg-type]
        )
        narrowed = narrow_arrays(stacked, self._header, stacked=True)
        lengths = {len(keys), *(len(array) for array in narrowed.values())}
        if len(lengths) != 1 or (metas and len(metas) != len(keys)):
            raise ValueError(f"keys, metadata and arrays are of different lengths: {lengths}")
        encoded = [
            encode_json({**meta, "key": key}) for key, meta in zip(keys, metas, strict=False)
        ]
        return list(self._append(keys, narrowed, encoded, {}))

    def last_members(self) -> list[NamedContent]:
        """Return the members of the block that is not full."""
        return self._flush()

    def _append(
        self,
        keys: Sequence[str],
        arrays: Mapping[str, StoredArray],
        metas: Sequence[bytes],
        sidecars: Mapping[str, Sequence[str]],
    ) -> Iterator[NamedContent]:
        check_keys(keys)
        shapes = [(name, array.shape[1:]) for name, array in sorted(arrays.items())]
        signature = (shapes, bool(metas), sorted(sidecars))
        if not arrays:
            raise ShardError(f"sample {keys[0]!r} has no arrays: a block stacks arrays")
        if signature != self._signature:
            yield from self._flush()
            self._signature = signature
            self._capacity = self._samples_that_fit(arrays)
        start = 0
        while start < len(keys):
            stop = start + min(self._capacity - len(self._keys), len(keys) - start)
            self._keys += keys[start:stop]
            self._metas += metas[start:stop]
            for name, array in arrays.items():
                self._arrays.setdefault(name, []).append(array[start:stop])
            for name, texts in sidecars.items():
                self._sidecars.setdefault(name, []).extend(texts[start:stop])
            start = stop
            if len(self._keys) == self._capacity:
                yield from self._flush()

    def _samples_that_fit(self, arrays: Mapping[str, StoredArray]) -> int:
        """Return B for these shapes: at least one sample, then up to `MAX_BLOCK_BYTES`."""
        num_bytes = sum(array[:1].nbytes for array in arrays.values())
        return max(1, min(self._samples_per_block, MAX_BLOCK_BYTES // num_bytes))

    def _flush(self) -> list[NamedContent]:
        if not self._keys:
            return []
        fields: list[NamedContent] = [(KEYS_FIELD, _encode_keys(self._keys))]
        for name, chunks in self._arrays.items():
            stacked = chunks[0] if len(chunks) == 1 else np.concatenate(chunks)
            fields.append((name, npy_pieces(stacked)))
        if self._metas:
            fields.append((METAS_FIELD, b"[" + b",".join(self._metas) + b"]"))
        for name, texts in self._sidecars.items():
            fields.append((name + LIST_SUFFIX, encode_json(texts)))
        fields.sort(key=_name)
        block = f"{self._num_blocks:06d}"
        self._num_blocks += 1
        self._keys, self._metas, self._arrays, self._sidecars = [], [], {}, {}
        return [(f"{block}.{name}", data) for name, data in fields]


def check_sidecar(field: str) -> str:
    """Return a sidecar's name if it cannot be taken for one of our own fields.

    Raises:
        ShardError: it is the metadata's or a view's name, or no field's name at all.
    """
    if field in (META_FIELD, KEYS_FIELD, METAS_FIELD) or split_field(field):
        raise ShardError(f"sidecar {field!r} has the name of one of vtok's own fields")
    return check_field(field)


def meta_with_key(sample: Sample) -> dict[str, Any]:
    """Return the sample's metadata with its key, as it is stored."""
    return {**sample.meta, "key": sample.key}


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ShardError(f"sidecar {name!r} is not UTF-8 text: blocks hold no other") from error


def _encode_keys(keys: Sequence[str]) -> bytes:
    """Return the canonical JSON of checked keys: nothing but a quote in them needs escaping."""
    text = '","'.join(keys)
    if text.count('"') == 2 * (len(keys) - 1):
        return f'["{text}"]'.encode()
    return encode_json(keys)
