"""What a series says: its newest value, what became of it, and where it changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any

from harness.measure.changepoints import ChangePoint
from harness.measure.compare import decides
from harness.measure.course import Course, as_judged, exact_course, noisy_course, older_runs
from harness.measure.floor import Floors
from harness.measure.gate import size_floor
from harness.measure.series import JudgedRun, Point, Series

NOTHING: Mapping[str, JudgedRun] = MappingProxyType({})
NO_PLACES: Mapping[int, tuple[int, str]] = MappingProxyType({})


@dataclass(frozen=True)
class Trend:
    """A series with its course. ``floor`` is in its unit; wall times have none: there the noise decides. ``said`` has
    what the gate has said of its runs, by run."""

    series: Series
    course: Course
    floor: int = 0
    calibrated: bool = False
    said: Mapping[str, JudgedRun] = field(default_factory=dict)

    @property
    def changes(self) -> tuple[ChangePoint, ...]:
        """Where it changed, oldest first."""
        return self.course.changes

    @property
    def newest(self) -> Point:
        """The last point."""
        return self.series.points[-1]

    @property
    def previous(self) -> Point | None:
        """The point before the last one."""
        return self.series.points[-2] if len(self.series.points) > 1 else None

    @property
    def within(self) -> int:
        """How far the newest exact value or size is from where its segment began: within the floor."""
        if not self.floor or len(self.series.points) - 1 in self.course.older:
            return 0
        began = self.changes[-1].after if self.changes else self.series.points[0].value
        by = round(self.newest.value - began)
        return by if abs(by) <= self.floor else 0  # pairs have shown that it is the same

    def at(self, change: ChangePoint) -> Point:
        """Return the first point after a change."""
        return self.series.points[change.index]

    def last_good(self, change: ChangePoint) -> Point | None:
        """Return the last point before a change; None where the series begins with it."""
        index = self.course.last_good.get(change.index)
        return None if index is None else self.series.points[index]


def trend(series: Series, floors: Floors, said: Mapping[str, JudgedRun] = NOTHING) -> Trend:
    """Return what a series of at least one point says; `floors` are those of its cell and key, and `said` is what the
    gate has said of its runs."""
    older = older_runs([point.commit for point in series.points])
    at = {point.run: index for index, point in enumerate(series.points)}
    pairs = {at[run]: (at[one.base], one.answer) for run, one in said.items()
             if one.by == "pairs" and run in at and one.base in at}  # fmt: skip
    course, floor = judged(series, [point.value for point in series.points], floors, older, pairs)
    return Trend(series, course, floor, series.mode == "exact" and series.figure in floors.measured, said)


def judged(
    head: Series,
    values: Sequence[int],
    floors: Floors,
    older: frozenset[int] = frozenset(),
    said: Mapping[int, tuple[int, str]] = NO_PLACES,
) -> tuple[Course, int]:
    """Return the course of a series' `values`, and its floor, 0 of wall times; `head` needs no points.

    `older` are the places of runs of an older commit. `said` is what pairs have shown of the whole, by place
    (`course.as_judged`).
    """
    if head.mode == "wall":
        return noisy_course(values, older), 0
    floor = (floors.of if head.mode == "exact" else size_floor)(head.figure, values[-1])
    if not said or head.mode != "exact" or not decides(head.figure):
        return exact_course(values, floor, older), floor
    course = exact_course(as_judged(values, floor, said), floor, older)
    changes = tuple(replace(one, before=values[course.last_good[one.index]], after=values[one.index])
                    for one in course.changes)  # fmt: skip
    return replace(course, changes=changes), floor


def to_json(one: Trend, key: Mapping[str, str], last: int) -> dict[str, Any]:
    """Return a trend as what JSON can hold: its `last` points, and all of its changes."""
    series = one.series
    return {
        "image": series.image, "machine": series.machine, "arch": series.arch, "mode": series.mode,
        "figure": series.figure, "unit": "bytes" if series.mode == "size" else "us", "key": dict(key),
        "runs": len(series.points), "floor": one.floor, "calibrated": one.calibrated,
        "changes": [{"before": change.before, "after": change.after, "p": change.p,
                     "last_good": _point(good) if (good := one.last_good(change)) else None,
                     "small_steps": change.index in one.course.creeping, **_point(one.at(change))}
                    for change in one.changes],
        "alone": [_point(one.at(change)) for change in one.course.alone],
        "said": [{"run": run, **asdict(said)} for point in series.points[-last:] for run in [point.run]
                 if (said := one.said.get(run))],
        "older": [_point(series.points[index]) for index in sorted(one.course.older)],
        "points": [_point(point) for point in series.points[-last:]],
    }  # fmt: skip


def _point(point: Point) -> dict[str, Any]:
    return {"run": point.run, "when": point.when, "value": point.value, "commit": point.commit,
            "subject": point.subject, "changed": point.changed, "spec": point.spec, "inputs": point.inputs}  # fmt: skip
