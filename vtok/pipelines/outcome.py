"""What a run came to: the one report that text and JSON are made of.

In: the manifest and the clock. Out: JSON-ready facts. Knows nothing of how they are shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vtok.records import Failure
from vtok.shards.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """The outcome of one call of a command that writes shards.

    Attributes:
        command: Its name.
        output: The folder.
        manifest: What the folder holds now, whoever wrote it.
        num_resumed_shards: Shards that were there already.
        num_images: Images that this call worked on.
        seconds: The time that it took, the model's loading included.
        failures: The failures of this call and of those before it, in order.
    """

    command: str
    output: Path
    manifest: Manifest
    num_resumed_shards: int
    num_images: int
    seconds: float
    failures: tuple[Failure, ...] = field(default=())

    @property
    def images_per_second(self) -> float | None:
        """Images of this call over its time; None if it had nothing left to do."""
        return self.num_images / self.seconds if self.num_images and self.seconds else None

    def to_json(self) -> dict[str, Any]:
        """Return the report for machines."""
        manifest = self.manifest
        rate = self.images_per_second
        return {
            "command": self.command,
            "output": str(self.output),
            "planned": manifest.planned,
            "written": manifest.written,
            "duplicates": manifest.duplicates,
            "failed": manifest.failed,
            "failures_by_reason": dict(manifest.failures_by_reason),
            "failures": [failure.to_json() for failure in self.failures],
            "views": manifest.num_views,
            "tokens": manifest.num_tokens,
            "conversions": dict(manifest.conversions),
            "shards": len(manifest.shards),
            "resumed_shards": self.num_resumed_shards,
            "bytes": manifest.num_bytes,
            "images": self.num_images,
            "seconds": round(self.seconds, 3),
            "images_per_second": None if rate is None else round(rate, 2),
        }


def reasons_in_words(reasons: Mapping[str, int]) -> str:
    """Return reasons and their counts, the most frequent first: `corrupt 2, too-large 1`."""
    ordered = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{reason} {count}" for reason, count in ordered)
