"""One sample, the same record going into a shard and coming out of it.

Knows nothing of how it is stored. Views are called `tile-000`, `tile-001`, ..., `thumbnail`,
`whole`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vtok.errors import ShardError
from vtok.shards.fields import FeatureArray, IndexArray

ImageFormat = Literal["jpg", "png", "webp"]


@dataclass(frozen=True, slots=True)
class ImageBytes:
    """An encoded image: its format, which is its field's ending, and its bytes."""

    format: ImageFormat
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a shard holds under one key.

    Attributes:
        key: The sample's name inside the shard.
        meta: Where it comes from and what was done to it; JSON-ready. A reader finds the key in
            it too; empty if the shard was written without metadata.
        indices: View → integers in [0, codebook_size), (h, w) or the shape its family has.
        features: View → (N, D) finite floats; bfloat16 ones come out as float32.
        images: View → an encoded image.
        sidecars: Field → bytes carried along from the input (`txt`, ...).
    """

    key: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    indices: Mapping[str, IndexArray] = field(default_factory=dict)
    features: Mapping[str, FeatureArray] = field(default_factory=dict)
    images: Mapping[str, ImageBytes] = field(default_factory=dict)
    sidecars: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def array(self) -> IndexArray | FeatureArray:
        """The one array of a sample with a single view.

        Raises:
            ShardError: there are none, or several; the message names them.
        """
        arrays: list[tuple[str, IndexArray | FeatureArray]] = [
            *self.indices.items(),
            *self.features.items(),
        ]
        if len(arrays) != 1:
            names = ", ".join(name for name, _ in arrays) or "none"
            raise ShardError(f"sample {self.key!r} has not one array but: {names}")
        return arrays[0][1]
