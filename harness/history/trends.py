"""What a series says: its newest value, what became of it, and where it changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.measure.changepoints import ChangePoint
from harness.measure.course import Course, exact_course, noisy_course, older_runs
from harness.measure.floor import Floors
from harness.measure.gate import size_floor
from harness.measure.series import Point, Series


@dataclass(frozen=True)
class Trend:
    """A series with its course. ``floor`` is in its unit; wall times have none: there the noise decides."""

    series: Series
    course: Course
    floor: int = 0
    calibrated: bool = False

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
        return round(self.newest.value - began)

    def at(self, change: ChangePoint) -> Point:
        """Return the first point after a change."""
        return self.series.points[change.index]

    def last_good(self, change: ChangePoint) -> Point | None:
        """Return the last point before a change; None where the series begins with it."""
        index = self.course.last_good.get(change.index)
        return None if index is None else self.series.points[index]


def trend(series: Series, floors: Floors) -> Trend:
    """Return what a series of at least one point says; `floors` are those of its cell and key."""
    older = older_runs([point.commit for point in series.points])
    course, floor = judged(series, [point.value for point in series.points], floors, older)
    return Trend(series, course, floor, series.mode == "exact" and series.figure in floors.measured)


def judged(
    head: Series, values: Sequence[int], floors: Floors, older: frozenset[int] = frozenset()
) -> tuple[Course, int]:
    """Return the course of a series' `values`, and its floor, 0 of wall times; `head` needs no points.

    `older` are the places of runs of an older commit.
    """
    if head.mode == "wall":
        return noisy_course(values, older), 0
    floor = (floors.of if head.mode == "exact" else size_floor)(head.figure, values[-1])
    return exact_course(values, floor, older), floor


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
        "older": [_point(series.points[index]) for index in sorted(one.course.older)],
        "points": [_point(point) for point in series.points[-last:]],
    }  # fmt: skip


def _point(point: Point) -> dict[str, Any]:
    return {"run": point.run, "when": point.when, "value": point.value, "commit": point.commit,
            "subject": point.subject, "changed": point.changed, "spec": point.spec, "inputs": point.inputs}  # fmt: skip
