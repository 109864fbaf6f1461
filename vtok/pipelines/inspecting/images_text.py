"""A survey of images as people read it.

In: a survey and its rows. Out: one `rich` text. Knows nothing of terminals but the width.
`images_files` writes the same for tables and programs.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any

from rich.text import Text

from vtok.pipelines.inspecting.images import ImageRow, Survey
from vtok.quantities import counted
from vtok.report.printable import printable, shorten, wrapped
from vtok.report.tables import Column, table
from vtok.resolution import Scheme, find_row

NUM_FIRST = 20
NUM_LAST = 10
MAX_NAMED = 100
"""How many failures, or images over budget, are named; CSV and JSON name all."""


def survey_text(
    survey: Survey, rows: Iterable[ImageRow], *, budget: int | None, width: int | None
) -> Text:
    """Return what people want to know, whatever the number of images and schemes."""
    kept = _Kept(budget)
    for row in rows:
        kept.add(row)
    text = Text()
    if not survey.num_readable:
        # The error that ends the command says it of a single image.
        return _failure_lines(survey, kept, width) if survey.num_images > 1 else text
    if len(survey.schemes) == 1:
        text.append_text(_one_scheme(survey, kept, width))
    elif survey.num_images == 1 and survey.num_readable == 1:
        text.append_text(_one_image(survey, kept.first[0], budget, width))
    else:
        text.append_text(_many(survey, budget, width))
    text.append_text(_budget_lines(survey, kept))
    text.append_text(_failure_lines(survey, kept, width))
    text.append_text(_refusal_lines(survey, kept, width))
    return text.append_text(_notes(survey, width))


class _Kept:
    """The rows that are shown one by one, of however many."""

    def __init__(self, budget: int | None) -> None:
        self.budget = budget
        self.first: list[ImageRow] = []
        self.last: deque[ImageRow] = deque(maxlen=NUM_LAST)
        self.num_readable = 0
        self.failed: list[tuple[str, str]] = []
        self.over: list[tuple[str, int]] = []
        self.refused: list[tuple[str, str]] = []

    def add(self, row: ImageRow) -> None:
        if row.failure is not None:
            self._name(self.failed, (row.source, f"{row.failure} ({row.failure.reason})"))
            return
        self.num_readable += 1
        if row.refusal:
            self._name(self.refused, (row.source, row.refusal))
        (self.first if len(self.first) < NUM_FIRST else self.last).append(row)
        if self.budget is not None:
            for position, over in enumerate(row.over_budget(self.budget)):
                if over:
                    self._name(self.over, (row.source, position))

    @staticmethod
    def _name(names: list[Any], entry: Any) -> None:
        if len(names) < MAX_NAMED:
            names.append(entry)

    @property
    def num_hidden(self) -> int:
        return self.num_readable - len(self.first) - len(self.last)


def _one_scheme(survey: Survey, kept: _Kept, width: int | None) -> Text:
    """Return a row for every image, or the first and the last, and how tokens are spread."""
    scheme, total = survey.schemes[0], survey.totals[0]
    facts = wrapped(f"{scheme.name}  {options_text(scheme)}".rstrip(), width)
    text = Text().append(scheme.name, "bold").append(facts[len(scheme.name) :] + "\n\n", "dim")
    columns = [
        Column("image", "left", shrinks="middle"),
        Column("size"),
        Column("grid"),
        Column("views"),
        Column("tokens"),
    ]
    if kept.budget is not None:
        columns.append(Column("over", style="red"))
    rows: list[list[str]] = [_image_cells(row, scheme, kept.budget) for row in kept.first]
    if kept.num_hidden:
        rows.append([f"... {kept.num_hidden:,} more ..."])
    rows += [_image_cells(row, scheme, kept.budget) for row in kept.last]
    spread = total.tokens.spread()
    totals = [
        counted(kept.num_readable, "image"),
        "",
        "",
        f"{total.num_views:,}",
        _tokens(spread.total if spread else 0, scheme),
    ]
    totals += [""] * (len(columns) - len(totals))
    text.append_text(table(columns, rows, totals=totals, width=width))
    if spread is not None and spread.num_values > 1:
        text.append(
            f"\ntokens an image: min {spread.minimum:,}, median {spread.median:,}, "
            f"p95 {spread.p95:,}, max {spread.maximum:,}, mean {spread.mean:,.1f}\n"
        )
    return text


def _image_cells(row: ImageRow, scheme: Scheme, budget: int | None) -> list[str]:
    assert row.header is not None
    cut = row.cuts[0]
    cells = [printable(row.source), str(row.header.size)]
    if cut.problem:
        cells += ["-", "-", "cannot be cut"]
    else:
        cells += [str(cut.grid or "-"), f"{cut.num_views:,}", _tokens(cut.num_tokens, scheme)]
    if budget is not None:
        over = row.over_budget(budget)[0]
        cells.append(f"+{cut.num_tokens - budget:,}" if over else "")
    return cells


def _one_image(survey: Survey, row: ImageRow, budget: int | None, width: int | None) -> Text:
    """Return a row for every scheme."""
    assert row.header is not None
    facts = f"  {row.header.size}  {row.header.format} {row.header.mode}\n\n"
    text = Text().append(printable(row.source), "bold").append(facts, "dim")
    columns = [
        Column("scheme", "left"),
        Column("grid"),
        Column("views"),
        Column("tokens"),
        *([] if budget is None else [Column("over", style="red")]),
        Column("source", "left", style="dim", shrinks="end"),
    ]
    rows = []
    for scheme, cut, over in zip(survey.schemes, row.cuts, row.over_budget(budget), strict=True):
        source = find_row(scheme.name).source
        excess = f"+{cut.num_tokens - budget:,}" if budget is not None and over else ""
        if cut.problem:
            source = f"cannot be cut: {cut.problem}"
        elif cut.num_cross_attention_tokens:
            source = f"+ {cut.num_cross_attention_tokens:,} by cross-attention; {source}"
        cells = [scheme.name, str(cut.grid or "-")]
        if cut.problem:
            cells += ["-", "-"]
        else:
            cells += [f"{cut.num_views:,}", _tokens(cut.num_tokens, scheme)]
        rows.append([*cells, *([] if budget is None else [excess]), source])
    return text.append_text(table(columns, rows, width=width))


def _many(survey: Survey, budget: int | None, width: int | None) -> Text:
    """Return a row for every scheme: totals and how tokens are spread over the images."""
    text = Text().append(counted(survey.num_readable, "image"), "bold").append(" under ")
    text.append(f"{counted(len(survey.schemes), 'scheme')}: tokens an image, and in all\n\n")
    columns = [
        Column("scheme", "left", shrinks="middle"),
        *(Column(name) for name in ("min", "median", "p95", "max", "views", "tokens")),
    ]
    if budget is not None:
        columns.append(Column("over", style="red"))
    rows = []
    for scheme, total in zip(survey.schemes, survey.totals, strict=True):
        spread = total.tokens.spread()
        if spread is None:
            rows.append([scheme.name, *["-"] * (len(columns) - 1)])
            continue
        numbers = (spread.minimum, spread.median, spread.p95, spread.maximum, total.num_views)
        cells = [scheme.name, *(f"{number:,}" for number in numbers)]
        cells.append(_tokens(spread.total, scheme))
        if budget is not None:
            cells.append(f"{total.tokens.num_above(budget):,}")
        rows.append(cells)
    text.append_text(table(columns, rows, width=width))
    for scheme, total in zip(survey.schemes, survey.totals, strict=True):
        if total.num_uncut:
            line = f"{counted(total.num_uncut, 'image')} cannot be cut by {scheme.name}"
            text.append(wrapped(f"{line}: {total.first_problem}", width) + "\n")
    return text


def _budget_lines(survey: Survey, kept: _Kept) -> Text:
    """Return which images take more tokens than they may."""
    text = Text()
    if kept.budget is None or survey.num_readable == 1:
        return text
    for position, (scheme, total) in enumerate(zip(survey.schemes, survey.totals, strict=True)):
        num_over = total.tokens.num_above(kept.budget)
        line = (
            f"{counted(num_over, 'image')} over {counted(kept.budget, 'token')} under {scheme.name}"
        )
        names = [printable(name) for name, which in kept.over if which == position]
        if len(survey.schemes) > 1:
            if num_over:
                text.append(f"\n{line}: {', '.join(names[:5])}", "red")
                text.append(f" and {num_over - 5:,} more" if num_over > 5 else "")
            continue
        text.append(f"\n{line}{':' if names else ''}\n", "bold red" if num_over else "bold")
        for name in names:
            text.append(f"  {name}\n")
        if num_over > len(names):
            text.append(f"  and {num_over - len(names):,} more: --csv names all\n", "dim")
    return text.append("\n") if text and len(survey.schemes) > 1 else text


def _failure_lines(survey: Survey, kept: _Kept, width: int | None) -> Text:
    """Return what could not be read or cut, and why: a line each."""
    named: list[tuple[str, str]] = []
    text = Text()
    num_failed = sum(survey.failures_by_reason.values())
    if num_failed:
        reasons = ", ".join(
            f"{count:,} {reason}" for reason, count in survey.failures_by_reason.most_common()
        )
        text.append(f"\n{num_failed:,} unreadable: {reasons}\n", "bold")
        named += kept.failed
    if len(survey.schemes) == 1:
        named += [
            (row.source, row.cuts[0].problem)
            for row in (*kept.first, *kept.last)
            if row.cuts[0].problem
        ]
    _name_each(text, named, num_failed - len(kept.failed), width)
    return text


def _refusal_lines(survey: Survey, kept: _Kept, width: int | None) -> Text:
    """Return which images are counted here and would not be decoded, and why: a line each."""
    text = Text()
    if survey.num_refused:
        above = f"{counted(survey.num_refused, 'image')} counted above would not be decoded"
        text.append(f"\n{above}: too-large\n", "bold")
        _name_each(text, kept.refused, survey.num_refused - len(kept.refused), width)
    return text


def _name_each(
    text: Text, named: Iterable[tuple[str, str]], num_more: int, width: int | None
) -> None:
    for source, why in named:
        line = printable(f"  {source}: {why}")
        text.append(f"{line if width is None else shorten(line, width, keep_end=False)}\n")
    if num_more > 0:
        text.append(f"  and {num_more:,} more: --csv names all\n", "dim")


def _notes(survey: Survey, width: int | None) -> Text:
    """Return what stands beside the sequence, the sources of estimates, and remarks, once each."""
    by_note: dict[str, list[str]] = {}
    for scheme, total in zip(survey.schemes, survey.totals, strict=True):
        if total.num_cross_attention_tokens:
            beside = (
                f"{counted(total.num_cross_attention_tokens, 'vector')} more, by cross-attention"
            )
            by_note.setdefault(beside, []).append(scheme.name)
        if scheme.note:
            note = scheme.note if scheme.exact else f"{scheme.note} (~)"
            by_note.setdefault(note, []).append(scheme.name)
    text = Text("\n" if by_note else "")
    for note, names in by_note.items():
        text.append(wrapped(f"{', '.join(names)}: {note}", width) + "\n", "dim")
    return text


def _tokens(num_tokens: int, scheme: Scheme) -> str:
    return f"{num_tokens:,}" if scheme.exact else f"~{num_tokens:,}"


def options_text(scheme: Scheme) -> str:
    """Return a scheme's options in force as flags: `--tile-size 336 --max-tiles 6 --thumbnail`."""
    parts = []
    for name, value in scheme.options.given().items():
        flag = name.removesuffix("_px").replace("_", "-")
        if isinstance(value, bool):
            parts.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            parts.append(f"--{flag} {value}")
    return " ".join(parts)
