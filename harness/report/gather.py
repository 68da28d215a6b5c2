"""Takes out of the history what the page over time is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from harness.history import History
from harness.history.floors import floors_of
from harness.history.trends import trend
from harness.measure.floor import Floors
from harness.measure.gate import CellFigures, size_floor
from harness.measure.phases import READY
from harness.measure.series import Series
from harness.report.chart import Cause, Line
from harness.report.overtime import TOTAL, causes

PARTS = 200  # runs that phases and sizes by part look back
KEYS = 8  # of one figure, the newest
EXPLAINED = 25  # changes of a figure, the newest, whose causes are looked for


def gather(opened: History) -> tuple[list[Line], list[Line]]:
    """Return the lines that are drawn as charts, whole, and the parts of the newest key, the last runs only."""
    heads = opened.series()
    drawn = [head for head in heads if _is_drawn(head, heads)]
    newest: dict[tuple[str, ...], list[Series]] = {}
    for head in drawn:
        newest.setdefault((head.image, head.machine, head.arch, head.mode), []).append(head)
    explain = _explainer(opened)
    lines = [_line(opened, head, explain) for same in newest.values() for head in same[:KEYS]]
    seen: set[tuple[str, ...]] = set()
    parts = []
    for head in heads:
        name = (head.image, head.machine, head.arch, head.mode, head.figure)
        if head not in drawn and name not in seen and head.mode != "wall" and head.figure != READY:
            parts.append(_line(opened, head, None, PARTS))
        seen.add(name)
    return lines, parts


def _is_drawn(head: Series, heads: Sequence[Series]) -> bool:
    """Say whether a series is one of the three that have a chart: total exact time (else to ready), wall time, size."""
    if head.mode != "exact":
        return head.figure == (TOTAL if head.mode == "size" else READY)
    has_total = any(replace(head, figure=TOTAL) == one for one in heads)
    return head.figure == (TOTAL if has_total else READY)


Explain = Callable[[Series, str, str, Floors], tuple[Cause, ...]]


def _line(opened: History, head: Series, explain: Explain | None, last: int | None = None) -> Line:
    floors = floors_of(opened, head.image, head.machine, key=head.key) if head.mode == "exact" else Floors()
    found = trend(opened.values(head, last), floors)
    points = found.series.points
    told = found.changes[-EXPLAINED:] if explain and head.mode != "wall" else ()
    return Line(
        found.series,
        found.changes,
        found.floor,
        opened.key(head) if explain and head.key else {},
        {one.index: explain(head, points[one.index - 1].run, points[one.index].run, floors) for one in told if explain},
    )


def _explainer(opened: History) -> Explain:
    @cache
    def cells(run: str) -> dict[tuple[str, str], CellFigures]:
        return {(cell.image, cell.machine): cell for cell in opened.cells(opened.run(run))}

    def explain(head: Series, before: str, after: str, floors: Floors) -> tuple[Cause, ...]:
        sides = [cells(run).get((head.image, head.machine)) for run in (before, after)]
        old, new = ((side.sizes if head.mode == "size" else side.exact) if side else {} for side in sides)
        return causes(old, new, size_floor if head.mode == "size" else floors.of)

    return explain
