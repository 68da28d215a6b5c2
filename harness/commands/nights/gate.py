"""What becomes of a matrix's results: they go into the history, and are judged against a baseline."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import EXIT_CASES_FAILED, HarnessError
from harness.measure.floor import Floors
from harness.measure.gate import CellFigures, GateVerdict, Regression, verdicts
from harness.run import results

FILE = "gate.json"
SCHEMA = 1
CAUSES = 5  # shown of one cell


@dataclass(frozen=True)
class After:
    """What to do with the results. ``old``: the cells to compare with, found before anything was booted."""

    keep: bool = True
    where: str | None = None
    against: str | None = None
    old: Sequence[CellFigures] = ()


def prepare(against: str | None, *, keep: bool, where: str | None) -> After:
    """Find what to compare with: a baseline's number, a run, ``latest-baseline``, or a folder with results.

    UserError when there is no such thing.
    """
    return After(keep, where, against, _old(against, where) if against else ())


def _old(against: str, where: str | None) -> list[CellFigures]:
    from harness.history import History, baselines

    path = Path(against)
    if path.exists() or "/" in against:
        return baselines.of_results(results.read(path if path.is_file() else path / "results.json"))
    with History.open(where, create=False) as opened:
        return baselines.cells(opened, against)


def settle(after: After, found: Mapping[str, Any], folder: Path, *, as_json: bool) -> int:
    """Add the results to the history, judge them, and return the exit code: 1 where only the judgement is bad.

    A history that cannot be written is a warning.
    """
    if after.keep:
        try:
            _add(after.where, found)
        except Exception as error:  # noqa: BLE001 -- whatever is wrong there, the results are there and count
            print(f"harness: warning: this run is not in the history: {error}", file=sys.stderr)
    code = int(found["exit"])
    if not after.against:
        return code
    judged = _judged(after, found)
    _write(folder, after.against, judged)
    print("\n".join(lines(after.against, judged)), file=sys.stderr if as_json else sys.stdout)
    return code if passed(judged) else code or EXIT_CASES_FAILED


def _add(where: str | None, found: Mapping[str, Any]) -> None:
    from harness.history import History, outcomes

    with History.open(where) as opened:
        opened.add(found, again=True)  # a run that went on is there as it was before
        outcomes.add(opened, found)


def _judged(after: After, found: Mapping[str, Any]) -> list[GateVerdict]:
    from harness.history import History, baselines
    from harness.history.floors import floors_of

    def judged(floors: Callable[[CellFigures], Floors]) -> list[GateVerdict]:
        return verdicts(after.old, baselines.of_results(found), floors)

    # who compares two folders may have no history at all
    with suppress(HarnessError), History.open(after.where, create=False) as opened:
        return judged(lambda cell: floors_of(opened, cell.image, cell.machine, key=cell.key))
    return judged(lambda _: Floors())


def passed(judged: Sequence[GateVerdict]) -> bool:
    """Return whether nothing is worse; a comparison of nothing with nothing has not passed."""
    return all(one.passed for one in judged) and any(one.compared for one in judged)


def lines(against: str, judged: Sequence[GateVerdict]) -> Iterator[str]:
    """Yield the judgement for people."""
    from harness.show.history_text import Page, amount, part, table

    page = Page.of(sys.stdout)

    def rows(mode: str, found: Sequence[Regression], how: str) -> list[tuple[str, ...]]:
        return [
            (f"{mode} {page.plain(one.figure)}", amount(mode, one.old), page.arrow, amount(mode, one.new),
             amount(mode, one.difference, signed=True), part(one.old, one.new),
             f"floor {amount(mode, one.floor)}{how}")
            for one in found
        ]  # fmt: skip

    yield f"\nagainst {page.plain(against)}:"
    for one in judged:
        how = "" if one.calibrated else ", not calibrated"
        worse = [*rows("exact", one.slower, how), *rows("size", one.larger, "")]
        said = f"{len(worse)} of {one.compared} figures worse" if one.compared else "nothing compared"
        better = f", {len(one.better)} better" if one.better else ""
        yield page.plain(f"{one.image} on {one.machine}: {said}{better}")
        yield from (f"  {line}" for line in table(worse, right=(1, 3, 4, 5)))
        if one.slower and one.causes:
            grew = (f"{page.plain(each.owner)} {amount('exact', each.us, signed=True)}" for each in one.causes[:CAUSES])
            yield f"  of the processor: {', '.join(grew)}"
        if one.unjudged:
            yield page.plain(f"  not judged: {one.unjudged.replace('→', page.arrow)}")
        yield from (f"  {page.plain(note.replace('→', page.arrow))}" for note in one.notes)
    worse_cells = sum(one.answer == "worse" for one in judged)
    unjudged = sum(one.answer == "not judged" for one in judged)
    if worse_cells:
        yield f"FAILED: {worse_cells} of {len(judged)} cells are worse than {page.plain(against)}"
        yield f"what to do: `harness compare {page.plain(against)} latest` shows all of it; mend it, or"
        yield "`harness baseline accept latest --reason TEXT`"
    if unjudged or not judged:
        yield f"FAILED: {unjudged} of {len(judged)} cells could not be compared with {page.plain(against)}"
    if not worse_cells and not passed(judged):
        yield "what to do: `harness baseline accept latest --reason TEXT`"


def _write(folder: Path, against: str, judged: Sequence[GateVerdict]) -> None:
    text = json.dumps(
        {"schema": SCHEMA, "against": against, "passed": passed(judged), "cells": [asdict(one) for one in judged]},
        indent=1,
    )
    try:
        (folder / FILE).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        print(f"harness: warning: cannot write {folder / FILE}: {error.strerror}", file=sys.stderr)
