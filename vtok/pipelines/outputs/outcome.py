"""What a run came to: the one report that text and JSON are made of.

In: the manifest and the clock. Out: JSON-ready facts. Knows nothing of how they are shown.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vtok.engine.times import StageTimes
from vtok.errors import FinishedWithFailuresError
from vtok.io.places import Place
from vtok.pipelines.outputs.roll_ups import FAILURES_NAME
from vtok.records import Failure

if TYPE_CHECKING:
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
        times: Where the time went.
        too_many: Why this is too many of them, in one line; None if it is not.
    """

    command: str
    output: Place
    manifest: "Manifest"
    num_resumed_shards: int
    num_images: int
    seconds: float
    failures: tuple[Failure, ...] = field(default=())
    times: StageTimes = field(default_factory=StageTimes)
    too_many: str | None = None

    def raise_if_too_many_failed(self) -> None:
        """Require no more images to have failed than may.

        Raises:
            FinishedWithFailuresError: more have; everything else is written.
        """
        if self.too_many is not None:
            raise FinishedWithFailuresError(
                f"finished, but {self.too_many}; {self.output / FAILURES_NAME} lists all, and "
                "--retry-failed tries them again"
            )

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
            "too_many_failures": self.too_many,
            "views": manifest.num_views,
            "tokens": manifest.num_tokens,
            "conversions": dict(manifest.conversions),
            "shards": len(manifest.shards),
            "resumed_shards": self.num_resumed_shards,
            "bytes": manifest.num_bytes,
            "images": self.num_images,
            "seconds": round(self.seconds, 3),
            "images_per_second": None if rate is None else round(rate, 2),
            "stages": self.times.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageQuality:
    """How alike a decoded image and its original are.

    Attributes:
        source: Where the original is.
        key: The sample's key.
        psnr_db: Peak signal-to-noise ratio; infinite for equal images.
        ssim: Structural similarity; None for images smaller than its window.
    """

    source: str
    key: str
    psnr_db: float
    ssim: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the two numbers for machines; null for a PSNR that is infinite."""
        return {
            "key": self.key,
            "source": self.source,
            "psnr_db": self.psnr_db if math.isfinite(self.psnr_db) else None,
            "ssim": self.ssim,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Decoded images against their originals.

    Attributes:
        images: Those that could be compared, in order.
        not_compared: Why → how many.
        rfid: The Fréchet distance of all the images to all the originals; None where there is none.
        no_rfid: Why there is none; empty where there is one, or none was wanted.
    """

    images: tuple[ImageQuality, ...]
    not_compared: Mapping[str, int]
    rfid: float | None = None
    no_rfid: str = ""

    @property
    def mean_psnr_db(self) -> float | None:
        """Mean over the images of finite PSNR; None if there are none."""
        return _mean([each.psnr_db for each in self.images if math.isfinite(each.psnr_db)])

    @property
    def mean_ssim(self) -> float | None:
        """Mean over the images that have one; None if there are none."""
        return _mean([each.ssim for each in self.images if each.ssim is not None])

    def to_json(self) -> dict[str, Any]:
        """Return the comparison for machines."""
        return {
            "psnr_db": self.mean_psnr_db,
            "ssim": self.mean_ssim,
            **({"rfid": self.rfid} if self.rfid is not None else {}),
            **({"no_rfid": self.no_rfid} if self.no_rfid else {}),
            "compared": len(self.images),
            "not_compared": dict(self.not_compared),
            "images": [each.to_json() for each in self.images],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeReport:
    """The outcome of one call of `decode-vq`.

    Attributes:
        output: The folder.
        planned: Samples in the shards.
        written: Samples whose images are there now, whoever wrote them.
        num_files: Images; more than samples where views are written one by one.
        num_decoded: Samples that this call decoded.
        seconds: The time that decoding took, the model's loading included.
        failures: What could not be decoded.
        comparison: With the originals, where these were given.
        num_shards: Shards that the images lie in; None where each is a file.
    """

    output: Path
    planned: int
    written: int
    num_files: int
    num_decoded: int
    seconds: float
    failures: tuple[Failure, ...]
    comparison: Comparison | None = None
    num_shards: int | None = None

    @property
    def images_per_second(self) -> float | None:
        """Samples of this call over its time; None if it had nothing left to do."""
        return self.num_decoded / self.seconds if self.num_decoded and self.seconds else None

    def to_json(self) -> dict[str, Any]:
        """Return the report for machines."""
        rate = self.images_per_second
        return {
            "command": "decode-vq",
            "output": str(self.output),
            "planned": self.planned,
            "written": self.written,
            "duplicates": 0,
            "failed": len(self.failures),
            "failures_by_reason": dict(Counter(each.reason for each in self.failures)),
            "failures": [failure.to_json() for failure in self.failures],
            "files": self.num_files,
            "shards": self.num_shards,
            "images": self.num_decoded,
            "seconds": round(self.seconds, 3),
            "images_per_second": None if rate is None else round(rate, 2),
            "quality": None if self.comparison is None else self.comparison.to_json(),
        }


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def reasons_in_words(reasons: Mapping[str, int]) -> str:
    """Return reasons and their counts, the most frequent first: `corrupt 2, too-large 1`."""
    ordered = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{reason} {count}" for reason, count in ordered)
