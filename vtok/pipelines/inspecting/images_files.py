"""A survey of images as tables and programs read it: CSV and JSON.

In: a survey and its rows. Out: pieces of a file as the rows come, however many there are. Knows
nothing of where they go.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from vtok.pipelines.inspecting.images import ImageRow, Survey, row_json, totals_json
from vtok.report.printable import printable
from vtok.resolution import find_row

CSV_COLUMNS = (
    "image", "width", "height", "format", "scheme", "rows", "cols", "views", "tokens",
    "cross_attention_tokens", "exact", "over_budget", "problem",
    "refusal",
)  # fmt: skip


def survey_csv(survey: Survey, rows: Iterable[ImageRow], budget: int | None) -> Iterator[str]:
    """Yield a CSV file line by line: one for every image and scheme."""
    yield _csv_line(CSV_COLUMNS)
    for row in rows:
        name = printable(row.source)
        if row.header is None:
            problem = f"{row.failure} ({row.failure.reason})" if row.failure else ""
            yield _csv_line((name, *[""] * (len(CSV_COLUMNS) - 3), problem, ""))
            continue
        start = (name, row.header.size.width, row.header.size.height, row.header.format)
        overs = row.over_budget(budget)
        for scheme, cut, over in zip(survey.schemes, row.cuts, overs, strict=True):
            if cut.problem:
                yield _csv_line((*start, scheme.name, *[""] * 7, cut.problem, row.refusal))
                continue
            yield _csv_line(
                (
                    *start,
                    scheme.name,
                    "" if cut.grid is None else cut.grid.rows,
                    "" if cut.grid is None else cut.grid.cols,
                    cut.num_views,
                    cut.num_tokens,
                    cut.num_cross_attention_tokens,
                    "yes" if scheme.exact else "no",
                    "" if budget is None else "yes" if over else "no",
                    "",
                    row.refusal,
                )
            )


def _csv_line(cells: Sequence[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def survey_json(
    survey: Survey, rows: Iterable[ImageRow], budget: int | None, *, with_plans: bool
) -> Iterator[str]:
    """Yield one JSON object in pieces, an image a line, so that it need not fit in memory."""
    schemes = [
        {
            "name": scheme.name,
            "exact": scheme.exact,
            "source": find_row(scheme.name).source,
            "note": scheme.note,
            "options": scheme.options.given(),
        }
        for scheme in survey.schemes
    ]
    yield f'{{"kind": "images",\n"schemes": {_dump(schemes)},\n"images": ['
    separator = "\n"
    for row in rows:
        yield separator + _dump(row_json(row, survey.schemes, budget, with_plan=with_plans))
        separator = ",\n"
    yield f'\n],\n"totals": {_dump(totals_json(survey, budget))}}}\n'


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
