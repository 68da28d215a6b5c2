"""The history's pages: an overview of a cell's figures, and one figure in detail. Pure: trends in, lines out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.history.trends import Trend
from harness.measure import blame
from harness.measure.changepoints import ChangePoint
from harness.measure.compare import decides
from harness.measure.series import Point
from harness.show.history_changes import CREEPING, Known, differences
from harness.show.history_text import GREEN, RED, Page, amount, part, table

ID = 8  # letters of a run's id or a commit that are shown
LEAST_NOTE = 30  # letters: what happened is told beside a figure where it has that much room, else below
LEAST_SPARK = 8
OLDER, ALONE = "~", "!"
LEGEND = {OLDER: "of an older commit: not counted", ALONE: "off in this run alone: not counted"}


@dataclass(frozen=True)
class Shown:
    """A trend with its key. ``older`` says of each earlier key how many runs it has, and how it differs."""

    trend: Trend
    key: Mapping[str, str] = field(default_factory=dict)
    older: tuple[tuple[int, str], ...] = ()


def overview(page: Page, found: Sequence[Shown], last: int) -> Iterator[str]:
    """Yield the lines of one cell: a figure each, with its trend over the `last` runs and its last change."""
    trends = [one.trend for one in found]
    rows = [(page.plain(f"{one.series.mode} {one.series.figure}"), amount(one.series.mode, one.newest.value),
             *_since(one, one.previous, one.newest)) for one in trends]  # fmt: skip
    figures = table(rows, right=(1, 2, 3))
    widest = max(map(len, figures))
    room = page.width - widest - 4
    wide = min(last, max(len(one.series.points) for one in trends))
    wide = min(wide, max(room // 3, LEAST_SPARK) if room > LEAST_SPARK + LEAST_NOTE else room)
    free = room - wide - 2
    for one, row, figure in zip(found, rows, figures, strict=True):
        spark = page.spark([point.value for point in one.trend.series.points[-last:]], one.trend.floor, wide)
        line = page.fit(f"  {figure.ljust(widest)}  {spark.rjust(max(wide, 0))}".rstrip(), page.width)
        note = _note(page, one)
        if note and free >= LEAST_NOTE:
            line = f"{line.ljust(page.width - free)}{page.fit(note, free)}"
        yield line.replace(row[2], page.painted(row[2], _colour(one.trend)), 1)
        if note and free < LEAST_NOTE:
            yield page.fit(f"    {note}", page.width)


def _note(page: Page, one: Shown) -> str:
    trend = one.trend
    told = []
    if trend.changes:
        change = trend.changes[-1]
        told.append(f"{_step(trend, change)} {_span(page, trend, change)}")
    if trend.within:
        floor = amount(trend.series.mode, trend.floor)
        told.append(f"{amount(trend.series.mode, trend.within, signed=True)}, within the floor of {floor}")
    if trend.course.alone:
        off = trend.course.alone[-1]
        told.append(f"{_step(trend, off)} in one run alone, {trend.at(off).when[:10]}")
    if not told and one.older:
        told.append(page.plain(f"another key: {_apart(page, one.older[0][1])}"))
    return "; ".join(told)


def _span(page: Page, one: Trend, change: ChangePoint) -> str:
    slow = CREEPING if change.index in one.course.creeping else ""
    return page.plain(_apart(page, blame.span(one.last_good(change), one.at(change)))) + slow


def _colour(one: Trend) -> str:
    said = one.said.get(one.newest.run)
    if said and said.by == "pairs" and decides(one.series.figure):
        return {"worse": RED, "better": GREEN}.get(said.answer, "")
    if one.previous is None or not one.floor or abs(one.newest.value - one.previous.value) <= one.floor:
        return ""
    return RED if one.newest.value > one.previous.value else GREEN


def detail(page: Page, shown: Shown, last: int, known: Known = lambda *_: blame.RunInputSets()) -> Iterator[str]:
    """Yield the lines of one figure: what it is of, where it changed, and the `last` runs, newest first.

    `known` says of two runs what they were made of.
    """
    return (page.fit(line, page.width) for line in _detail(page, shown, last, known))


def _detail(page: Page, shown: Shown, last: int, known: Known) -> Iterator[str]:
    one = shown.trend
    series, points = one.series, one.series.points
    runs = f"{len(points)} {'run' if len(points) == 1 else 'runs'} since {points[0].when[:10]}"
    yield page.plain(f"{series.mode} {series.figure} of {series.image} on {series.machine}, {runs}")
    yield f"  {page.spark([point.value for point in points[-last:]], one.floor, page.width - 2)}"
    if shown.key:
        yield page.plain(f"  key: {', '.join(f'{name} {value}' for name, value in shown.key.items())}")
    for count, apart in shown.older:
        yield page.plain(f"  not here: {count} with another key, {_apart(page, apart)}")
    if one.floor:
        how = "" if series.mode == "size" else ", calibrated" if one.calibrated else ", not calibrated"
        yield f"  floor: {amount(series.mode, one.floor)}{how}"
    yield ""
    yield f"changes beyond the floor: {len(one.changes)}" if one.floor else f"changes: {len(one.changes)}"
    changes = table([_changed(page, one, change) for change in one.changes], right=(0, 2, 3, 4))
    for change, line in zip(one.changes, changes, strict=True):
        yield f"  {line}"
        yield from differences(page, one.last_good(change), one.at(change), known)
    yield ""
    newest = points[-last:]
    yield "runs" if len(newest) == len(points) else f"the last {len(newest)} runs"
    marks = _marks(one)
    before = (points[-len(newest) - 1] if len(newest) < len(points) else None, *newest)
    rows = [(marks.get(point.run, ""), point.run[:ID], amount(series.mode, point.value),
             *_since(one, previous, point), _commit(page, point))
            for previous, point in zip(before, newest, strict=False)]  # fmt: skip
    yield from (f"  {line}" for line in reversed(table(rows, right=(2, 3, 4))))
    yield from (f"  {mark}  {text}" for mark, text in LEGEND.items() if mark in {row[0] for row in rows})
    said = [(point, one.said[point.run]) for point in reversed(newest) if point.run in one.said]
    if said:
        yield ""
        yield "what the gates have said, newest first"
    for point, judged in said:
        words = page.plain(_apart(page, f"{judged.answer}: {judged.said}" if judged.said else judged.answer))
        yield f"  {point.run[:ID]}  {point.when[:10]}  {words}"


def _marks(one: Trend) -> dict[str, str]:
    """Return the mark of each run that has one, by its id."""
    return {
        **{one.at(change).run: "*" for change in one.changes},
        **{one.series.points[index].run: OLDER for index in one.course.older},
        **{one.at(change).run: ALONE for change in one.course.alone},
    }


def _changed(page: Page, one: Trend, change: ChangePoint) -> tuple[str, ...]:
    mode = one.series.mode
    return (amount(mode, change.before), page.arrow, amount(mode, change.after),
            amount(mode, change.after - change.before, signed=True), part(change.before, change.after),
            _span(page, one, change))  # fmt: skip


def _since(one: Trend, before: Point | None, point: Point) -> tuple[str, str]:
    if before is None:
        return "", ""
    if before.value == point.value:
        return "=", ""
    difference = amount(one.series.mode, point.value - before.value, signed=True)
    return difference, part(before.value, point.value)


def _step(one: Trend, change: ChangePoint) -> str:
    return f"{amount(one.series.mode, change.after - change.before, signed=True)} {part(change.before, change.after)}"


def _apart(page: Page, text: str) -> str:
    return text.replace("→", page.arrow)


def _commit(page: Page, point: Point) -> str:
    """Return what a run was of, ``+`` beside a commit whose files were changed since."""
    return page.plain(" ".join(filter(None, (point.when[:10], blame.state(point), point.subject))))
