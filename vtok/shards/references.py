"""A sample that is not in a shard, because an identical file's is: what is kept of it.

In: a commit record. Out: `Reference`, read strictly, and the sample that it stands for: the arrays
of the one that is written, under its own key, source, metadata and captions. Knows nothing of how
duplicates are found.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vtok.shards.samples import Sample
from vtok.shards.strict import JsonObject, StrictObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One duplicate.

    Attributes:
        key: The key that it would have in its shard.
        source: Where it came from.
        sha256: Digest of the file, the same as that of the one that is written.
        of: Key of the sample that is written.
        of_shard: The shard that this is in.
        metadata: JSON values that came with it.
        sidecars: Field → bytes that lay beside it.
    """

    key: str
    source: str
    sha256: str
    of: str
    of_shard: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    sidecars: Mapping[str, bytes] = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        """Return what a commit record keeps; sidecars as text where they are."""
        return {
            "key": self.key,
            "source": self.source,
            "sha256": self.sha256,
            "of": self.of,
            "of_shard": self.of_shard,
            "metadata": dict(self.metadata),
            "sidecars": {name: _text(data) for name, data in self.sidecars.items()},
        }

    @classmethod
    def read(cls, record: StrictObject) -> "Reference":
        """Return the reference of a strict object.

        Raises:
            VtokError: of the object's class: a field is missing, wrong or unknown.
        """
        reference = cls(
            key=record.text("key"),
            source=record.text("source"),
            sha256=record.digest("sha256"),
            of=record.text("of"),
            of_shard=record.integer("of_shard", maximum=10**6 - 1),
            metadata=record.mapping("metadata"),
            sidecars={
                name: _bytes(value, record) for name, value in record.mapping("sidecars").items()
            },
        )
        record.close()
        return reference

    def sample(self, written: Sample) -> Sample:
        """Return the sample that this stands for.

        Args:
            written: The one that is written.
        """
        meta = {name: value for name, value in written.meta.items() if name != "metadata"}
        if self.metadata:
            meta["metadata"] = dict(self.metadata)
        meta |= {"key": self.key, "source": self.source}
        return replace(written, key=self.key, meta=meta, sidecars=dict(self.sidecars))


def _text(data: bytes) -> str | JsonObject:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _bytes(value: Any, record: StrictObject) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and value.keys() == {"base64"}:
        try:
            return base64.b64decode(value["base64"], validate=True)
        except (binascii.Error, TypeError, ValueError):
            pass
    raise record.fault("field 'sidecars' holds what is neither text nor base64")
