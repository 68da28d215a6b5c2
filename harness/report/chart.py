"""Lays out figures over time as a line chart: series in, paths and marks out. Pure.

Across, everything is in per cent of the chart's width; a line's path is in a box of 1000 by 100 that is stretched, so
that one drawing fits every page.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from harness.measure.changepoints import ChangePoint
from harness.measure.series import Point, Series
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
class Cause:
    """A figure that changed together with another one, by so much."""

    figure: str
    by: int


@dataclass(frozen=True)
class Line:
    """A series with where it changed, its floor, its key, and what else moved at each change (by its index)."""

    series: Series
    changes: tuple[ChangePoint, ...] = ()
    floor: int = 0
    key: Mapping[str, str] = field(default_factory=dict)
    causes: Mapping[int, tuple[Cause, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Tick:
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
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    drawn: int
    count: int


def moments(lines: Sequence[Line]) -> dict[tuple[str, str], int]:
    """Return the place of each run that any of the lines has, in the order of time."""
    runs = {(point.when, point.run) for line in lines for point in line.series.points}
    return {run: place for place, run in enumerate(sorted(runs))}


def chart(lines: Sequence[Line], most: int = MOST) -> Chart:
    """Return the chart of one figure's lines, one a key, the oldest first; they have at least one point together."""
    places = moments(lines)
    mode = lines[0].series.mode
    values = [point.value for line in lines for point in line.series.points]
    least = max(LEAST_SPAN * abs(max(values)), *(4.0 * line.floor for line in lines), 1.0)
    low, high = span(values, least)
    if min(values) >= 0:
        low = max(0.0, low)
    paths, levels, drawn = [], [], 0
    for line in lines:
        xs = [place * WIDTH / max(1, len(places) - 1) for place in _places(line.series.points, places)]
        mine = [point.value for point in line.series.points]
        shown = _shown(mine, line.changes, max(2, most // len(lines)))
        drawn += len(shown)
        ys = [_up_to(value, low, high) for value in mine]
        paths.append(path(((xs[place], ys[place]) for place in straight(shown, mine)), len(places) == 1))
        if mode == "wall" and len(mine) > 1:
            corners = _level(line.changes, xs, fmean(mine))
            levels.append(path(((x, _up_to(value, low, high)) for x, value in corners), single=False))
    return Chart(
        mode=mode,
        paths=tuple(paths),
        levels=tuple(levels),
        marks=tuple(_marks(lines, places)),
        borders=tuple(_borders(lines, places)),
        across=tuple(_across(places)),
        up=tuple(_up(low, high, UNITS.get(mode, 1e3))),
        drawn=drawn,
        count=len(values),
    )


def _up_to(value: float, low: float, high: float) -> float:
    return (high - value) / (high - low) * HEIGHT


def spark(values: Sequence[int], floor: int, most: int = 120) -> str:
    """Return values as a path in the box: what moves by less than the floor looks level."""
    low, high = span(values, max(4.0 * floor, LEAST_SPAN * abs(max(values)), 1.0))
    shown = straight(kept(values, most), values)
    last = max(1, len(values) - 1)
    points = ((place * WIDTH / last, _up_to(values[place], low, high)) for place in shown)
    return path(points, single=len(values) == 1)


def path(points: Iterator[tuple[float, float]], single: bool) -> str:
    """Return an SVG path through points; a single one becomes a line across, for it could not be seen."""
    text = "L".join(f"{_short(x, 1)} {_short(y, 2)}" for x, y in points)
    return f"M{text}H{_short(WIDTH, 1)}" if single else f"M{text}"


def _short(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") or "0"


def _places(points: Sequence[Point], places: Mapping[tuple[str, str], int]) -> list[int]:
    return [places[point.when, point.run] for point in points]


def _shown(values: Sequence[int], changes: Sequence[ChangePoint], most: int) -> list[int]:
    """Return which points to draw: those on both sides of a change in any case."""
    return kept(values, most, {side for change in changes for side in (change.index - 1, change.index)})


def _level(changes: Sequence[ChangePoint], xs: Sequence[float], mean: float) -> Iterator[tuple[float, float]]:
    """Yield where and at which value the level between changes begins and ends; without changes it is `mean`."""
    start, level = xs[0], changes[0].before if changes else mean
    for change in changes:
        yield from ((start, level), (xs[change.index], level))
        start, level = xs[change.index], change.after
    yield from ((start, level), (xs[-1], level))


def numbered(lines: Sequence[Line]) -> list[tuple[Line, ChangePoint]]:
    """Return all changes of some lines in the order of time: their number is their place, from 1."""
    return sorted(
        ((line, change) for line in lines for change in line.changes),
        key=lambda one: (one[0].series.points[one[1].index].when, one[0].series.points[one[1].index].run),
    )


def _marks(lines: Sequence[Line], places: Mapping[tuple[str, str], int]) -> Iterator[Mark]:
    near = far = math.inf  # the last marks with a number; the newest one has its own in any case
    found = []
    for number, (line, change) in reversed([*enumerate(numbered(lines), 1)]):
        (place,) = _places(line.series.points[change.index : change.index + 1], places)
        at = place * 100 / max(1, len(places) - 1)
        has_room, roomy = near - at >= APART, far - at >= FAR_APART
        near, far = at if has_room else near, at if roomy else far
        found.append(Mark(at, change.after > change.before, str(number) if has_room else "", roomy))
    return reversed(found)


def _borders(lines: Sequence[Line], places: Mapping[tuple[str, str], int]) -> Iterator[float]:
    for line in lines:
        (first,) = _places(line.series.points[:1], places)
        if first:
            yield first * 100 / max(1, len(places) - 1)


def _across(places: Mapping[tuple[str, str], int]) -> Iterator[Tick]:
    whens = [when for when, _ in places]
    last = max(1, len(whens) - 1)
    text = ""
    for place in evenly(len(whens), X_TICKS):
        if whens[place][:10] != text:
            text = whens[place][:10]
            yield Tick(place * 100 / last, text)


def _up(low: float, high: float, unit: float) -> Iterator[Tick]:
    digits = max(0, -math.floor(math.log10(step((high - low) / unit, Y_TICKS)) + 1e-9))
    for value in ticks(low / unit, high / unit, Y_TICKS):
        yield Tick((high - value * unit) / (high - low) * 100, f"{value:.{digits}f}")
