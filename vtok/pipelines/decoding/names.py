"""What a decoded image is called: as its source was, inside the output folder and nowhere else.

In: sources and keys, from archives that are not trusted. Out: relative paths, each different from
all others even where case does not count. Knows nothing of pixels.
"""

import hashlib
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from vtok.io.sources import IMAGE_EXTENSIONS

MAX_PART_BYTES = 200
_DEVICES_AND_WILDCARDS = frozenset('<>:"|?*\\')


class Origin(NamedTuple):
    """Where a sample came from: its key, and its source where its metadata has one."""

    key: str
    source: str | None


def output_stems(origins: Sequence[Origin]) -> list[PurePosixPath]:
    """Return one path without ending for each origin: folders as the source has them.

    Where two would be the same, each but the first gets its key behind its name, then a number.
    """
    taken: set[str] = set()
    stems = []
    for origin in origins:
        stem = safe_stem(origin.source or origin.key) or PurePosixPath("image")
        number = 0
        wanted = stem
        while str(wanted).casefold() in taken:
            suffix = _safe_part(origin.key) + (f"-{number}" if number else "")
            wanted = stem.with_name(f"{stem.name}-{suffix}")
            number += 1
        taken.add(str(wanted).casefold())
        stems.append(wanted)
    return stems


def safe_stem(source: str) -> PurePosixPath | None:
    """Return a source as a relative path without its image extension; None if nothing is left.

    A URL's scheme and query go, its host becomes a folder. No part climbs, hides, names a device,
    or is longer than file systems take.
    """
    _, is_url, after = source.partition("://")
    path = after.partition("?")[0].partition("#")[0] if is_url else source
    *folders, name = path.split("/")
    stem, dot, ending = name.rpartition(".")
    if dot and f".{ending.lower()}" in IMAGE_EXTENSIONS:
        name = stem
    parts = [part for part in map(_safe_part, [*folders, name]) if part]
    return PurePosixPath(*parts) if parts else None


def _safe_part(part: str) -> str:
    """Return one part of a path made harmless; empty if it says nothing or climbs."""
    cleaned = "".join(
        "_" if char in _DEVICES_AND_WILDCARDS or not char.isprintable() else char for char in part
    )
    cleaned = cleaned.strip(" ").lstrip(".").rstrip(".")
    data = cleaned.encode("utf-8", "replace")
    if len(data) <= MAX_PART_BYTES:
        return cleaned.replace("/", "_")
    digest = hashlib.sha256(data).hexdigest()[:12]
    return f"{data[: MAX_PART_BYTES - 13].decode('utf-8', 'ignore')}-{digest}"
