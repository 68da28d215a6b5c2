"""What becomes of a run once its cases are over: it is judged, shown, and put into the history."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from harness.commands.nights import gate, pairing, views, watch
from harness.run import results
from harness.run.changes import RunChange
from harness.run.folder import RunFolder
from harness.run.results_model import Results


def settle(
    after: gate.After,
    baseline: gate.GateBaseline,
    folder: RunFolder,
    found: Results,
    *,
    ended: bool,
    as_json: bool,
    pair: pairing.Pairer = pairing.not_here,
    first: Callable[[], Iterable[str]] = tuple,
) -> tuple[Results, list[RunChange]]:
    """Judge a run and leave everything that shows its outcome; return its results, and what has changed since.

    `ended`: something ended it before its first case. All of that is written before the history is touched, and once
    more when the history could not be had. `pair` judges the cells beside the baseline's. `first` is done before the
    run is added to the history, and yields notes.
    """
    with watch.uninterrupted():
        judged = pair(gate.beside(after, baseline, found)) if after.against and not ended else []
        if after.against and not ended:
            by_cell = gate.cells(judged, baseline, found)
            cells = {name: one.model_dump(mode="json") for name, one in by_cell.items()}
            folder.events.tell("gate", against=after.against, cells=cells)
            gate.write(folder, after.against, judged)
        if baseline.problem:
            folder.events.tell("history", problem=baseline.problem)
        found, changed = left(folder)
        if not ended and not as_json:
            views.show(found, changed, folder, gate.lines(after.against, judged) if after.against else ())
    if after.keep and not ended:
        notes, problem = [], f"{gate.NOT_THERE}: interrupted"
        with suppress(KeyboardInterrupt), watch.interruptible():
            notes = _done(first)
            problem = gate.remember(after, found)
        for note in notes:
            folder.events.tell("note", text=note)
        if problem:
            folder.events.tell("history", problem=problem)
        if notes or problem:
            with watch.uninterrupted():
                found, changed = left(folder)
    with watch.uninterrupted():
        views.conclude(found, changed, folder, as_json=as_json, quiet=ended)
    return found, changed


def _done(first: Callable[[], Iterable[str]]) -> list[str]:
    """Do what comes before the history; whatever is wrong there, the run is added all the same."""
    try:
        return list(first())
    except Exception as error:  # noqa: BLE001 -- it is for later nights, and this one's results are there
        return [f"what comes before the history went wrong: {type(error).__name__}: {error}"]


def left(folder: RunFolder) -> tuple[Results, list[RunChange]]:
    """Write the results and all that shows them, from the run's events; return them and what has changed."""
    found = results.fold(folder.read_events())
    changed = views.since(found, folder)
    folder.write_results(found)
    views.write(found, folder, changed)
    return found, changed
