"""`harness compare A B`: two images, builds, runs or machines side by side, and what makes the difference."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import api
from harness.build.settings import Settings
from harness.commands.runs import compare_exact
from harness.commands.runs.sides import EXITS, NOT_JUDGED, CellComparison, CompareRequest, is_image
from harness.errors import UserError
from harness.files import read_json
from harness.image import MANIFEST
from harness.measure.compare import Comparison, ms, sentence
from harness.measure.floor import Floors
from harness.measure.gate import CellFigures, another_machine, differing
from harness.measure.paired import told
from harness.measure.phases import figures
from harness.measure.waterfalls import DiffRow
from harness.run import results
from harness.run.folder import RESULTS, RunFolder
from harness.system.folder import RECORD, BootFolder
from harness.system.marks import check
from harness.system.record import BootRecord, first_difference

if TYPE_CHECKING:
    from harness.history import History

EXACT = "exact/1"  # the first of a cell's exact boots
SHOWN = 12
LEAST_SHOWN_US = 20


def run(request: CompareRequest, settings: Settings) -> int:
    """Compare and print; return EXIT_OK for the same, EXIT_WORSE, EXIT_BETTER, or EXIT_NOT_JUDGED.

    Where there are several, worse wins, and then what could not be judged.
    """
    names = (request.before, request.after)
    if request.slack and (request.pairs or not all(is_image(name, request) for name in names)):
        raise UserError("what lies in slack is seen in exact boots of two images", hint="two images, and -m MACHINE")
    if request.pairs:
        from harness.commands.runs import compare_wall

        return compare_wall.run(request, settings)
    found = list(_found(request, settings))
    if all(one.unjudged and not one.comparison.changes for one in found):
        raise UserError(
            "nothing could be compared", hint="exact figures that repeat, of the same image on the same machine"
        )
    answers = {one.answer for one in found}
    if request.slack:
        answers |= {change.judgement.answer for one in found for change in one.slack}
    answer = next((name for name in ("worse", NOT_JUDGED, "better") if name in answers), "same")
    if request.as_json:
        print(json.dumps({"answer": answer, "cells": [_json(one) for one in found]}, indent=1))
    else:
        for one in found:
            print("\n".join(lines(one, shutil.get_terminal_size().columns)))
    return EXITS[answer]


def _found(request: CompareRequest, settings: Settings) -> Iterator[CellComparison]:
    names = (request.before, request.after)
    booted = [name for name in names if is_image(name, request)]
    if len(booted) == len(names):
        yield compare_exact.booted(request, settings)
        return
    with Opened(request.history) as opened:
        before, after = ([] if name in booted else _cells(name, opened) for name in names)
        if booted:
            raise UserError(
                "an image cannot be compared with a run", hint="two images (-m MACHINE), two runs or two records"
            )
        yield from _paired(before, after, names, opened)


class Opened:
    """The history, opened when something asks it: who compares two folders may have none."""

    def __init__(self, where: str | None) -> None:
        self._where = where
        self._history: History | None = None

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        if self._history is not None:
            self._history.__exit__()

    def get(self) -> History:
        """Return it; UserError when there is none."""
        from harness.history import History

        if self._history is None:
            self._history = History.open(self._where, create=False)
        return self._history

    def floors(self, image: str, machine: str, key: Mapping[str, str]) -> Floors:
        """Return a cell's floors: not calibrated where there is no history."""
        from harness.history.floors import floors_of

        try:
            return floors_of(self.get(), image, machine, key=key)
        except UserError:
            return Floors(arch=key.get("arch", ""))


def _cells(name: str, opened: Opened) -> list[CellFigures]:
    """Return the cells of a results folder, a boot's record, a run of the history, or a baseline."""
    path = Path(name)
    for file in (path, RunFolder(path).results, BootFolder(path).record):
        if file.is_file() and file.suffix == ".json":
            return _read(file)
    if path.exists():
        raise UserError(f"{name} is neither an image nor results", hint=f"it has no {MANIFEST}, {RESULTS} or {RECORD}")
    from harness.history import baselines

    try:
        return baselines.cells(opened.get(), name)
    except UserError as error:
        hint = "an image (A.yml, A.yml+B.yml, a built folder, a shipped name), a folder of results, a record, or a run"
        raise UserError(f"there is nothing called {name!r} to compare", hint=hint, details=error.message) from None


def _read(file: Path) -> list[CellFigures]:
    from harness.history import baselines

    data = read_json(file)
    if isinstance(data, dict) and "milestones" in data:
        record = BootRecord.from_json(data)
        check(record)
        if record.mode != "exact":
            raise UserError(f"{file} is the record of a wall boot", hint="harness boot --exact makes exact ones")
        return [CellFigures(record.image, record.machine, exact=figures(record), key=record.key, record=record)]
    found = baselines.of_results(results.of_json(data, str(file)))
    return [replace(one, record=_record(RunFolder(file.parent), one.cell)) for one in found]


def _record(run: RunFolder, cell: str) -> BootRecord | None:
    """Return the record of a cell's first exact boot; None where the run's folder does not have it."""
    path = run.boot(cell, EXACT).record
    return BootRecord.from_json(read_json(path)) if cell and path.is_file() else None


def differences(old: CellFigures, new: CellFigures) -> str:
    """Say in what two cells' keys differ, and the first input of their boots that differs; empty when none does."""
    found = [differing(old.key, new.key)]
    if old.record and new.record and (first := first_difference(old.record, new.record)):
        found.append(f"first of all inputs {first}")
    return "; ".join(filter(None, found))


def _paired(
    before: Sequence[CellFigures], after: Sequence[CellFigures], names: tuple[str, str], opened: Opened
) -> Iterator[CellComparison]:
    # two single cells are compared whatever they are called; of more, those of one name
    if len(before) == len(after) == 1:
        pairs = [(before[0], after[0])]
    else:
        known = {(cell.image, cell.machine): cell for cell in before}
        pairs = [(known[key], cell) for cell in after if (key := (cell.image, cell.machine)) in known]
    if not pairs:
        raise UserError("the two have no cell in common", hint="a cell is an image on a machine")
    for old, new in pairs:
        if why := old.why or new.why:
            yield CellComparison(f"{new.image} on {new.machine}", names, api.compare({}, {}), "", unjudged=why)
            continue
        floors = opened.floors(old.image, old.machine, old.key)
        found = api.compare(old.exact, new.exact, floors=floors)
        yield CellComparison(f"{new.image} on {new.machine}", names, found, differences(old, new), floors.calibrated,
                             unjudged=another_machine(old.key, new.key))  # fmt: skip


def lines(found: CellComparison, width: int) -> Iterator[str]:
    """Yield one comparison for people: inputs, the figures that moved, who uses the processor, then one sentence."""
    one = found.comparison
    yield f"{found.cell}:"
    if found.differ:
        yield f"  what differs: {found.differ}"
    if found.diff:
        yield from _waterfalls(found.diff, width)
    changes = [] if found.diff else [change for change in one.changes if change.us][:SHOWN]
    if changes:
        name = max(12, min(max(len(change.figure) for change in changes), width - 50))
        yield f"  {'figure':{name}} {'before':>11} {'after':>11} {'change ms':>11}"
    for change in changes:
        share = f"{100 * change.us / change.before:+.2f}%" if change.before and change.after is not None else ""
        yield (f"  {cut(change.figure, name):{name}} {_ms(change.before):>11} {_ms(change.after):>11} "
               f"{change.us / 1000:+11.3f} {share:>8}")  # fmt: skip
    yield from _who(one, width)
    if found.paired is None and one.total is not None and one.total.us:
        yield f"  floor of {one.total.figure}: {ms(one.total.floor)} ({'' if found.calibrated else 'not '}calibrated)"
    yield _sentence(found)
    yield from (f"{change.sentence}." for change in found.slack)


def _waterfalls(rows: Sequence[DiffRow], width: int) -> Iterator[str]:
    """Yield two waterfalls side by side: every phase, and who had more or less of the processor in it."""
    labels = [f"{'  ' * row.depth}{row.name}{f' ({row.place})' if row.place else ''}" for row in rows]
    name = max(22, min(max(map(len, labels)), width - 50))
    yield f"  {'in the order of time':{name}} {'before':>11} {'after':>11} {'change ms':>11}"
    for label, row in zip(labels, rows, strict=True):
        yield f"  {cut(label, name):{name}} {_ms(row.before):>11} {_ms(row.after):>11} {row.us / 1000:+11.3f}"


def _sentence(found: CellComparison) -> str:
    """Say what the comparison found: by pairs of boots, or by single ones."""
    if found.unjudged:
        return f"not judged: {found.unjudged}."
    if found.paired is None:
        return sentence(found.comparison, *found.names)
    return told(found.paired, found.names, found.arch, found.because)


def _who(one: Comparison, width: int) -> Iterator[str]:
    causes = [cause for cause in one.causes if not cause.span and (abs(cause.us) >= LEAST_SHOWN_US or cause.renamed)]
    causes = causes[:SHOWN]  # a phase is among the figures
    if not causes:
        return
    labels = [f"{cause.owner} (was {cause.renamed})" if cause.renamed else cause.owner for cause in causes]
    name = max(22, min(max(map(len, labels)), width - 50))
    yield f"  {'who uses the processor':{name}} {'before':>11} {'after':>11} {'change ms':>11}    share"
    for label, cause in zip(labels, causes, strict=True):
        share = "" if cause.share is None else f"{100 * cause.share:.0f}%"
        yield (f"  {cut(label, name):{name}} {_ms(cause.before):>11} {_ms(cause.after):>11} "
               f"{cause.us / 1000:+11.3f} {share:>8}")  # fmt: skip


def cut(text: str, width: int) -> str:
    """Return a name that is no wider than its column."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _ms(us: int | None) -> str:
    return "-" if us is None else ms(us).removesuffix(" ms")


def _json(found: CellComparison) -> dict[str, Any]:
    one = found.comparison
    rows = [{"figure": change.figure, "before": change.before, "after": change.after, "us": change.us,
             "floor": change.floor, "counts": change.counts} for change in one.changes]  # fmt: skip
    causes = [{**asdict(cause), "us": cause.us} for cause in one.causes]
    return {"cell": found.cell, "answer": found.answer, "unjudged": found.unjudged,
            "culprit": one.culprit.owner if one.culprit else None,
            "differ": found.differ, "calibrated": found.calibrated,
            "paired": asdict(found.paired) if found.paired else None,
            "slack": [{**asdict(change), "sentence": change.sentence} for change in found.slack],
            "waterfall": [{**asdict(row), "us": row.us} for row in found.diff],
            "sentence": _sentence(found), "changes": rows, "causes": causes}  # fmt: skip
