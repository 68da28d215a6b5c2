"""Failures that are known: which case on which cell is excused, and until when. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from harness.run.cells import Cell
from harness.run.results import case_of, file_and_function, function_of

if TYPE_CHECKING:
    from harness.measure.flaky import Flaky
    from harness.spec.models.plan import KnownFailure


FLAKY = "flaky"


@dataclass(frozen=True)
class Excuse:
    """Why a failure of some cases on some cells does not count. ``until`` is the last day of it, YYYY-MM-DD."""

    case: str
    image: str
    machine: str
    issue: str
    until: str
    what: str = "known"

    def covers(self, nodeid: str, cell: Cell) -> bool:
        """Say whether it is about a case of pytest's on a cell."""
        names = (function_of(nodeid), file_and_function(nodeid), case_of(nodeid, cell.id))
        return (
            (self.case in names or any(fnmatchcase(name, self.case) for name in names))
            and fnmatchcase(cell.image_name, self.image)
            and fnmatchcase(cell.machine, self.machine)
        )

    def holds(self, today: date) -> bool:
        """Say whether its day has not passed."""
        return today <= date.fromisoformat(self.until)

    @property
    def text(self) -> str:
        """What is said beside the failure."""
        return f"{self.what} until {self.until}: {self.issue}"


def excuses(rows: Iterable[KnownFailure]) -> tuple[Excuse, ...]:
    """Return what a plan says is known."""
    return tuple(Excuse(row.case, row.image, row.machine, row.issue, row.until) for row in rows)


def flaky(cases: Iterable[Flaky], cell: Cell, today: date) -> tuple[Excuse, ...]:
    """Return the excuses for the cases that are in quarantine on a cell; the numbers are looked at anew each day."""

    def told(one: Flaky) -> str:
        return f"failed in {one.failures} of {one.runs} runs of the same image"

    day = today.isoformat()
    return tuple(Excuse(one.case, cell.image_name, cell.machine, told(one), day, FLAKY) for one in cases)


def idle_note(excuse: Excuse) -> str:
    """Return what is said of an entry of a plan that is about no case at all."""
    return f"no case is called {excuse.case!r}, which the plan says is known"


def find(known: Sequence[Excuse], nodeid: str, cell: Cell) -> Excuse | None:
    """Return the excuse of a case on a cell: of several, the one that holds longest."""
    return max((one for one in known if one.covers(nodeid, cell)), key=lambda one: one.until, default=None)


def idle(known: Sequence[Excuse], cases: Iterable[tuple[str, Cell]]) -> list[Excuse]:
    """Return the excuses that are about no case at all: a name was misspelt, or the case has gone."""
    pairs = list(cases)
    return [one for one in known if one.what != FLAKY and not any(one.covers(nodeid, cell) for nodeid, cell in pairs)]
