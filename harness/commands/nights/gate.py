"""What becomes of a matrix's results: they go into the history, and are judged against a baseline."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import HarnessError, HostError
from harness.files import write_json
from harness.measure.floor import Floors
from harness.measure.gate import CellFigures, GateCell, GatePairs, GateVerdict, Regression, gate_cells
from harness.patience import HISTORY_S, within
from harness.run import results
from harness.run.folder import RunFolder, results_file
from harness.run.results_model import BETTER, NOT_JUDGED, NOT_PAIRED, WORSE, CellGate, PairedTimes, Results
from harness.show.frame import progress

SCHEMA = 1
CAUSES = 5  # shown of one cell
NOT_THERE = "this run is not in the history (`harness history import` of its folder adds it later)"
WAITS = "this run is not in the history yet: the next one that reaches it adds it"


@dataclass(frozen=True)
class After:
    """What to do with the results: put them into the history at ``where``, compare them with ``against``."""

    keep: bool = True
    where: str | None = None
    against: str | None = None


@dataclass(frozen=True)
class GateBaseline:
    """The cells to compare with, found before anything was booted; ``problem`` says why they could not be asked for."""

    cells: Sequence[CellFigures] = ()
    problem: str = ""
    of_folder: bool = False


def prepare(after: After) -> GateBaseline:
    """Find what to compare with: a baseline's number, a run, ``latest-baseline``, or a folder with results.

    UserError when there is no such thing. A history that cannot be had tonight ends no night: nothing can be
    compared then, and the outcome says so.
    """
    if not after.against:
        return GateBaseline()
    from harness.history import History, baselines

    path = Path(after.against)
    if path.exists() or "/" in after.against:
        return GateBaseline(baselines.of_results(results.read(results_file(path))), of_folder=True)
    try:
        opened = within(HISTORY_S, "the history", lambda: History.open(after.where, create=False))
    except HarnessError as error:
        return GateBaseline(problem=error.message)
    with opened:
        try:
            return GateBaseline(within(HISTORY_S, "the history", lambda: baselines.cells(opened, str(after.against))))
        except HostError as error:
            return GateBaseline(problem=error.message)


def beside(after: After, baseline: GateBaseline, found: Results) -> list[GateCell]:
    """Put a run's cells beside the baseline's, in the order of the results."""
    from harness.history import History, baselines
    from harness.history.floors import floors_of

    def put(results: Results, floors: Callable[[CellFigures], Floors]) -> list[GateCell]:
        return gate_cells(baseline.cells, baselines.of_results(results), floors)

    def by_history() -> list[GateCell]:
        with History.open(after.where, create=False) as opened:
            mine = found if baseline.of_folder else opened.as_known(found)
            return put(mine, lambda cell: floors_of(opened, cell.image, cell.machine, key=cell.key))

    with suppress(HarnessError):  # who compares two folders may have no history at all
        return within(HISTORY_S, "the history", by_history)
    return put(found, lambda cell: Floors(arch=cell.key.get("arch", "")))


def cells(judged: Sequence[GateVerdict], baseline: GateBaseline, found: Results) -> dict[str, CellGate]:
    """Return what the comparison came to, by cell."""
    pairs = zip(found.cells, judged, strict=True)
    return {row.id: _cell(one, baseline.problem) for row, one in pairs}


def _cell(one: GateVerdict, problem: str) -> CellGate:
    if problem:
        return CellGate(judged=NOT_JUDGED, reasons=(problem,))
    why = (one.unjudged,) if one.unjudged else ()
    said = (one.pairs.sentence,) if one.pairs and one.pairs.judgement.answer == one.answer else ()
    said = (*said, *(one.pairs.slack if one.pairs else ()))
    moved = {WORSE: (*said, *_moved("exact", one.slower), *_moved("size", one.larger)),
             BETTER: (*said, *(each.figure for each in one.better))}  # fmt: skip
    return CellGate(judged=one.answer, reasons=(*moved.get(one.answer, ()), *why), base=one.base, by=one.by,
                    unpaired=one.unpaired, pairs=_pairs(one.pairs))  # fmt: skip


def _pairs(found: GatePairs | None) -> PairedTimes | None:
    if found is None:
        return None
    one = found.judgement
    mean, low, high = (round(us / 1000, 4) for us in (one.mean_us, one.low_us, one.high_us))
    return PairedTimes(answer=one.answer, mean=mean, low=low, high=high, pairs=one.pairs, sentence=found.sentence)


def _moved(mode: str, found: Sequence[Regression]) -> Iterator[str]:
    from harness.show.history_text import amount

    for one in found:
        yield f"{mode} {one.figure} {amount(mode, one.difference, signed=True)} (floor {amount(mode, one.floor)})"


def try_history(after: After) -> str:
    """Return why the history of a server does not answer as a night begins; empty where it does, or is a file."""
    if not after.keep:
        return ""
    from harness.history import History
    from harness.history.place import find

    if find(after.where).file is not None:
        return ""
    try:
        within(HISTORY_S, "the history", lambda: History.open(after.where)).engine.dispose()
    except HostError as error:
        return f"{error.message}: the run will wait in a file until it answers"
    return ""


def remember(after: After, found: Results) -> str:
    """Add a run to the history, and those that wait for it; return why that could not be done, empty when it is there.

    Of a server's history the run waits then, in a file, for the next that reaches it.
    """
    from harness.history import History, keeping, spool

    def add() -> None:
        with History.open(after.where) as opened:
            for said in spool.take_in(opened, after.where):
                progress(said)
            keeping.keep(opened, found, again=True)  # a run that went on is there as it was before

    try:
        within(HISTORY_S, "the history", add)
    except KeyboardInterrupt:
        return f"{NOT_THERE}: interrupted"
    except HostError as error:
        return f"{_waits(after, found)}: {error}"
    except Exception as error:  # noqa: BLE001 -- whatever is wrong there, the results are there and count
        return f"{NOT_THERE}: {error}"
    return ""


def _waits(after: After, found: Results) -> str:
    """Let a run wait for the history of a server, and say so; what cannot be kept is to be imported by hand."""
    from harness.history import spool
    from harness.history.place import find

    try:
        if find(after.where).file is not None:
            return NOT_THERE
        return f"{WAITS} ({spool.keep(after.where, found)})"
    except (HarnessError, OSError):
        return NOT_THERE


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
        slower = one.pairs is not None and one.pairs.judgement.answer == "worse"
        said = f"slower; {said}" if slower else said
        better = f", {len(one.better)} better" if one.better else ""
        yield page.plain(f"{one.image} on {one.machine}: {said}{better}")
        if one.differ:
            yield page.plain(f"  what differs: {'; '.join(one.differ).replace('→', page.arrow)}")
        yield from (f"  {line}" for line in table(worse, right=(1, 3, 4, 5)))
        if one.pairs:
            yield page.plain(f"  by pairs of boots: {one.pairs.sentence}")
            yield from (f"  by pairs of boots: {page.plain(slow)}" for slow in one.pairs.slack)
        if (one.slower or slower) and one.causes:
            grew = (f"{page.plain(each.owner)} {amount('exact', each.us, signed=True)}" for each in one.causes[:CAUSES])
            yield f"  of {'each phase' if one.causes[0].span else 'the processor'}: {', '.join(grew)}"
        if one.unjudged:
            yield page.plain(f"  not judged: {one.unjudged.replace('→', page.arrow)}")
        yield from (f"  {page.plain(note.replace('→', page.arrow))}" for note in one.notes)
        if one.unpaired:
            yield page.plain(f"  by the floor of single boots; {NOT_PAIRED}: {one.unpaired}")
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


def write(folder: RunFolder, against: str, judged: Sequence[GateVerdict]) -> None:
    """Write what was compared, figure by figure."""
    cells = [asdict(one) for one in judged]
    write_json(folder.gate, {"schema": SCHEMA, "against": against, "passed": passed(judged), "cells": cells})
