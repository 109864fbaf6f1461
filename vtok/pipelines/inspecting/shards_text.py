"""What shards hold, as people read it.

In: facts and the terminal's width. Out: one `rich` text of sections. Knows nothing of files.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from vtok.pipelines.inspecting.shard_facts import ShardsFacts, most_used
from vtok.pipelines.inspecting.shard_fields import FieldFacts
from vtok.quantities import bytes_text, counted, share_text
from vtok.report.codebook_use import rank_bars
from vtok.report.printable import printable, wrapped
from vtok.report.tables import Column, table

BARS = 48
KEY_WIDTH = 12
MAX_LISTED = 20

_KINDS = {
    "indices": "codebook indices",
    "features": "features",
    "tiles": "tiles",
    "images": "images",
}
_STATE_STYLES = {"damaged": "bold red", "unfinished": "yellow", "finished": "green"}

Line = tuple[str, str]


def shards_text(facts: ShardsFacts, *, width: int | None, ascii_only: bool = False) -> Text:
    """Return schema, counts, codebook use, failures, conversions, health and provenance."""
    state = facts.health.state
    text = Text().append(printable(facts.path), "bold")
    if facts.header is not None:
        text.append(f"  {_KINDS[facts.header.kind]}")
    text.append(", ").append(state, _STATE_STYLES.get(state, "")).append("\n")
    if facts.fields:
        _heading(text, "schema")
        text.append_text(_schema(facts, width))
    _section(text, "counts", _counts(facts), width)
    if facts.codebook_use is not None and facts.tally.num_tokens:
        _section(text, "codebook", _codebook(facts, ascii_only=ascii_only), width)
    _section(text, "duplicates", _duplicates(facts), width)
    _section(text, "failures", _numbers(facts.tally.failures_by_reason), width)
    _section(text, "conversions", _numbers(facts.tally.conversions), width)
    _section(text, "health", _health(facts), width)
    _section(text, "provenance", _provenance(facts), width)
    return text


def _heading(text: Text, name: str) -> None:
    text.append(f"\n{name}\n", "bold cyan")


def _section(text: Text, name: str, lines: Iterator[Line], width: int | None) -> None:
    """Append a section, unless it has no lines."""
    rows = list(lines)
    if rows:
        _heading(text, name)
    key_width = max([KEY_WIDTH, *(cell_len(key) + 2 for key, _ in rows)])
    for key, value in rows:
        room = None if width is None else max(20, width - key_width - 3)
        folded = wrapped(value, room).replace("\n", "\n" + " " * (key_width + 2))
        padding = " " * (key_width - cell_len(key))
        text.append(f"  {key}{padding}", "dim").append(f"{folded}\n")


def _schema(facts: ShardsFacts, width: int | None) -> Text:
    columns = [
        Column("  field", "left", shrinks="middle"),
        Column("dtype", "left"),
        Column("shape", "left"),
        Column("samples"),
    ]
    rows = [
        [f"  {printable(each.name)}", each.dtype, _shapes(each), f"{each.num_samples:,}"]
        for each in facts.fields
    ]
    text = table(columns, rows, width=width)
    assert facts.header is not None
    layout = "stacked in blocks" if facts.header.layout == "block" else "one member set a sample"
    num_seen = max(each.num_samples for each in facts.fields)
    if num_seen < facts.tally.written:
        layout += f"; the fields are those of the first {counted(num_seen, 'sample')}"
    text.append(f"  {layout}\n", "dim")
    model = facts.header.model if facts.header.kind == "indices" else None
    codes = model.codes if model else None
    return text.append(f"  indices {codes}: {codes.in_words}\n", "dim") if codes else text


def _shapes(field: FieldFacts) -> str:
    """Return the most frequent shape, and how many others there are."""
    if not field.shapes:
        return ""
    shown = "x".join(map(str, field.shapes[0])) or "scalar"
    more = len(field.shapes) - 1
    return f"{shown} and {more} more" if more else shown


def _counts(facts: ShardsFacts) -> Iterator[Line]:
    tally = facts.tally
    if facts.plan is None:
        yield "samples", f"{tally.written:,}"
    else:
        yield (
            "samples",
            f"{tally.planned:,} planned = {tally.written:,} written + "
            f"{counted(tally.duplicates, 'duplicate')} + {tally.failed:,} failed",
        )
    yield "shards", f"{facts.health.num_committed:,}"
    yield "views", f"{tally.num_views:,}"
    if tally.num_tokens:
        yield "tokens", f"{tally.num_tokens:,}"
    each = tally.bytes_per_sample
    yield "bytes", bytes_text(tally.num_bytes) + (f", {bytes_text(each)} a sample" if each else "")
    if facts.bits_per_pixel is not None:
        yield "bits/pixel", f"{facts.bits_per_pixel:.3g} of the original images"


def _codebook(facts: ShardsFacts, *, ascii_only: bool) -> Iterator[Line]:
    use, counts = facts.codebook_use, facts.tally.codebook_counts
    assert use is not None
    assert counts is not None
    size = use.codebook_size
    code, often = most_used(counts)
    share = share_text(use.num_distinct, size)
    yield "distinct", f"{use.num_distinct:,} of {counted(size, 'code')} ({share})"
    yield "entropy", f"{use.entropy_bits:.2f} of {math.log2(size):.2f} bits"
    yield "perplexity", f"{use.perplexity:,.1f}"
    yield "most used", f"code {code:,}: {share_text(often, use.num_indices)} of the tokens"
    bars = rank_bars(counts, BARS, ascii_only=ascii_only)
    yield "histogram", f"|{bars}|"
    a_bar = counted(-(-size // len(bars)), "code")
    yield "", f"codes from most to least used, about {a_bar} a bar"


def _duplicates(facts: ShardsFacts) -> Iterator[Line]:
    """Yield how many samples are of identical files; nothing where no digest is recorded."""
    identical = facts.identical
    if identical is None or not identical.num_samples:
        return
    yield "distinct", f"{identical.num_distinct:,} of {counted(identical.num_samples, 'file')}"
    if identical.num_distinct == identical.num_samples:
        return
    yield "in a shard", f"{counted(identical.within_shards, 'sample')} again in the same shard"
    yield "across", f"{counted(identical.across_shards, 'sample')} again in another shard"
    for group in identical.groups[:3]:
        shown = ", ".join(printable(f"{shard}/{key}") for shard, key in group.keys[:3])
        more = ", ..." if group.num_samples > 3 else ""
        yield counted(group.num_samples, "time"), f"{shown}{more}"


def _numbers(counts: Mapping[str, int]) -> Iterator[Line]:
    for name, count in counts.items():
        yield printable(name), f"{count:,}"


def _health(facts: ShardsFacts) -> Iterator[Line]:
    health = facts.health
    if health.num_planned is None:
        yield "records", "none: tars without their folder; every sample was read"
    else:
        yield "shards", f"{health.num_committed:,} of {health.num_planned:,} committed"
    remaining = (health.num_planned or health.num_committed) - health.num_committed
    if health.state == "unfinished":
        what = counted(remaining, "shard") + (" remains" if remaining == 1 else " remain")
        what = what if remaining else "only the manifest is missing"
        yield "unfinished", f"{what}: run the same command again, it resumes"
    for line in health.damaged[:MAX_LISTED]:
        yield "damaged", printable(line)
    if len(health.damaged) > MAX_LISTED:
        yield "damaged", f"and {len(health.damaged) - MAX_LISTED:,} more: --json lists all"
    if health.leftovers:
        shown = ", ".join(map(printable, health.leftovers[:3]))
        more = f" and {len(health.leftovers) - 3:,} more" if len(health.leftovers) > 3 else ""
        yield "leftover", f"{shown}{more}: the next run removes what an interrupted one left"
    if health.num_planned is not None:
        yield (
            "checked",
            "records, lengths and every tar's sha256"
            if health.verified
            else "records and lengths; --verify hashes every tar too",
        )


def _provenance(facts: ShardsFacts) -> Iterator[Line]:
    header, plan = facts.header, facts.plan
    if plan is not None:
        yield "command", f"vtok {printable(plan.command)}"
    model = header.model if header else None
    if model is not None:
        yield "model", printable(f"{model.name} ({model.family})")
        yield "weights", model.weights_sha256
        interpolation = model.spec.get("interpolation")
        if isinstance(interpolation, str):
            yield "positions", f"{printable(interpolation)} where the size is not the model's own"
        projector = model.spec.get("projector")
        if isinstance(projector, dict):
            yield "projector", _projector_words(projector)
    if header is not None and header.scheme:
        yield "scheme", _scheme_words(header.scheme)
    if plan is not None:
        yield "versions", printable(", ".join(f"{k} {v}" for k, v in sorted(plan.versions.items())))
        if plan.about:
            yield "about", printable(", ".join(f"{k} {v}" for k, v in sorted(plan.about.items())))
    digest = plan.sha256 if plan else header.plan_sha256 if header else None
    if digest is not None:
        yield "plan", digest


def _projector_words(projector: Mapping[str, Any]) -> str:
    """Return which projector made the features, and whether it was ever trained."""
    number, seed = projector.get("number"), projector.get("seed")
    kind = f"{projector.get('kind')}:{number}" if number else str(projector.get("kind"))
    origin = "" if seed is None else f", drawn at random with --seed {seed}"
    dims = f"{projector.get('in_dim')} to {projector.get('out_dim')}"
    return printable(f"{kind}, {dims}, {projector.get('weights_sha256')}{origin}")


def _scheme_words(scheme: Mapping[str, Any]) -> str:
    """Return a scheme's name and its options as flags; as JSON where it is none of ours."""
    options = scheme.get("options")
    if not isinstance(scheme.get("name"), str) or not isinstance(options, dict):
        return printable(json.dumps(scheme, ensure_ascii=False))
    words = [scheme["name"]]
    for name, value in sorted(options.items()):
        flag = name.removesuffix("_px").replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words.append(f"--{flag} {value}")
    return printable(" ".join(words))
