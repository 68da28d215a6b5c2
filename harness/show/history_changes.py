"""What changed, grouped by when: the runs between which it did, on which cells, by how much, and what differs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.history.trends import Trend
from harness.measure import blame
from harness.measure.changepoints import ChangePoint
from harness.measure.compare import decides
from harness.measure.series import Point
from harness.show.history_text import Page, amount, part

GROUPS = 5  # of the newest changes that are told
FIGURES = 4  # of a cell in a line
CREEPING = " in small steps"


@dataclass(frozen=True)
class FigureChange:
    """A change of one figure of one cell."""

    trend: Trend
    change: ChangePoint

    @property
    def cell(self) -> str:
        """The cell's name for people."""
        return f"{self.trend.series.image} on {self.trend.series.machine}"

    def said(self) -> str:
        """Return it in words: the figure, by how much, and whether no step of it was beyond the floor."""
        series, change = self.trend.series, self.change
        by = amount(series.mode, change.after - change.before, signed=True)
        slow = CREEPING if change.index in self.trend.course.creeping else ""
        return f"{series.mode} {series.figure} {by} {part(change.before, change.after)}{slow}"


@dataclass(frozen=True)
class ChangeGroup:
    """All that changed between the same two runs; ``before`` is None where a series begins with a change."""

    before: Point | None
    after: Point
    figures: tuple[FigureChange, ...]


Known = Callable[[Point | None, Point], blame.RunInputSets]


def grouped(trends: Sequence[Trend], last: int) -> list[ChangeGroup]:
    """Return the changes among the `last` runs of each series, newest first, those between the same two runs as one."""
    found: dict[tuple[str, str], list[FigureChange]] = {}
    sides: dict[tuple[str, str], tuple[Point | None, Point]] = {}
    for one in trends:
        for change in one.changes:
            if change.index >= len(one.series.points) - last:
                before, after = one.last_good(change), one.at(change)
                key = (before.run if before else "", after.run)
                sides[key] = before, after
                found.setdefault(key, []).append(FigureChange(one, change))
    runs = [[point.run for point in one.series.points] for one in trends]
    order = {run: place - len(mine) for mine in runs for place, run in enumerate(mine)}
    made = [ChangeGroup(*sides[key], tuple(sorted(rows, key=_first))) for key, rows in found.items()]
    return sorted(made, key=lambda group: -order[group.after.run])


def _first(one: FigureChange) -> tuple[str, bool, float]:
    """Sort what decides before what explains it, and the larger before the smaller, of each cell."""
    change = one.change
    return one.cell, not decides(one.trend.series.figure), -abs(change.after - change.before)


def lines(page: Page, groups: Sequence[ChangeGroup], known: Known) -> Iterator[str]:
    """Yield the newest changes: since when, what, and what differs between the two runs."""
    fresh = [group for group in groups if not group.after.ack]
    if fresh:
        yield "changes, newest first"
    for group in fresh[:GROUPS]:
        yield page.fit(f"  {page.plain(_arrow(page, blame.span(group.before, group.after)))}", page.width)
        for cell in dict.fromkeys(one.cell for one in group.figures):
            mine = [one.said() for one in group.figures if one.cell == cell]
            more = f"; and {len(mine) - FIGURES} more" if len(mine) > FIGURES else ""
            yield page.fit(page.plain(f"    {cell}: {'; '.join(mine[:FIGURES])}{more}"), page.width)
        yield from differences(page, group.before, group.after, known)
    if len(fresh) > GROUPS:
        yield f"  and {len(fresh) - GROUPS} older"
    if fresh:
        yield ""


def differences(page: Page, before: Point | None, after: Point, known: Known) -> Iterator[str]:
    """Yield what differs between two runs, a line each."""
    for text in blame.told(before, after, known(before, after)):
        yield page.fit(f"      {page.plain(_arrow(page, text))}", page.width)


def _arrow(page: Page, text: str) -> str:
    return text.replace("→", page.arrow)
