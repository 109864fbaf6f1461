"""One shard's samples, read without trusting a byte of it.

In: the path of a tar that vtok wrote, alone or in its folder. Out: what it says of itself, and its
samples one by one, in order, whichever layout it has. Whatever does not fit, the archive's
structure, a name, a dtype, a shape, an index outside the codebook, a NaN, is a `ShardError` that
names the shard and the byte. Needs numpy alone; knows nothing of runs, plans or models.

Dimension letter: B samples in a block.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, BinaryIO, cast

from vtok.errors import ManifestError, ShardError, UnreachableError
from vtok.io.places import Place, open_place, sha256_of
from vtok.io.tar import Member, iter_members, read_member
from vtok.shards.commit import CommitRecord
from vtok.shards.fields import (
    FEATURES_PART,
    IMAGE_FORMATS,
    INDICES_PART,
    META_FIELD,
    WHOLE,
    decode_features,
    decode_indices,
    decode_json,
    split_field,
)
from vtok.shards.header import MAX_HEADER_BYTES, ShardHeader
from vtok.shards.keys import HEADER_MEMBER, check_key, split_member
from vtok.shards.layouts import KEYS_FIELD, LIST_SUFFIX, METAS_FIELD
from vtok.shards.recordfile import says_nothing
from vtok.shards.samples import ImageBytes, ImageFormat, Sample

ADVICE = "restore it, or remove it with its commit record and run the command that made it again"


class Shard:
    """One tar; iterating it opens it anew and yields its samples in order.

    Args:
        path: The tar: a local path, or a URL.
        commit: Its commit record, where the tar stands in its folder.
    """

    def __init__(self, path: Place, commit: CommitRecord | None = None) -> None:
        self.path = path
        self.commit = commit

    @cached_property
    def header(self) -> ShardHeader:
        """What the shard says of itself.

        Raises:
            ShardError: it is missing, damaged, or not one of vtok's.
        """
        with self._reading() as file:
            return self._read_header(file, self._members(file))

    @cached_property
    def num_samples(self) -> int:
        """Samples in the shard: as its commit says, or counted.

        Raises:
            ShardError: the shard has to be counted and is damaged.
        """
        if self.commit is not None:
            return self.commit.written
        return sum(1 for _ in self.keys())

    def keys(self) -> Iterator[str]:
        """Yield the keys in order, without reading arrays or images.

        Raises:
            ShardError: the shard is damaged.
        """
        with self._reading() as file:
            members = self._members(file)
            header = self._read_header(file, members)
            last = None
            for member in members:
                stem, name = split_member(member.name)
                if header.layout == "block":
                    if name == KEYS_FIELD:
                        yield from _read_keys(read_member(file, member), self._at(member))
                elif stem != last:
                    last = stem
                    yield stem

    def metas(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield key and metadata of every sample that has any, reading nothing else.

        Raises:
            ShardError: the shard is damaged.
        """
        with self._reading() as file:
            members = self._members(file)
            header = self._read_header(file, members)
            wanted = METAS_FIELD if header.layout == "block" else META_FIELD
            for stem, group in self._groups(members):
                if (member := group.get(wanted)) is None:
                    continue
                where = self._at(member)
                value = decode_json(read_member(file, member, source=str(self.path)), where=where)
                for meta in value if header.layout == "block" else [value]:
                    key = str(meta.get("key")) if header.layout == "block" else stem
                    yield key, _checked_meta(meta, key, where)

    def __iter__(self) -> Iterator[Sample]:
        try:
            yield from self._samples()
        except UnreachableError:
            raise  # nothing is known that would have to be restored or removed
        except ShardError as error:
            raise ShardError(f"{error}: {ADVICE}") from error

    def verify(self) -> None:
        """Require the tar to be, byte for byte, the one that was committed.

        Raises:
            ManifestError: there is no commit record to compare with.
            ShardError: the digest differs.
        """
        if self.commit is None:
            raise ManifestError(f"{self.path}: no commit record is there to verify it by")
        try:
            digest = sha256_of(self.path)
        except OSError as error:
            raise self._unreadable(error) from error
        if digest != self.commit.sha256:
            raise ShardError(f"{self.path}: its sha256 is not that of its commit: {ADVICE}")

    def _samples(self) -> Iterator[Sample]:
        with self._reading() as file:
            members = self._members(file)
            header = self._read_header(file, members)
            seen: set[str] = set()
            for stem, group in self._groups(members):
                fields = {
                    field: (read_member(file, member, source=str(self.path)), self._at(member))
                    for field, member in group.items()
                }
                if header.layout == "block":
                    samples = _read_block(fields, header, f"{self.path}: block {stem!r}")
                else:
                    samples = iter([_read_sample(stem, fields, header)])
                for sample in samples:
                    if sample.key in seen:
                        raise ShardError(f"{self.path}: key {sample.key!r} appears twice")
                    seen.add(sample.key)
                    yield sample

    def _groups(self, members: Iterator[Member]) -> Iterator[tuple[str, dict[str, Member]]]:
        """Yield what stands before the first dot, and field → member, of neighbours that share it.

        The last group comes only once the archive's end has been checked.
        """
        current: str | None = None
        group: dict[str, Member] = {}
        for member in members:
            stem, field = split_member(member.name)
            if stem != current:
                if current is not None:
                    yield current, group
                current, group = stem, {}
            group[field] = member
        if current is not None:
            yield current, group

    @contextmanager
    def _reading(self) -> Iterator[BinaryIO]:
        """Open the tar; whatever the disk or the network refuses meanwhile is an error of it."""
        try:
            with open_place(self.path) as file:
                yield file
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> ShardError:
        found = UnreachableError if says_nothing(self.path, error) else ShardError
        return found(f"{self.path}: cannot be read: {error.strerror or error}")

    def _members(self, file: BinaryIO) -> Iterator[Member]:
        num_bytes = file.seek(0, 2)
        return iter_members(file, num_bytes=num_bytes, source=str(self.path))

    def _read_header(self, file: BinaryIO, members: Iterator[Member]) -> ShardHeader:
        first = next(members, None)
        if first is None or first.name != HEADER_MEMBER:
            raise ShardError(f"{self.path}: not a vtok shard: it does not begin with its header")
        if first.num_bytes > MAX_HEADER_BYTES:
            raise ShardError(f"{self._at(first)}: a header of {first.num_bytes} bytes")
        return ShardHeader.decode(read_member(file, first), where=self._at(first))

    def _at(self, member: Member) -> str:
        return f"{self.path}: member {member.name!r} at byte {member.offset}"


Fields = dict[str, tuple[bytes, str]]
"""Field → its bytes, and what to call them in errors."""


def _read_sample(key: str, fields: Fields, header: ShardHeader) -> Sample:
    """Return the sample of one set of members."""
    sample = _Draft(key)
    for field, (data, where) in fields.items():
        if field == META_FIELD:
            sample.meta.update(_checked_meta(decode_json(data, where=where), key, where))
            continue
        part = split_field(field)
        if header.kind == "images" and field in IMAGE_FORMATS:
            part = (WHOLE, field)
        if part is None:
            sample.sidecars[field] = data
        elif part[1] == INDICES_PART:
            indices = decode_indices(data, header.codebook_size, where=where)
            header.check_shape(indices.shape, where=where)
            sample.indices[part[0]] = indices
        elif part[1] == FEATURES_PART:
            sample.features[part[0]] = decode_features(data, header.feature_dtype, where=where)
        elif part[0] in sample.images:
            raise ShardError(f"{where}: a second image of view {part[0]!r}")
        else:
            sample.images[part[0]] = ImageBytes(cast(ImageFormat, part[1]), data)
    return sample.freeze()


def _read_block(fields: Fields, header: ShardHeader, where: str) -> Iterator[Sample]:
    """Yield the samples of one block; arrays are rows of the block's own."""
    if KEYS_FIELD not in fields:
        raise ShardError(f"{where}: it has no {KEYS_FIELD}")
    keys = _read_keys(*fields.pop(KEYS_FIELD))
    samples = [_Draft(key) for key in keys]
    for field, (data, at) in fields.items():
        part = split_field(field)
        rows: Any
        if part is not None and part[1] == INDICES_PART:
            rows = decode_indices(data, header.codebook_size, where=at)
            header.check_shape(rows.shape[1:], where=at)
        elif part is not None and part[1] == FEATURES_PART:
            rows = decode_features(data, header.feature_dtype, where=at)
        elif part is None and (field == METAS_FIELD or field.endswith(LIST_SUFFIX)):
            rows = decode_json(data, where=at)
            if not isinstance(rows, list):
                raise ShardError(f"{at}: a list was expected")
        else:
            raise ShardError(f"{at}: not a field of a block")
        _spread(samples, field, rows, at)
    for sample in samples:
        yield sample.freeze()


def _spread(samples: "list[_Draft]", field: str, rows: Any, where: str) -> None:
    """Give every sample of a block its row of one field."""
    part = split_field(field)
    if part is not None and rows.ndim == 0:
        raise ShardError(f"{where}: a stacked array was expected")
    if len(rows) != len(samples):
        raise ShardError(f"{where}: {len(rows)} rows for {len(samples)} keys")
    for sample, row in zip(samples, rows, strict=True):
        if part is not None:
            (sample.indices if part[1] == INDICES_PART else sample.features)[part[0]] = row
        elif field == METAS_FIELD:
            sample.meta.update(_checked_meta(row, sample.key, where))
        elif isinstance(row, str):
            sample.sidecars[field.removesuffix(LIST_SUFFIX)] = row.encode()
        else:
            raise ShardError(f"{where}: a list of texts was expected")


class _Draft:
    """A sample that is being read."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.meta: dict[str, Any] = {}
        self.indices: dict[str, Any] = {}
        self.features: dict[str, Any] = {}
        self.images: dict[str, ImageBytes] = {}
        self.sidecars: dict[str, bytes] = {}

    def freeze(self) -> Sample:
        return Sample(
            key=self.key,
            meta=self.meta,
            indices=self.indices,
            features=self.features,
            images=self.images,
            sidecars=self.sidecars,
        )


def _read_keys(data: bytes, where: str) -> list[str]:
    keys = decode_json(data, where=where)
    if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
        raise ShardError(f"{where}: a list of keys was expected")
    return [check_key(key) for key in keys]


def _checked_meta(meta: object, key: str, where: str) -> dict[str, Any]:
    if not isinstance(meta, dict) or meta.get("key") != key:
        raise ShardError(f"{where}: the metadata is not that of key {key!r}")
    return meta
