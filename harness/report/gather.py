"""Takes out of the history what the page over time is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from statistics import fmean

from harness.history import History, verdicts
from harness.history.floors import floors_of
from harness.history.trends import judged
from harness.history.whole import WholeSeries, commits, points, whole
from harness.measure.blame import RunInputSets, told
from harness.measure.compare import is_step
from harness.measure.course import older_runs
from harness.measure.floor import Floors
from harness.measure.gate import CellFigures, size_floor
from harness.measure.phases import READY
from harness.measure.series import Point, Series
from harness.report.chart import ChartLine, FigureMove, thinned
from harness.report.overtime import TOTAL, causes

PARTS = 200  # runs that phases and sizes by part look back
KEYS = 8  # of one figure, the newest
EXPLAINED = 25  # changes of a figure, the newest, whose causes are looked for


Known = Callable[[Point | None, Point], RunInputSets]
Older = Callable[[Series], frozenset[int]]


def gather(opened: History, known: Known | None = None) -> tuple[list[ChartLine], list[ChartLine]]:
    """Return the lines that are drawn as charts, and the parts of the newest key, these of the last runs only.

    Of each only the points that are seen, and those at its changes. `known` says of two runs what they were made of.
    """
    heads = opened.series()
    known = known or (lambda *_: RunInputSets())
    older = _older(opened)
    drawn = [head for head in heads if _is_drawn(head, heads)]
    same: dict[tuple[str, ...], list[Series]] = {}
    for head in drawn:
        same.setdefault(_figure(head), []).append(head)
    explain = _explainer(opened)
    lines = [line for keys in same.values() for line in _lines(opened, keys[:KEYS], older, (explain, known))]
    others = {_figure(head): head for head in reversed(heads) if _figure(head) not in same}  # the newest key of each
    parts = [
        line
        for head in reversed(others.values())
        if head.mode != "wall" and head.figure != READY
        for line in _lines(opened, [head], older, None, PARTS)
        if line.changes or not is_step(head.figure)
    ]
    return lines, parts


def _figure(head: Series) -> tuple[str, ...]:
    return head.image, head.machine, head.arch, head.mode, head.figure


def _is_drawn(head: Series, heads: Sequence[Series]) -> bool:
    """Say whether a series is one of the three that have a chart: total exact time (else to ready), wall time, size."""
    if head.mode != "exact":
        return head.figure == (TOTAL if head.mode == "size" else READY)
    has_total = any(replace(head, figure=TOTAL) == one for one in heads)
    return head.figure == (TOTAL if has_total else READY)


Explain = Callable[[Series, str, str, Floors], tuple[FigureMove, ...]]


def _lines(
    opened: History, heads: Sequence[Series], older: Older, ask: tuple[Explain, Known] | None, last: int | None = None
) -> Iterator[ChartLine]:
    """Yield the lines of one figure's chart, a key each."""
    read = [whole(opened, head, last) for head in heads]
    # one key alone has the places that its points have
    moments = {*chain(*(one.moments for one in read))} if len(read) > 1 else ()
    places = {at: place for place, at in enumerate(sorted(moments))}
    for one in read:
        if one.values:
            yield _line(opened, one, places, older(one.head), ask)


def _line(
    opened: History, one: WholeSeries, places: Mapping[tuple[int, int], int], older: frozenset[int],
    ask: tuple[Explain, Known] | None,
) -> ChartLine:  # fmt: skip
    head = one.head
    floors = (
        floors_of(opened, head.image, head.machine, key=head.key, arch=head.arch) if head.mode == "exact" else Floors()
    )
    left_out = frozenset(at for at, boot in enumerate(one.boots) if boot in older)
    told = verdicts.of_boots(opened, head.image, head.machine) if head.mode == "exact" else {}
    place = {boot: at for at, boot in enumerate(one.boots)}
    pairs = {place[boot]: (place[base], said.answer) for boot, (base, said) in told.items()
             if boot in place and base in place}  # fmt: skip
    course, floor = judged(head, one.values, floors, left_out, pairs)
    shown = thinned(one.values, course.changes, more=course.last_good.values())
    behind = points(opened, (one.boots[at] for at in shown))
    series = replace(head, points=tuple(replace(behind[one.boots[at]], value=one.values[at]) for at in shown))
    now = {at: place for place, at in enumerate(shown)}
    moments = one.moments if places else []
    line = ChartLine(
        series,
        tuple(replace(change, index=now[change.index]) for change in course.changes),
        floor,
        opened.key(head) if ask and head.key else {},
        places=tuple(places[moments[at]] for at in shown) if places else tuple(shown),
        whole=len(one.values),
        mean=fmean(one.values),
        good={now[at]: now[good] for at, good in course.last_good.items()},
        said={now[at]: told[one.boots[at]][1] for at in pairs if at in now},
    )
    return _explained(line, floors, *ask) if ask else line


def _explained(line: ChartLine, floors: Floors, explain: Explain, known: Known) -> ChartLine:
    """Return a line with what moved, and what differs, at its newest changes."""
    causes, told_ = {}, {}
    for change in line.changes[-EXPLAINED:]:
        before, after = line.last_good(change), line.series.points[change.index]
        said = line.said.get(change.index)
        gate = (f"the gate has said, by pairs of boots: {said.said}",) if said else ()
        told_[change.index] = (*gate, *told(before, after, known(before, after)))
        if before and line.series.mode != "wall":
            causes[change.index] = explain(line.series, before.run, after.run, floors)
    return replace(line, causes=causes, told=told_)


def _older(opened: History) -> Older:
    """Return what says of a series which of its cell's boots were of an older commit; asked once for each cell."""
    asked: dict[tuple[str, str], frozenset[int]] = {}

    def older(head: Series) -> frozenset[int]:
        cell = head.image, head.machine
        if cell not in asked:
            known = commits(opened, head)
            boots = list(known)
            asked[cell] = frozenset(boots[index] for index in older_runs(list(known.values())))
        return asked[cell]

    return older


def _explainer(opened: History) -> Explain:
    @cache
    def cells(run: str) -> dict[tuple[str, str], CellFigures]:
        return {(cell.image, cell.machine): cell for cell in opened.cells(opened.run(run))}

    def explain(head: Series, before: str, after: str, floors: Floors) -> tuple[FigureMove, ...]:
        sides = [cells(run).get((head.image, head.machine)) for run in (before, after)]
        old, new = ((side.sizes if head.mode == "size" else side.exact) if side else {} for side in sides)
        return causes(head.mode, old, new, size_floor if head.mode == "size" else floors.of)

    return explain
