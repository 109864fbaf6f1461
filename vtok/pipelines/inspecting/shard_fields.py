"""What samples are made of: field names, dtypes, shapes, and how often each occurs.

In: samples, one by one. Out: `FieldFacts`, tiles taken together. Knows nothing of shards' records.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from vtok.shards.fields import FEATURES_PART, INDICES_PART, META_FIELD, WHOLE
from vtok.shards.header import Kind
from vtok.shards.samples import Sample

_NUMBERED = re.compile(r"(tile|crop)-[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldFacts:
    """One kind of field.

    Attributes:
        name: The field's name; `tile-*` stands for every tile, `crop-*` for every crop.
        dtype: Of arrays, as stored; else what kind of bytes it is.
        shapes: The shapes that occur, most frequent first; empty where there are none.
        num_samples: Samples that have it.
    """

    name: str
    dtype: str
    shapes: tuple[tuple[int, ...], ...]
    num_samples: int

    def to_json(self) -> dict[str, Any]:
        """Return the facts in a JSON-ready dict."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shapes": [list(shape) for shape in self.shapes],
            "samples": self.num_samples,
        }


class FieldSurvey:
    """Counts what samples hold.

    Args:
        feature_dtype: What the shard says that features are stored in: bfloat16 is read as float32.
        kind: What the shard holds.
    """

    def __init__(self, feature_dtype: str | None = None, kind: Kind = "tiles") -> None:
        self._feature_dtype = feature_dtype
        self._is_bare = kind == "images"
        self.num_samples = 0
        self.num_views = 0
        self.num_tokens = 0
        self.conversions: Counter[str] = Counter()
        self._samples: Counter[tuple[str, str]] = Counter()
        self._shapes: dict[tuple[str, str], Counter[tuple[int, ...]]] = {}

    def add(self, sample: Sample) -> None:
        """Count one sample."""
        self.num_samples += 1
        self.num_views += len({*sample.indices, *sample.features, *sample.images})
        seen: set[tuple[str, str]] = set()
        for view, indices in sample.indices.items():
            self.num_tokens += indices.size
            seen.add(self._add_array(view, INDICES_PART, indices.dtype.name, indices.shape))
        for view, features in sample.features.items():
            self.num_tokens += features.size // features.shape[-1] if features.ndim else 1
            dtype = self._feature_dtype or features.dtype.name
            seen.add(self._add_array(view, FEATURES_PART, dtype, features.shape))
        for view, image in sample.images.items():
            is_bare = self._is_bare and view == WHOLE
            seen.add((image.format if is_bare else _pattern(view, image.format), "image"))
        seen.update((name, "bytes") for name in sample.sidecars)
        if sample.meta:
            seen.add((META_FIELD, "JSON"))
            conversions = sample.meta.get("conversions")
            if isinstance(conversions, list):
                self.conversions.update({str(each) for each in conversions})
        self._samples.update(seen)

    def fields(self) -> tuple[FieldFacts, ...]:
        """Return what was seen, sorted by name."""
        return tuple(
            FieldFacts(
                name=name,
                dtype=dtype,
                shapes=tuple(
                    shape for shape, _ in self._shapes.get((name, dtype), Counter()).most_common()
                ),
                num_samples=count,
            )
            for (name, dtype), count in sorted(self._samples.items())
        )

    def _add_array(
        self, view: str, part: str, dtype: str, shape: tuple[int, ...]
    ) -> tuple[str, str]:
        kind = (_pattern(view, part), dtype)
        self._shapes.setdefault(kind, Counter())[shape] += 1
        return kind


def _pattern(view: str, part: str) -> str:
    """Return a field's name, the same for all tiles."""
    kind = _NUMBERED.sub(r"\1-*", view)
    return f"{kind}.{part}"
