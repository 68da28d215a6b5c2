"""docs/measurements.md: each bench writes its own part between markers, everything else stays. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.bench.figures import BenchFigure, Report, Table, number
from harness.errors import UserError

BEGIN, END = "<!-- bench {} begins: written by ./run bench, not by hand -->", "<!-- bench {} ends -->"
HEADER = ("what", "unit", "min", "median", "max", "n", "goal", "", "note")
WORDS = {"reached": "reached", "missed": "**missed**", "skipped": "not run", "": ""}


def put(page: str, report: Report) -> str:
    """Return `page` with the report's part replaced, or added at its end; UserError when its markers are damaged."""
    begin, end = BEGIN.format(report.name), END.format(report.name)
    part = f"{begin}\n{text(report)}{end}"
    if begin not in page and end not in page:
        return f"{page.rstrip()}\n\n## {report.name}\n{part}\n"
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(end) < page.index(begin):
        raise UserError(
            f"the measurements page has the marks of bench {report.name} not once each, in order",
            hint=f"leave one {begin!r} and after it one {end!r}",
        )
    return page[: page.index(begin)] + part + page[page.index(end) + len(end) :]


def text(report: Report) -> str:
    """Return a report as Markdown."""
    facts = ", ".join(f"{key} {value}" for key, value in report.host.items())
    state = "" if report.finished else " **Interrupted: only what was done until then.**"
    lines = [f"`{report.command}`, {report.date}; {facts}.{state}", ""]
    if report.figures:
        lines += table(HEADER, (figure_row(figure) for figure in report.figures))
    for one in report.tables:
        lines += ["", *titled(one)]
    return "\n".join(lines) + "\n"


def titled(one: Table) -> list[str]:
    """Return a table with its title, as lines of Markdown."""
    return [f"{one.title}:", "", *table(one.header, one.rows)]


def figure_row(figure: BenchFigure) -> tuple[str, ...]:
    """Return a figure's cells, under `HEADER`."""
    spread = (
        [number(one, figure.unit) for one in (min(figure.values), figure.median, max(figure.values))]
        if (figure.values)
        else ["", "", ""]
    )
    goal = "" if figure.goal is None else f"{figure.goal:g}"
    note = "; ".join(filter(None, (figure.note, figure.broken, figure.skipped)))
    count = str(len(figure.values) or "")
    return (figure.subject, figure.unit, *spread, count, goal, WORDS[figure.verdict], note)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table, padded so that it also reads well as text."""
    cells = [[_cell(text) for text in row] for row in (header, *rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(header))]
    lines = [f"| {' | '.join(text.ljust(width) for text, width in zip(row, widths, strict=True))} |" for row in cells]
    return [lines[0], f"| {' | '.join('-' * width for width in widths)} |", *lines[1:]]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
