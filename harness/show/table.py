"""The table that ends a run: a row for each image on each machine, as many columns as the terminal has room for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.run.results_model import SAME, CellResult, Results
from harness.show.run_view import COLOURS

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

VERDICTS = {True: "yes", False: "NO", None: "-"}


@dataclass(frozen=True)
class Column:
    """A column: its value of a row of results.json, and that value's colour."""

    value: Callable[[CellResult], str]
    colour: Callable[[CellResult], str] = lambda _: ""
    justify: Literal["left", "right"] = "right"


def _figure(value: float | None, unit: float, digits: int) -> str:
    return "-" if value is None else f"{value / unit:.{digits}f}"


def _exact(row: CellResult) -> str:
    figure = _figure(row.boot.exact.ready, 1, 3)
    return figure if row.exact_repeats is not False else f"{figure}?"


def _status(row: CellResult) -> str:
    """A cell's status; beside it what a comparison with a baseline came to, where that is not the same."""
    judged = row.gate.judged if row.gate else SAME
    return row.status if judged == SAME else f"{row.status}, {judged}"


COLUMNS = {
    "image": Column(lambda row: row.label, justify="left"),
    "machine": Column(lambda row: str(row.machine), justify="left"),
    "cell": Column(lambda row: str(row.id), justify="left"),
    "size MB": Column(lambda row: _figure(row.size, 1e6, 2)),
    "exact ms": Column(_exact),
    "wall ms": Column(lambda row: _figure(row.boot.wall.ready, 1, 0)),
    "read-only": Column(
        lambda row: VERDICTS[row.root_readonly], lambda row: "red" if row.root_readonly is False else "", "left"
    ),
    "passed": Column(lambda row: str(row.cases.passed)),
    "failed": Column(lambda row: str(row.cases.failed), lambda row: "red" if row.cases.failed else ""),
    "skipped": Column(lambda row: str(row.cases.skipped)),
    "known": Column(lambda row: str(row.cases.known)),
    "status": Column(_status, lambda row: COLOURS.get(row.status, ""), "left"),
}
# The first that fits is taken.
LAYOUTS = (
    (
        "image",
        "machine",
        "size MB",
        "exact ms",
        "wall ms",
        "read-only",
        "passed",
        "failed",
        "skipped",
        "known",
        "status",
    ),
    ("cell", "size MB", "exact ms", "wall ms", "read-only", "passed", "failed", "skipped", "known", "status"),
    ("cell", "size MB", "exact ms", "read-only", "passed", "failed", "status"),
    ("cell", "size MB", "exact ms", "failed", "status"),
    ("cell", "failed", "status"),
    ("cell", "status"),
)


def summary(results: Results, console: Console) -> Iterator[RenderableType]:
    """Yield the table in the widest layout that `console` has room for, and what no cell tells."""
    from rich.measure import Measurement

    known = any(row.cases.known for row in results.cells)
    for whole in LAYOUTS:
        layout = tuple(name for name in whole if known or name != "known")
        table = _table(results.cells, layout)
        if Measurement.get(console, console.options.update(max_width=10_000), table).maximum <= console.width:
            break
    yield table
    if whole not in LAYOUTS[:2]:
        yield "a wider terminal shows more columns"
    counts = results.other.cases.counts
    if sum(counts.values()):
        yield f"cases without a cell: {', '.join(f'{count} {name}' for name, count in counts.items() if count)}"


def _table(rows: Sequence[CellResult], layout: tuple[str, ...]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for name in layout:
        table.add_column(name, justify=COLUMNS[name].justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text(COLUMNS[name].value(row), style=COLUMNS[name].colour(row)) for name in layout))
    return table
