"""What a series says: its newest value, what became of it, and where it changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.measure.changepoints import ChangePoint, change_points, exact_changes
from harness.measure.floor import Floors
from harness.measure.gate import size_floor
from harness.measure.series import Point, Series


@dataclass(frozen=True)
class Trend:
    """A series with its change points. ``floor`` is in its unit; wall times have none: there the noise decides."""

    series: Series
    changes: tuple[ChangePoint, ...]
    floor: int = 0
    calibrated: bool = False

    @property
    def newest(self) -> Point:
        """The last point."""
        return self.series.points[-1]

    @property
    def previous(self) -> Point | None:
        """The point before the last one."""
        return self.series.points[-2] if len(self.series.points) > 1 else None

    def at(self, change: ChangePoint) -> Point:
        """Return the first point after a change."""
        return self.series.points[change.index]


def trend(series: Series, floors: Floors) -> Trend:
    """Return what a series of at least one point says; `floors` are those of its cell and key."""
    changes, floor = judged(series, [point.value for point in series.points], floors)
    return Trend(series, changes, floor, series.mode == "exact" and series.figure in floors.measured)


def judged(head: Series, values: Sequence[int], floors: Floors) -> tuple[tuple[ChangePoint, ...], int]:
    """Return where the `values` of a series changed, and its floor, 0 of wall times; `head` needs no points."""
    if head.mode == "wall":
        return tuple(change_points(values)), 0
    floor = (floors.of if head.mode == "exact" else size_floor)(head.figure, values[-1])
    return tuple(exact_changes(values, floor)), floor


def to_json(one: Trend, key: Mapping[str, str], last: int) -> dict[str, Any]:
    """Return a trend as what JSON can hold: its `last` points, and all of its changes."""
    series = one.series
    return {
        "image": series.image, "machine": series.machine, "arch": series.arch, "mode": series.mode,
        "figure": series.figure, "unit": "bytes" if series.mode == "size" else "us", "key": dict(key),
        "runs": len(series.points), "floor": one.floor, "calibrated": one.calibrated,
        "changes": [{"before": change.before, "after": change.after, "p": change.p, **_point(one.at(change))}
                    for change in one.changes],
        "points": [_point(point) for point in series.points[-last:]],
    }  # fmt: skip


def _point(point: Point) -> dict[str, Any]:
    return {"run": point.run, "when": point.when, "value": point.value, "commit": point.commit,
            "subject": point.subject, "spec": point.spec}  # fmt: skip
