"""Samples of some shards whose original files are identical, byte for byte.

In: shards, whose metadata has the digest of every original; samples that were left out as
duplicates count where their commit record has them. Out: `IdenticalSamples`: how many there are
within shards and across them, and which are the most frequent. Of every digest eight bytes are
kept; keys are looked up in a second pass, and only where something repeats. Arrays and images are
passed over unread.
"""

import re
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vtok.shards.reader import Shard

_DIGEST = re.compile(r"[0-9a-f]{64}")

MAX_GROUPS = 10
MAX_KEYS = 5
MAX_ASKED_UNASKED = 5_000
"""So many samples are looked through where nobody asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdenticalGroup:
    """One file that occurs more than once.

    Attributes:
        sha256: Its digest.
        num_samples: How often it occurs.
        keys: Where: shard and key, of the first few.
    """

    sha256: str
    num_samples: int
    keys: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """Return the group in a JSON-ready dict."""
        keys = [{"shard": shard, "key": key} for shard, key in self.keys]
        return {"sha256": self.sha256, "samples": self.num_samples, "keys": keys}


@dataclass(frozen=True, slots=True, kw_only=True)
class IdenticalSamples:
    """What repeats.

    Attributes:
        num_samples: Samples whose digest is recorded.
        num_distinct: Different files among them.
        within_shards: Samples whose file has occurred before in the same shard.
        across_shards: Samples whose file has occurred before, in earlier shards alone.
        groups: The most frequent files, most frequent first.
    """

    num_samples: int
    num_distinct: int
    within_shards: int
    across_shards: int
    groups: tuple[IdenticalGroup, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the facts in a JSON-ready dict."""
        return {
            "samples": self.num_samples,
            "distinct": self.num_distinct,
            "within_shards": self.within_shards,
            "across_shards": self.across_shards,
            "groups": [each.to_json() for each in self.groups],
        }


def find_identical(shards: Sequence[Shard]) -> IdenticalSamples:
    """Return what repeats among the samples of some shards.

    Raises:
        ShardError: a shard is damaged.
    """
    prefixes = array("Q")
    for shard in shards:
        for _, digest in _digests(shard):
            prefixes.append(int(digest[:16], 16))
    values, counts = np.unique(np.frombuffer(prefixes, np.uint64), return_counts=True)
    suspects = {int(value) for value in values[counts > 1]}
    num_alone = int((counts == 1).sum())
    places: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for number, shard in enumerate(shards if suspects else ()):
        for key, digest in _digests(shard):
            if int(digest[:16], 16) in suspects:
                places[digest].append((number, key))
    repeats = [len(found) - 1 for found in places.values()]
    across = sum(len({number for number, _ in found}) - 1 for found in places.values())
    ranked = sorted(places.items(), key=lambda pair: (-len(pair[1]), pair[1][0]))
    return IdenticalSamples(
        num_samples=len(prefixes),
        num_distinct=num_alone + len(places),
        within_shards=sum(repeats) - across,
        across_shards=across,
        groups=tuple(
            IdenticalGroup(
                sha256=digest,
                num_samples=len(found),
                keys=tuple((shards[number].path.name, key) for number, key in found[:MAX_KEYS]),
            )
            for digest, found in ranked[:MAX_GROUPS]
            if len(found) > 1
        ),
    )


def _digests(shard: Shard) -> Iterator[tuple[str, str]]:
    """Yield key and digest of the samples of a shard: the written ones, then the references."""
    for key, meta in shard.metas():
        if (digest := _digest(meta)) is not None:
            yield key, digest
    for each in shard.commit.references if shard.commit is not None else ():
        yield each.key, each.sha256


def _digest(meta: dict[str, Any]) -> str | None:
    value = meta.get("sha256")
    return value if isinstance(value, str) and _DIGEST.fullmatch(value) else None
