"""Baselines: runs that were accepted as what others are measured by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from harness.errors import UserError
from harness.history.keys import now, pairs_of
from harness.history.store import HEAD, History, RunHead, head, names
from harness.history.tables import Baseline, RunRow
from harness.measure.gate import CellFigures

if TYPE_CHECKING:
    from harness.run.results_model import CellResult, Results

LATEST = "latest-baseline"
TOTAL = "total"


@dataclass(frozen=True)
class AcceptedRun:
    """A baseline. An empty ``image`` or ``machine`` stands for all that the run has; ``when`` is UTC."""

    number: int
    run: RunHead
    image: str
    machine: str
    reason: str
    who: str
    when: str

    def covers(self, cell: CellFigures) -> bool:
        """Return whether it is a baseline for that cell of its run."""
        return self.image in ("", cell.image) and self.machine in ("", cell.machine)


def accept(history: History, run: RunHead, reason: str, *, who: str, image: str = "", machine: str = "") -> AcceptedRun:
    """Make a run the baseline of its cells, or of those of an image or a machine.

    UserError when the run has no such cell, or has several images of that name.
    """
    cells = history.cells(run)
    wanted = [cell for cell in cells if (not image or names(cell.image, image)) and machine in ("", cell.machine)]
    paths = sorted({cell.image for cell in wanted})
    if not wanted:
        has = ", ".join(f"{cell.image} on {cell.machine}" for cell in cells)
        raise UserError(f"run {run.run} has nothing like that", hint=f"it has {has}")
    if image and len(paths) > 1:
        raise UserError(f"run {run.run} has more than one image {image}", hint=f"one of: {', '.join(paths)}")
    made = AcceptedRun(0, run, paths[0] if image else "", machine, reason, who, now())
    row = {"run_id": run.id, "image": made.image, "machine": machine, "reason": reason, "who": who, "when": made.when}
    with history.writing() as connection:
        (number,) = connection.scalars(insert(Baseline).returning(Baseline.id), [row])
    return replace(made, number=number)


def remove(history: History, number: str) -> AcceptedRun:
    """Take a baseline away, and return what it was; UserError when there is none of that number."""
    found = next((one for one in accepted(history) if str(one.number) == number), None)
    if found is None:
        raise UserError(f"the history {history.place.text} has no baseline {number}", hint="harness baseline list")
    with history.writing() as connection:
        connection.execute(delete(Baseline).where(Baseline.id == found.number))
    return found


def accepted(history: History) -> list[AcceptedRun]:
    """Return what was accepted, oldest first."""
    mine = (Baseline.id, Baseline.image, Baseline.machine, Baseline.reason, Baseline.who, Baseline.when)
    query = select(*mine, *HEAD).join(RunRow, RunRow.id == Baseline.run_id).order_by(Baseline.id)
    with history.reading() as connection:
        return [AcceptedRun(row[0], head(row[6:]), *row[1:6]) for row in connection.execute(query)]


def cells(history: History, name: str) -> list[CellFigures]:
    """Return the cells of a baseline: ``latest-baseline`` (for each cell what was accepted last), its number, or a run.

    UserError when there is none.
    """
    known = accepted(history)
    if name == LATEST:
        found = {(cell.image, cell.machine): cell for one in known for cell in _covered(history, one)}
        if not found:
            raise UserError(
                f"the history {history.place.text} has no baseline yet",
                hint="harness baseline accept latest --reason TEXT",
            )
        return list(found.values())
    numbered = next((one for one in known if str(one.number) == name), None)
    return list(_covered(history, numbered)) if numbered else history.cells(history.run(name))


def _covered(history: History, one: AcceptedRun) -> Iterator[CellFigures]:
    return (cell for cell in history.cells(one.run) if one.covers(cell))


def of_results(results: Results) -> list[CellFigures]:
    """Return the cells of a run."""
    return [_figures(results.run, image, row) for image, row in pairs_of(results.cells)]


def _figures(run: str, image: str, row: CellResult) -> CellFigures:
    exact = row.boot.exact
    why = ""
    if not exact.figures:
        why = row.reason.partition("\n")[0] or "no exact boot came to ready"
    elif not row.exact_repeats:
        why = f"two exact boots did not agree{', first in ' if exact.moved else ''}{exact.moved}"
    return CellFigures(
        image,
        row.machine,
        exact={} if why else exact.figures,
        key=exact.key,
        sizes={} if row.size is None else {TOTAL: row.size, **row.sizes},
        why=why,
        run=run,
        cell=row.id,
        inputs=row.inputs,
    )
