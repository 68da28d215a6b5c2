"""A run that goes on after a crash, a reboot or its deadline: cells that have come to a verdict are not repeated."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from harness.errors import UserError
from harness.run import events, results
from harness.run.cells import Cell
from harness.run.folder import CELLS
from harness.run.results import ResultRow
from harness.run.run import RunSettings


def begin(run: RunSettings, cells: Sequence[Cell]) -> Mapping[str, ResultRow]:
    """Tell that the run goes on, and return the results of its finished cells, by id.

    UserError when it is about other cells.
    """
    known = results.fold(events.read(run.folder))["cells"]
    if difference := _difference([cell.facts() for cell in cells], known):
        raise UserError(
            f"the run in {run.folder} is not the one that is asked for: {difference}",
            hint="leave --resume out, or ask for what was begun",
        )
    finished = {row["id"]: row for row in known if row["status"] in results.FINISHED}
    _repeat(run, [cell for cell in cells if cell.id not in finished], cells, finished)
    return finished


def settle(run: RunSettings, cells: Sequence[Cell], finished: Mapping[str, ResultRow]) -> list[Cell]:
    """Return the built cells, those marked that need not run: their image is still what it was."""
    done = {cell.id: cell.folder and cell.built_facts()["files"] == finished[cell.id]["files"]
            for cell in cells if cell.id in finished}  # fmt: skip
    again = [cell for cell in cells if not done.get(cell.id, True)]
    if again:
        kept = {name: row for name, row in finished.items() if done[name]}
        _repeat(run, again, cells, kept)
        for cell in again:
            run.events.tell("built", cell=cell.id, **cell.built_facts())
            run.events.tell("note", text=f"{cell.id} was run again: its image is another one now")
    return [replace(cell, finished=bool(done.get(cell.id))) for cell in cells]


def _repeat(run: RunSettings, again: Iterable[Cell], every: Iterable[Cell], finished: Mapping[str, ResultRow]) -> None:
    again = list(again)
    for cell in again:
        shutil.rmtree(run.folder / CELLS / cell.id, ignore_errors=True)
    run.events.tell(
        "resumed",
        cells=[cell.facts() for cell in again],
        every=[cell.facts() for cell in every],
        finished={name: {"status": row["status"], **row["cases"]} for name, row in finished.items()},
    )


def _difference(wanted: Sequence[ResultRow], known: Sequence[ResultRow]) -> str:
    """Return in words how the cells differ from those that the run began with; empty when they do not."""
    asked, begun = ([row["id"] for row in rows] for rows in (wanted, known))
    if more := sorted(set(asked) - set(begun)):
        return f"it has no {', '.join(more)}"
    if less := sorted(set(begun) - set(asked)):
        return f"it has {', '.join(less)} as well"
    budgets = {row["id"]: row["budget"] for row in known}
    other = sorted(row["id"] for row in wanted if row["budget"] != budgets[row["id"]])
    return f"{', '.join(other)} has another budget" if other else ""
