"""The list of a run's inputs, kept beside its plan, so that a changed input can be named.

In: items as they are listed now, or the record of an earlier call. Out: `inputs.jsonl.gz`, one line
an image: source, length, time of last change, and a digest of whatever else identifies it (where it
lies in an archive, what lies beside it). The digest of these lines is the one in the plan. Knows
nothing of plans.
"""

import gzip
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from vtok.io.files import atomic_writer
from vtok.io.places import Place, num_bytes_of, open_place
from vtok.io.sources import SourceItem
from vtok.pipelines.outputs.roll_ups import INPUTS_NAME

MAX_NAMED = 5
"""So many inputs of each kind of difference are named; the others are counted."""
_LEVEL = 6  # of compression: nine takes four times as long for half a percent
_LINES_AT_ONCE = 1024
_MAX_LINE_BYTES = 1 << 16  # in the mean: a path has 4,096 bytes at most, a URL not many more


class InputLine(NamedTuple):
    """What identifies one input.

    Attributes:
        source: As it stands in the sample's metadata.
        num_bytes: Its length; -1 where it is not known.
        mtime_ns: When it was last changed; 0 where that is not known.
        rest: Short digest of all else that identifies it.
    """

    source: str
    num_bytes: int
    mtime_ns: int
    rest: str

    @classmethod
    def of(cls, item: SourceItem) -> "InputLine":
        """Return the line of an item."""
        rest = hashlib.sha256(item.digest_line()).hexdigest()[:16]
        return cls(item.source, item.size_bytes, item.mtime_ns, rest)

    def encode(self) -> bytes:
        """Return the line as JSON, its end included."""
        source = json.dumps(self.source)  # the one field that needs an encoder
        return f'[{source},{self.num_bytes},{self.mtime_ns},"{self.rest}"]\n'.encode()


class InputRecord:
    """A record in the making: takes one item after the other, and has its digest and its bytes.

    The same items give the same bytes.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._packed = io.BytesIO()
        self._file = gzip.GzipFile(
            filename="", mode="wb", compresslevel=_LEVEL, fileobj=self._packed, mtime=0
        )
        self._lines: list[bytes] = []

    def add(self, item: SourceItem) -> None:
        """Take the next item."""
        self._lines.append(InputLine.of(item).encode())
        if len(self._lines) == _LINES_AT_ONCE:
            self._flush()

    def close(self) -> tuple[str, bytes]:
        """Return the digest of all lines, in hexadecimal, and the record's bytes."""
        self._flush()
        self._file.close()
        return self._digest.hexdigest(), self._packed.getvalue()

    def _flush(self) -> None:
        lines = b"".join(self._lines)
        self._digest.update(lines)
        self._file.write(lines)
        self._lines.clear()


def keep_record(folder: Path, record: bytes) -> None:
    """Put a record beside its plan.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_writer(folder / INPUTS_NAME) as file:
        file.write(record)


def recorded_digest(folder: Place, num_items: int) -> str | None:
    """Return the digest of the lines of a record, None if it is missing or damaged.

    Args:
        folder: Of the run.
        num_items: Lines that it should have: what is much longer is damaged, and not read through.
    """
    digest = hashlib.sha256()
    left = (num_items + 1) * _MAX_LINE_BYTES
    try:
        if num_bytes_of(folder / INPUTS_NAME) > left:
            return None
        with open_place(folder / INPUTS_NAME) as raw, gzip.open(raw) as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                left -= len(chunk)
                if left < 0:
                    return None
    except (OSError, EOFError):
        return None
    return digest.hexdigest()


def recorded_inputs(folder: Place) -> Iterator[InputLine]:
    """Yield the lines of a record, up to where it is missing or damaged."""
    with (
        suppress(OSError, EOFError, ValueError, TypeError),
        open_place(folder / INPUTS_NAME) as raw,
        gzip.open(raw) as file,
    ):
        for line in file:
            yield InputLine(*json.loads(line))


def describe_change(before: Iterable[InputLine], now: Sequence[InputLine]) -> str:
    """Return in one line how two lists of inputs differ; empty if nothing can be said.

    Args:
        before: The recorded ones.
        now: Those that are there.
    """
    old = {line.source: line for line in before}
    if not old:
        return ""
    new = {line.source: line for line in now}
    changed = [_change(old[name], line) for name, line in new.items() if _differs(old, line)]
    added = [name for name in new if name not in old]
    gone = [name for name in old if name not in new]
    parts = [
        _listed(len(names), what, names)
        for what, names in (("changed", changed), ("new", added), ("gone", gone))
        if names
    ]
    return "; ".join(parts) or ("they come in another order" if list(old) != list(new) else "")


def _differs(old: dict[str, InputLine], line: InputLine) -> bool:
    return line.source in old and old[line.source] != line


def _change(before: InputLine, now: InputLine) -> str:
    """Return what changed of one input, the most telling fact alone."""
    if before.num_bytes != now.num_bytes:
        return f"{now.source}: {before.num_bytes} → {now.num_bytes} bytes"
    if before.mtime_ns != now.mtime_ns:
        return f"{now.source}: modified {_time(before.mtime_ns)} → {_time(now.mtime_ns)}"
    return f"{now.source}: what goes with it"


def _time(mtime_ns: int) -> str:
    seconds, nanoseconds = divmod(mtime_ns, 10**9)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


def _listed(count: int, what: str, names: Sequence[str]) -> str:
    more = f", and {count - MAX_NAMED} more" if count > MAX_NAMED else ""
    return f"{count} {what} ({', '.join(names[:MAX_NAMED])}{more})"
