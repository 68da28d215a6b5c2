"""A run that goes on after a crash, a reboot or its deadline: cells that have come to a verdict are not repeated."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from harness.errors import UserError
from harness.run import results
from harness.run.cells import Cell
from harness.run.results_model import FINISHED, CellResult
from harness.run.run import RunSettings


def begin(run: RunSettings, cells: Sequence[Cell]) -> Mapping[str, CellResult]:
    """Tell that the run goes on, and return the results of its finished cells, by id.

    UserError when it is about other cells.
    """
    known = results.fold(run.folder.read_events()).cells
    if difference := _difference(cells, known):
        raise UserError(
            f"the run in {run.folder} is not the one that is asked for: {difference}",
            hint="leave --resume out, or ask for what was begun",
        )
    finished = {row.id: row for row in known if row.status in FINISHED}
    _repeat(run, [cell for cell in cells if cell.id not in finished], cells, finished)
    return finished


def settle(run: RunSettings, cells: Sequence[Cell], finished: Mapping[str, CellResult]) -> list[Cell]:
    """Return the built cells, those marked that need not run: their image is still what it was."""
    done = {cell.id: cell.folder and cell.built_facts()["files"] == finished[cell.id].files
            for cell in cells if cell.id in finished}  # fmt: skip
    again = [cell for cell in cells if not done.get(cell.id, True)]
    if again:
        kept = {name: row for name, row in finished.items() if done[name]}
        _repeat(run, again, cells, kept)
        for cell in again:
            run.events.tell("built", cell=cell.id, **cell.built_facts())
            run.events.tell("note", text=f"{cell.id} was run again: its image is another one now")
    return [replace(cell, finished=bool(done.get(cell.id))) for cell in cells]


def _repeat(run: RunSettings, again: Iterable[Cell], every: Iterable[Cell], finished: Mapping[str, CellResult]) -> None:
    again = list(again)
    for cell in again:
        shutil.rmtree(run.folder.cell(cell.id), ignore_errors=True)
    run.events.tell(
        "resumed",
        cells=[cell.facts() for cell in again],
        every=[cell.facts() for cell in every],
        finished={name: {"status": row.status, **row.cases.counts} for name, row in finished.items()},
    )


def _difference(wanted: Sequence[Cell], known: Sequence[CellResult]) -> str:
    """Return in words how the cells differ from those that the run began with; empty when they do not."""
    asked, begun = {cell.id for cell in wanted}, {row.id for row in known}
    if more := sorted(asked - begun):
        return f"it has no {', '.join(more)}"
    if less := sorted(begun - asked):
        return f"it has {', '.join(less)} as well"
    budgets = {row.id: row.budget for row in known}
    other = sorted(cell.id for cell in wanted if cell.budget != budgets[cell.id])
    return f"{', '.join(other)} has another budget" if other else ""
