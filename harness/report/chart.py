"""Lays out figures over time as a line chart: series in, paths and marks out. Pure.

Across, everything is in per cent of the chart's width; a line's path is in a box of 1000 by 100 that is stretched, so
that one drawing fits every page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from harness.measure.changepoints import ChangePoint
from harness.measure.series import JudgedRun, Point, Series
from harness.report.thin import kept, straight
from harness.report.ticks import evenly, span, step, ticks

WIDTH, HEIGHT = 1000.0, 100.0
MOST = 1000  # points of a line, about
X_TICKS, Y_TICKS = 5, 4
# Per cent between two marks that both have their number, on a wide page and on a narrow one.
APART, FAR_APART = 3.0, 9.0
LEAST_SPAN = 0.02  # of the value: a chart's height is never less than that
UNITS = {"size": 1e6}  # of a series' values in what is shown, by mode; else 1e3


@dataclass(frozen=True)
class FigureMove:
    """A figure that changed together with another one, by so much."""

    figure: str
    by: int


@dataclass(frozen=True)
class ChartLine:
    """A series with where it changed, its floor, its key, and what else moved at each change (by its index).

    A series may come thinned: then ``places`` says which of the chart's runs each point is, from 0, and ``whole`` how
    many points there were. ``mean`` is that of all values, where it is known. ``good`` is by a change's index that of
    the last point before it (else the one before), ``told`` what differs between the two. ``said`` is what the gate has
    said of a point.
    """

    series: Series
    changes: tuple[ChangePoint, ...] = ()
    floor: int = 0
    key: Mapping[str, str] = field(default_factory=dict)
    causes: Mapping[int, tuple[FigureMove, ...]] = field(default_factory=dict)
    places: tuple[int, ...] = ()
    whole: int = 0
    mean: float | None = None
    good: Mapping[int, int] = field(default_factory=dict)
    told: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    said: Mapping[int, JudgedRun] = field(default_factory=dict)

    def last_good(self, change: ChangePoint) -> Point | None:
        """Return the last point before a change; None where the line begins with it."""
        index = self.good.get(change.index, change.index - 1)
        return self.series.points[index] if index >= 0 else None

    @property
    def count(self) -> int:
        """How many points the series has, drawn or not."""
        return self.whole or len(self.series.points)

    @property
    def values(self) -> list[int]:
        """The values of its points."""
        return [point.value for point in self.series.points]


@dataclass(frozen=True)
class ChartTick:
    """A line across or up the chart, and what is written beside it."""

    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A change: where it is, whether it is to the worse, and its number in the table (empty: no room for it).

    ``roomy``: a narrow page has room for the number too.
    """

    at: float
    worse: bool
    number: str
    roomy: bool = True


@dataclass(frozen=True)
class Chart:
    """A chart. ``paths`` are the lines, one a key, ``levels`` what noisy values lie around.

    ``drawn`` of ``count`` points are in the paths. ``borders`` are where another key begins.
    """

    mode: str
    paths: tuple[str, ...]
    levels: tuple[str, ...]
    marks: tuple[Mark, ...]
    borders: tuple[float, ...]
    across: tuple[ChartTick, ...]
    up: tuple[ChartTick, ...]
    drawn: int
    count: int


def placed(lines: Sequence[ChartLine]) -> list[ChartLine]:
    """Return lines with the places of their points among the runs that any of them has, in the order of time."""
    if all(line.places for line in lines):
        return [*lines]
    runs = sorted({(point.when, point.run) for line in lines for point in line.series.points})
    at = {run: place for place, run in enumerate(runs)}
    return [replace(line, places=tuple(at[point.when, point.run] for point in line.series.points)) for line in lines]


def thinned(
    values: Sequence[int], changes: Sequence[ChangePoint], most: int = MOST, more: Iterable[int] = ()
) -> list[int]:
    """Return which of a series' values a chart needs: what is seen, both sides of each change, some to name dates.

    `more` are those that are needed besides.
    """
    sides = {side for change in changes for side in (change.index - 1, change.index)} | {*more}
    return sorted({*straight(kept(values, most, sides), values), *sides, *evenly(len(values), X_TICKS)})


def chart(lines: Sequence[ChartLine], most: int = MOST) -> Chart:
    """Return the chart of one figure's lines, one a key, the oldest first; each has at least one point."""
    lines = placed(lines)
    mode = lines[0].series.mode
    values = [value for line in lines for value in line.values]
    last = _last(lines)
    low, high = span(values, max(LEAST_SPAN * max(values), *(4.0 * line.floor for line in lines), 1.0))
    low = low if min(values) < 0 else max(0.0, low)
    paths, levels, drawn = [], [], 0
    for line in lines:
        mine = line.values
        shown = [*range(len(mine))] if line.whole else thinned(mine, line.changes, max(X_TICKS, most // len(lines)))
        drawn += len(shown)
        xs = [line.places[at] * WIDTH / last for at in shown]
        corners = zip(xs, (_up_to(mine[at], low, high) for at in shown), strict=True)
        paths.append(path(corners, single=not line.places[-1]))
        if mode == "wall" and len(mine) > 1:
            steps = _level(line, WIDTH / last)
            levels.append(path(((x, _up_to(value, low, high)) for x, value in steps), single=False))
    return Chart(
        mode=mode,
        paths=tuple(paths),
        levels=tuple(levels),
        marks=tuple(_marks(lines, last)),
        borders=tuple(line.places[0] * 100 / last for line in lines if line.places[0]),
        across=tuple(_across(lines, last)),
        up=tuple(_up(low, high, UNITS.get(mode, 1e3))),
        drawn=drawn,
        count=sum(line.count for line in lines),
    )


def _last(lines: Sequence[ChartLine]) -> int:
    """Return the place of the last run, 1 where there is but one: all else is in parts of it."""
    return max(1, *(line.places[-1] for line in lines))


def _up_to(value: float, low: float, high: float) -> float:
    return (high - value) / (high - low) * HEIGHT


def spark(line: ChartLine, most: int = 120) -> str:
    """Return a line as a path in the box: what moves by less than the floor looks level."""
    (line,) = placed([line])
    values = line.values
    low, high = span(values, max(4.0 * line.floor, LEAST_SPAN * max(values), 1.0))
    shown = straight(kept(values, most), values)
    points = ((line.places[at] * WIDTH / _last([line]), _up_to(values[at], low, high)) for at in shown)
    return path(points, single=not line.places[-1])


def path(points: Iterator[tuple[float, float]], single: bool) -> str:
    """Return an SVG path through points; a single one becomes a line across, for it could not be seen."""
    text = "L".join(f"{_short(x, 1)} {_short(y, 2)}" for x, y in points)
    return f"M{text}H{_short(WIDTH, 1)}" if single else f"M{text}"


def _short(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") or "0"


def _level(line: ChartLine, wide: float) -> Iterator[tuple[float, float]]:
    """Yield where and at which value each level between changes begins and ends; a place is `wide`."""
    start = line.places[0] * wide
    level = line.changes[0].before if line.changes else fmean(line.values) if line.mean is None else line.mean
    for change in line.changes:
        at = line.places[change.index] * wide
        yield from ((start, level), (at, level))
        start, level = at, change.after
    yield from ((start, level), (line.places[-1] * wide, level))


def numbered(lines: Sequence[ChartLine]) -> list[tuple[ChartLine, ChangePoint]]:
    """Return all changes of some lines in the order of time: their number is their place, from 1."""
    return sorted(
        ((line, change) for line in lines for change in line.changes),
        key=lambda one: (one[0].series.points[one[1].index].when, one[0].series.points[one[1].index].run),
    )


def _marks(lines: Sequence[ChartLine], last: int) -> Iterator[Mark]:
    near = far = math.inf  # the last marks with a number; the newest one has its own in any case
    found = []
    for number, (line, change) in reversed([*enumerate(numbered(lines), 1)]):
        at = line.places[change.index] * 100 / last
        has_room, roomy = near - at >= APART, far - at >= FAR_APART
        near, far = at if has_room else near, at if roomy else far
        found.append(Mark(at, change.after > change.before, str(number) if has_room else "", roomy))
    return reversed(found)


def _across(lines: Sequence[ChartLine], last: int) -> Iterator[ChartTick]:
    """Yield dates at about even distances, of runs that are there."""
    whens = {
        place: point.when[:10] for line in lines for place, point in zip(line.places, line.series.points, strict=True)
    }
    known, text = sorted(whens), ""
    for wanted in evenly(last + 1, X_TICKS):
        place = min(known, key=lambda one: abs(one - wanted))
        if whens[place] != text:
            text = whens[place]
            yield ChartTick(place * 100 / last, text)


def _up(low: float, high: float, unit: float) -> Iterator[ChartTick]:
    digits = max(0, -math.floor(math.log10(step((high - low) / unit, Y_TICKS)) + 1e-9))
    for value in ticks(low / unit, high / unit, Y_TICKS):
        yield ChartTick((high - value * unit) / (high - low) * 100, f"{value:.{digits}f}")
