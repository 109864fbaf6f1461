"""Samples into one shard: a tar that says what it is, the same bytes for the same samples.

In: a header, then samples in order. Out: the tar under its final name, whole and on the disk, or
nothing; its digest, hashed as it was written. Knows nothing of runs, plans or failures: what
`add` refuses leaves no trace in the shard, and the caller records it.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from vtok.errors import ShardError
from vtok.io.files import HashingWriter, atomic_writer
from vtok.shards.header import ShardHeader
from vtok.shards.keys import HEADER_MEMBER
from vtok.shards.layouts import (
    SAMPLES_PER_BLOCK,
    BlockLayout,
    NamedContent,
    SampleLayout,
    StoredArray,
)
from vtok.shards.samples import Sample
from vtok.shards.ustar import END_OF_ARCHIVE, member_header, padding

_BUFFER_BYTES = 1 << 20
_LARGE_BYTES = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenShard:
    """What came out.

    Attributes:
        name: The tar's name in its folder.
        sha256: Digest of the tar.
        num_bytes: Its length.
        num_samples: Samples in it.
        first_key: Key of the first sample; None if there is none.
        last_key: Key of the last one.
    """

    name: str
    sha256: str
    num_bytes: int
    num_samples: int
    first_key: str | None
    last_key: str | None


class ShardWriter:
    """Writes one shard; a context manager, `written` is there when it has ended.

    Args:
        path: The tar to make; one that is there is replaced, at the end.
        header: What the shard says of itself; its `layout` decides how samples are laid out.
        samples_per_block: Samples a block, for the block layout.
    """

    def __init__(
        self, path: Path, header: ShardHeader, *, samples_per_block: int = SAMPLES_PER_BLOCK
    ) -> None:
        self._path = path
        self._stack = ExitStack()
        self._file: HashingWriter
        self._header = header
        self._block: BlockLayout | None = None
        if header.layout == "block":
            self._block = BlockLayout(header, samples_per_block=samples_per_block)
        self._layout = self._block or SampleLayout(header)
        self._keys: set[str] = set()
        self._first_key: str | None = None
        self._last_key: str | None = None
        self._chunks: list[bytes | memoryview] = []
        self._num_buffered = 0
        self._written: WrittenShard | None = None

    @property
    def num_samples(self) -> int:
        """Samples added so far."""
        return len(self._keys)

    @property
    def written(self) -> WrittenShard:
        """The finished shard; only once the context has ended without an exception."""
        assert self._written is not None, "the shard is not finished"
        return self._written

    def add(self, sample: Sample) -> None:
        """Append one sample.

        Raises:
            ShardError: a key, field, index or metadata that cannot be stored.
            NonFiniteError: a feature is NaN, infinite or too large for its dtype.
            OutputError: the disk refuses.
        """
        if sample.key in self._keys:
            raise ShardError(f"key {sample.key!r} is in this shard already")
        self._append(self._layout.members(sample), [sample.key])

    def add_stacked(
        self,
        keys: Sequence[str],
        arrays: Mapping[str, StoredArray],
        metas: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Append B samples of equal shape to a shard of blocks: the bytes of adding each alone.

        Args:
            keys: B keys.
            arrays: View → (B, ...) indices or features, as the header's kind says.
            metas: B mappings, or none at all.

        Raises:
            ShardError: as `add` does; none of the B samples is written then.
            NonFiniteError: as `add` does.
            ValueError: the layout is not of blocks, or the lengths differ.
        """
        if self._block is None:
            raise ValueError("only shards of the block layout take stacked arrays")
        if len(set(keys)) != len(keys) or not self._keys.isdisjoint(keys):
            raise ShardError(f"a key between {keys[0]!r} and {keys[-1]!r} appears twice")
        self._append(self._block.stacked_members(keys, arrays, metas), keys)

    def __enter__(self) -> "ShardWriter":
        self._file = self._stack.enter_context(atomic_writer(self._path))
        self._append([(HEADER_MEMBER, self._header.encode())])  # before all samples
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._stack.pop_all() as stack:
            if kind is not None:
                stack.__exit__(kind, error, traceback)
                return
            self._append(self._layout.last_members())
            self._chunks.append(END_OF_ARCHIVE)
            self._flush()
        self._written = WrittenShard(
            name=self._path.name,
            sha256=self._file.sha256,
            num_bytes=self._file.num_bytes,
            num_samples=self.num_samples,
            first_key=self._first_key,
            last_key=self._last_key,
        )

    def _append(self, members: Iterable[NamedContent], keys: Sequence[str] = ()) -> None:
        """Take the members that these samples brought; none of them if a name does not fit."""
        chunks: list[bytes | memoryview] = []
        is_large = False
        for name, data in members:
            if isinstance(data, bytes):
                num_bytes = len(data)
                chunks += (member_header(name, num_bytes), data, padding(num_bytes))
            else:
                num_bytes = sum(map(len, data))
                chunks += (member_header(name, num_bytes), *data, padding(num_bytes))
                is_large = True
            self._num_buffered += num_bytes
        self._chunks += chunks
        if keys:
            self._keys.update(keys)
            self._first_key = keys[0] if self._first_key is None else self._first_key
            self._last_key = keys[-1]
        if is_large or self._num_buffered >= _BUFFER_BYTES:
            self._flush()  # at once, where an array is its owner's to change from now on

    def _flush(self) -> None:
        small: list[bytes | memoryview] = []
        for chunk in self._chunks:
            if len(chunk) < _LARGE_BYTES:
                small.append(chunk)
                continue
            self._file.write(b"".join(small))
            small.clear()
            self._file.write(chunk)  # joining it to others would cost a copy
        self._file.write(b"".join(small))
        self._chunks.clear()
        self._num_buffered = 0
