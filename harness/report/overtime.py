"""What the page over time shows: lines in, values in the order of reading out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.measure import blame
from harness.measure.changepoints import ChangePoint
from harness.measure.compare import CPU, is_step
from harness.measure.gate import differing
from harness.measure.phases import READY, SERVICES
from harness.measure.series import Point
from harness.report.chart import Chart, ChartLine, FigureMove, chart, numbered, spark

TOTAL = "total"
NEWEST = 12  # changes that are told at the top of the page
SHOWN = 6  # of each chart, before the rest is folded away
CAUSES = 3
TITLES = {("exact", TOTAL): "power-on to ready, exact", ("exact", READY): "clock zero to ready, exact",
          ("wall", READY): "wall time to ready", ("size", TOTAL): "size of what is shipped"}  # fmt: skip


@dataclass(frozen=True)
class ChangeRow:
    """A row of a table of changes. ``span`` are the last good run and the first bad one, ``what`` is what differs."""

    number: int
    cell: str
    cell_number: int
    mode: str
    figure: str
    point: Point
    before: float
    after: float
    span: str
    what: tuple[str, ...]
    causes: tuple[FigureMove, ...]

    @property
    def worse(self) -> bool:
        """Slower or larger."""
        return self.after > self.before


@dataclass(frozen=True)
class FigureChart:
    """A chart with what belongs to it. ``changes`` are newest first; ``keys`` say what differed where a key ended."""

    title: str
    mode: str
    newest: Point
    floor: int
    chart: Chart
    changes: tuple[ChangeRow, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True)
class PartRow:
    """A row of the table of phases and sizes: its newest value, a line, and what became of it in the runs shown."""

    mode: str
    figure: str
    newest: int
    first: int
    path: str
    changes: tuple[ChangeRow, ...]


@dataclass(frozen=True)
class SeriesView:
    """An image on a machine."""

    number: int
    name: str
    image: str
    machine: str
    arch: str
    figures: tuple[FigureChart, ...]
    parts: tuple[PartRow, ...]
    runs: int  # that the parts look back

    @property
    def newest(self) -> tuple[ChangeRow, ...]:
        """The newest change of all charts, if there is one."""
        found = [figure.changes[0] for figure in self.figures if figure.changes]
        return tuple(sorted(found, key=lambda change: change.point.when)[-1:])


@dataclass(frozen=True)
class OverTimePage:
    """The page over time."""

    called: str
    runs: int
    points: int
    drawn: int
    first: str
    last: str
    cells: tuple[SeriesView, ...]
    changes: tuple[ChangeRow, ...]
    count: int


def page(lines: Sequence[ChartLine], parts: Sequence[ChartLine], called: str, runs: int = 0) -> OverTimePage:
    """Return what the page shows. `lines` are drawn as charts, `parts` (the last runs only) as rows of a table.

    Lines without points are passed over. Lines of one figure that differ in their key are one chart, oldest first.
    `runs` is how many there are in all, where lines are thinned.
    """
    lines = [line for line in lines if line.series.points]
    names = sorted({_cell(line) for line in [*lines, *parts]})
    cells = tuple(_view(number, name, lines, parts) for number, name in enumerate(names, 1))
    known = {(point.when, point.run) for line in lines for point in line.series.points}
    changes = sorted(
        (change for cell in cells for figure in cell.figures for change in figure.changes if not change.point.ack),
        key=lambda change: (change.point.when, change.span, change.cell),
        reverse=True,
    )
    return OverTimePage(
        called=called,
        runs=runs or len(known),
        points=sum(line.count for line in lines),
        drawn=sum(figure.chart.drawn for cell in cells for figure in cell.figures),
        first=min(known)[0] if known else "",
        last=max(known)[0] if known else "",
        cells=cells,
        changes=tuple(changes[:NEWEST]),
        count=len(changes),
    )


def _cell(line: ChartLine) -> tuple[str, str, str]:
    return line.series.image, line.series.machine, line.series.arch


def _figure(line: ChartLine) -> tuple[str, str]:
    return line.series.mode, line.series.figure


def _view(
    number: int, name: tuple[str, str, str], lines: Sequence[ChartLine], parts: Sequence[ChartLine]
) -> SeriesView:
    image, machine, arch = name
    called = f"{image.rpartition('/')[2].removesuffix('.yml')} on {machine}"
    mine = [line for line in lines if _cell(line) == name]
    figures = [
        _charted([line for line in mine if _figure(line) == wanted], called, number)
        for wanted in dict.fromkeys(map(_figure, mine))
    ]
    rows = [line for line in parts if _cell(line) == name and line.series.points]
    return SeriesView(
        number=number,
        name=called,
        image=image,
        machine=machine,
        arch=arch,
        figures=tuple(figures),
        parts=tuple(_part(line, called, number) for line in rows),
        runs=max((line.count for line in rows), default=0),
    )


def _charted(lines: Sequence[ChartLine], cell: str, number: int) -> FigureChart:
    lines = sorted(lines, key=lambda line: line.series.points[0].when)
    newest = max((line.series.points[-1] for line in lines), key=lambda point: (point.when, point.run))
    mode, figure = _figure(lines[0])
    changes = [_change(count, line, change, cell, number) for count, (line, change) in enumerate(numbered(lines), 1)]
    return FigureChart(
        title=TITLES.get((mode, figure), f"{mode} {figure}"),
        mode=mode,
        newest=newest,
        floor=lines[-1].floor,
        chart=chart(lines),
        changes=tuple(reversed(changes)),
        keys=tuple(_keys(lines)),
    )


def _keys(lines: Sequence[ChartLine]) -> Iterator[str]:
    for before, line in pairwise(lines):
        apart = differing(before.key, line.key) or "another key"
        yield f"{line.series.points[0].when[:10]}: {apart}"


def _change(count: int, line: ChartLine, change: ChangePoint, cell: str, number: int) -> ChangeRow:
    points = line.series.points
    return ChangeRow(
        number=count,
        cell=cell,
        cell_number=number,
        mode=line.series.mode,
        figure=line.series.figure,
        point=points[change.index],
        before=change.before,
        after=change.after,
        span=blame.span(line.last_good(change), points[change.index]),
        what=line.told.get(change.index, ()),
        causes=tuple(line.causes.get(change.index, ())),
    )


def _part(line: ChartLine, cell: str, number: int) -> PartRow:
    values = line.values
    changes = [_change(0, line, change, cell, number) for change in line.changes]
    return PartRow(line.series.mode, line.series.figure, values[-1], values[0], spark(line),
                tuple(reversed(changes)))  # fmt: skip


def _is_phase(figure: str) -> bool:
    """Say whether a figure is of the main line: services wait for each other, so theirs tell nothing."""
    return not is_step(figure) and not figure.startswith(f"{SERVICES}/")


def causes(
    mode: str, before: Mapping[str, int], after: Mapping[str, int], floor: Callable[..., int]
) -> tuple[FigureMove, ...]:
    """Return which figures of a mode moved beyond their floor between two runs, largest first; sums are no cause.

    Of times it is who had the processor, where both runs tell that, else the phases.
    """
    told = all(any(name.startswith(CPU) for name in side) for side in (before, after))
    found = [
        FigureMove(name, after.get(name, 0) - before.get(name, 0))
        for name in dict.fromkeys([*before, *after])
        if name not in (TOTAL, READY) and (mode == "size" or (is_step(name) if told else _is_phase(name)))
    ]
    floors = {one.figure: floor(one.figure, before.get(one.figure, 0), after.get(one.figure, 0)) for one in found}
    beyond = [one for one in found if abs(one.by) > floors[one.figure]]
    return tuple(sorted(beyond, key=lambda one: -abs(one.by))[:CAUSES])
