"""Reads long series as numbers alone, and what stood behind a few of their points: many times quicker than all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import func, select

from harness.history.store import BEHIND, History, point, same
from harness.history.tables import BootRow, RunRow, SeriesRow, Value
from harness.measure import series as measured

AT_ONCE = 500  # boots that one query names: databases have a limit


@dataclass(frozen=True)
class WholeSeries:
    """A series' values, oldest first. ``boots`` say which boot each is of, ``when`` its run began (s since 1970)."""

    head: measured.Series
    when: tuple[int, ...] = ()
    boots: tuple[int, ...] = ()
    values: tuple[int, ...] = ()

    @property
    def moments(self) -> list[tuple[int, int]]:
        """What puts boots in order, also those of several series."""
        return [*zip(self.when, self.boots, strict=True)]


def whole(history: History, head: measured.Series, last: int | None = None) -> WholeSeries:
    """Return all values of a series, or the `last` ones."""
    which = select(SeriesRow.id).where(*same(head)).scalar_subquery()
    query = (
        select(Value.at, Value.boot_id, Value.value)
        .where(Value.series_id == which)
        .order_by(Value.at.desc(), Value.boot_id.desc())
        .limit(last)
    )
    with history.reading() as connection:
        rows = connection.execute(query).all()[::-1]
    return WholeSeries(head, *zip(*rows, strict=True))


def commits(history: History, head: measured.Series) -> dict[int, str]:
    """Return the commit of each boot that a series has, oldest first."""
    which = select(SeriesRow.id).where(*same(head)).scalar_subquery()
    query = (
        select(Value.boot_id, RunRow.commit)
        .join(BootRow, BootRow.id == Value.boot_id)
        .join(RunRow, RunRow.id == BootRow.run_id)
        .where(Value.series_id == which)
        .order_by(Value.at, Value.boot_id)
    )
    with history.reading() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def points(history: History, boots: Iterable[int]) -> Mapping[int, measured.Point]:
    """Return what stood behind some boots: points whose value is still to be filled in."""
    wanted = iter(sorted(set(boots)))
    found: dict[int, measured.Point] = {}
    with history.reading() as connection:
        while some := list(islice(wanted, AT_ONCE)):
            query = (
                select(BootRow.id, RunRow.uid, RunRow.when, *BEHIND)
                .join(RunRow, RunRow.id == BootRow.run_id)
                .where(BootRow.id.in_(some))
            )
            for row in connection.execute(query):
                found[row[0]] = point((row[1], row[2], 0, *row[3:]))
    return found


def count(history: History) -> int:
    """Return how many runs there are."""
    with history.reading() as connection:
        return connection.scalar(select(func.count()).select_from(RunRow)) or 0
