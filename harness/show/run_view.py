"""What a person sees of a run while it goes and when it is over. Nothing here decides anything."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from harness.run.outcome import LAB
from harness.run.results import case_of
from harness.run.results_model import CaseFailure, Results
from harness.show.inert import inert
from harness.show.waiting import AGAIN_S, SILENT_S, quiet

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.table import Table

PIPED_WIDTH = 1000  # nobody folds what goes to a file
COLOURS = {
    "passed": "green", "failed": "red", "lab failed": "magenta", "not run": "yellow", "incomplete": "yellow",
    "not selected": "dim",
}  # fmt: skip
BOOTS = {"exact": "exact boots", "steps": "explained boot", "wall": "booting", "own": "booting"}
MOST_REASONS = 20
COUNTS = ("passed", "failed", "skipped", "known")
BUILDING, WAITING = "building", "waiting"
# what a full terminal shows last, the least worth knowing at the end
INTEREST = ("failed", "lab failed", *BOOTS.values(), "running", BUILDING, "not run", WAITING, "not selected", "passed")


def console(stream: IO[str]) -> Console:
    """Return a rich console: colours and the terminal's width on a terminal, plain wide lines elsewhere."""
    from rich.console import Console, ConsoleDimensions

    if stream.isatty():
        made = Console(file=stream, highlight=False)
        if made.is_dumb_terminal:  # of which rich believes that it has 80 columns
            made.size = ConsoleDimensions(*shutil.get_terminal_size())  # a width alone is not believed
        return made
    width = int(os.environ.get("COLUMNS") or PIPED_WIDTH)
    return Console(file=stream, width=width, no_color=True, force_terminal=False, highlight=False)


@dataclass
class CellProgress:
    """How far a cell is."""

    id: str
    phase: str = WAITING
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    known: int = 0
    others: int = 0  # outcomes of other plugins
    labs: int = 0  # of the failed: by the machine's or this host's fault
    total: int | None = None

    @property
    def done(self) -> int:
        """How many of its cases have an outcome."""
        return self.passed + self.failed + self.skipped + self.known + self.others

    @property
    def word(self) -> str:
        """Its phase without the reason."""
        return self.phase.partition(":")[0]

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.word in COLOURS

    def _add(self, outcome: str, number: int) -> None:
        name = outcome if outcome in COUNTS else "others"  # those of other plugins
        setattr(self, name, getattr(self, name) + number)

    def count(self, event: Mapping[str, Any]) -> None:
        """Take in a case's outcome."""
        if event["instead"]:
            self._add(event["instead"], -1)
        self._add(event["outcome"], 1)
        self.labs += event["outcome"] == "failed" and event.get("whose") in LAB


@dataclass
class RunProgress:
    """The state of all cells, folded from events; `feed` returns what is worth a line of its own."""

    cells: dict[str, CellProgress] = field(default_factory=dict)
    other: CellProgress = field(default_factory=lambda: CellProgress("", total=0))  # cases without a cell
    doing: str = "reading the plan"  # before the first case

    def feed(self, event: Mapping[str, Any]) -> str:
        """Take an event in."""
        kind, cell = event["event"], self.cells.get(event.get("cell", ""))
        if kind == "case" and cell is None:
            self.other.count(event)
            return f"FAILED {event['case']}" if event["outcome"] == "failed" else ""
        take = getattr(self, f"_{kind.replace(' ', '_')}", _nothing)
        return (take(event) if cell is None else take(cell, event)) or ""

    def brief(self) -> str:
        """Return in one line how far all is."""
        if self.doing:
            return self.doing
        every = [*self.cells.values(), self.other]
        cases = f"{sum(cell.done for cell in every)} of {sum(cell.total or 0 for cell in every)} cases"
        cells = f"{sum(cell.is_over for cell in self.cells.values())} of {len(self.cells)} cells"
        failed = sum(cell.failed for cell in every)
        return f"{cases}, {cells}" + (f", {failed} failed" if failed else "")

    def booting(self) -> str:
        """Return which cells are booting, as one more part of a line."""
        names = [f"{cell.id} ({cell.phase})" for cell in self.cells.values() if cell.phase in BOOTS.values()]
        return f"; now: {', '.join(names)}" if names and not self.doing else ""

    def _building(self, event: Mapping[str, Any]) -> str:
        self.doing = f"building {event['text']}"
        return self.doing

    def _run(self, event: Mapping[str, Any]) -> str:
        self.cells = {row["id"]: CellProgress(row["id"], BUILDING) for row in event["cells"]}
        for row in event["cells"]:
            self._not_run(self.cells[row["id"]], row["problem"])
        return f"{len(self.cells)} {'cell' if len(self.cells) == 1 else 'cells'}"

    def _resumed(self, event: Mapping[str, Any]) -> str:
        self._run({"cells": event["every"]})
        for name, row in event["finished"].items():
            cell = self.cells[name]
            cell.phase = row["status"]
            cell.passed, cell.failed, cell.skipped, cell.known = (row[key] for key in COUNTS)
            cell.others = sum(count for key, count in row.items() if key not in (*COUNTS, "status"))
            cell.total = cell.done
        left = len(self.cells) - len(event["finished"])
        return f"going on: {left} of {len(self.cells)} cells are left"

    def _not_run(self, cell: CellProgress, problem: str) -> str:
        if not problem:
            return ""
        cell.phase = f"not run: {problem.splitlines()[0]}"
        return f"{cell.id}: {cell.phase}"

    def _built(self, cell: CellProgress, event: Mapping[str, Any]) -> str:
        cell.phase = WAITING
        said = self._not_run(cell, event["problem"])
        if not any(one.phase == BUILDING for one in self.cells.values()):
            self.doing = "collecting the cases"
        return said

    def _collected(self, event: Mapping[str, Any]) -> None:
        self.doing = ""
        self.other.total = event["cases"].get("", self.other.total)
        for cell in self.cells.values():
            if cell.word in ("passed", "failed"):
                continue
            if cell.id in event["cases"] or cell.total is None:  # each host of a cluster tells of its cells
                cell.total = event["cases"].get(cell.id)
            if cell.phase == WAITING and not cell.total:
                cell.phase = "not selected"

    def _repeated(self, cell: CellProgress, event: Mapping[str, Any]) -> str:
        said = (event["message"].splitlines() or [""])[0]
        return f"{cell.id}: repeating {case_of(event['case'], cell.id)}, for {event['whose']} failed: {said}"

    def _lost(self, cell: CellProgress, event: Mapping[str, Any]) -> str:
        self.cells[cell.id] = CellProgress(cell.id, WAITING, total=cell.total)
        return f"{cell.id}: {event['message']}: it begins anew"

    def _booting(self, cell: CellProgress, event: Mapping[str, Any]) -> None:
        cell.phase = BOOTS[event["what"]]

    def _boot_failed(self, cell: CellProgress, event: Mapping[str, Any]) -> str:
        cell.phase = f"{event['what']} boot failed"
        return f"{cell.id}: {cell.phase}: {event['message']}"

    def _booted(self, cell: CellProgress, event: Mapping[str, Any]) -> str:
        cell.phase = "running"
        if event["what"] == "own" or event["ready"] is None:
            return ""
        return f"{cell.id}: ready after {event['ready']:.3f} ms, {event['what']}"

    def _case(self, cell: CellProgress, event: Mapping[str, Any]) -> str:
        cell.count(event)
        if cell.total is not None and cell.done >= cell.total:
            cell.phase = "passed" if not cell.failed else "lab failed" if cell.failed == cell.labs else "failed"
        if event["outcome"] == "failed":
            return f"{cell.id}: FAILED {case_of(event['case'], cell.id)}"
        if cell.phase == "passed":
            known = f", {cell.known} known to fail" if cell.known else ""
            return f"{cell.id}: {cell.passed} passed, {cell.skipped} skipped{known}"
        return ""


def _nothing(*_: object) -> str:
    return ""


class View:
    """Shows progress on standard error: a live table on a terminal, lines elsewhere."""

    def __init__(self) -> None:
        self.progress = RunProgress()
        self.console = console(sys.stderr)
        self._live: Live | None = None
        self._said = self._began = time.monotonic()
        self._reminded = False
        self._quiet = quiet()

    def __enter__(self) -> View:
        self._quiet.__enter__()
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            from rich.live import Live

            self._live = Live(console=self.console, transient=True, refresh_per_second=4, get_renderable=self._render)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
        self._quiet.__exit__(None, None, None)

    def feed(self, events: Iterable[Mapping[str, Any]], now: float) -> None:
        """Show what has happened; where lines are read, that the run goes on when nothing has for a while.

        `now` is in seconds of the monotonic clock.
        """
        for event in events:
            line = self.progress.feed(event)
            if line and (not self._live or event.get("outcome") == "failed" or event["event"] == "boot failed"):
                self.say(line)
                self._said, self._reminded = now, False
        if not self._live and now - self._said >= (AGAIN_S if self._reminded else SILENT_S):
            self.say(f"{now - self._began:.0f} s: {self.progress.brief()}{self.progress.booting()}")
            self._said, self._reminded = now, True

    def say(self, line: str) -> None:
        """Show one line."""
        self.console.print(inert(line), markup=False, soft_wrap=not self.console.is_terminal)

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        head = f"{time.monotonic() - self._began:.0f} s: {self.progress.brief()}"
        return Group(Text(head, overflow="ellipsis", no_wrap=True), live(self.progress.cells, self.console.height - 2))


def live(cells: Mapping[str, CellProgress], height: int) -> Table:
    """Return the table of a run that goes on, at most `height` rows: what has ended well is left out first."""
    from rich.table import Table
    from rich.text import Text

    order = sorted(cells.values(), key=lambda cell: INTEREST.index(cell.word) if cell.word in INTEREST else 0)
    kept = {cell.id for cell in order[: max(height, 1)]}
    table = Table(box=None, show_header=False, padding=(0, 1), pad_edge=False)
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True, justify="right")
    table.add_column()  # the only one that gives way
    for cell in cells.values():
        if cell.id in kept:
            count = f"{cell.done}/{cell.total}" if cell.total is not None else ""
            style = "red" if cell.failed else COLOURS.get(cell.word, "")
            table.add_row(cell.id, count, Text(cell.phase, style=style, no_wrap=True, overflow="ellipsis"))
    return table


def failures(results: Results) -> Iterable[str]:
    """Yield what went wrong, in lines: every failed case with its message and transcript, every cell not run."""
    for row in results.cells:
        yield from _failed(row.failures)
        for one in row.known:
            yield f"KNOWN {one.case}: {one.known.removeprefix('known ')}"
        for one in row.passes:
            yield f"PASSES {one.case}, though {one.known}: take it out of the plan"
        for failure in row.repeated:
            yield f"REPEATED {failure.case}, for it failed by the fault of {failure.whose}:"
            yield from (f"  {line}" for line in failure.message.splitlines())
        if row.reason:
            yield ""
            yield f"NOT RUN {row.id}"
            yield from (f"  {line}" for line in row.reason.splitlines())
        yield from (f"DID NOT RUN {case}" for case in row.unrun)
    yield from _failed(results.other.failures)
    yield from (f"DID NOT RUN {case}" for case in results.other.unrun)
    yield from (f"NOTE {text}" for text in results.notes)


def _failed(failures: Iterable[CaseFailure]) -> Iterable[str]:
    for one in failures:
        yield ""
        lab = f", by the fault of {one.whose}" if one.whose in LAB else ""
        yield f"FAILED {one.case}{lab}"
        yield from (f"  {line}" for line in one.message.splitlines())
        if one.transcript and one.transcript not in one.message:
            yield f"  transcript: {one.transcript}"


def verdict(results: Results) -> Iterable[str]:
    """Yield the run's outcome in lines, the one that counts last."""
    found = results.outcome
    if found.reasons:
        yield ""
        yield from found.reasons[:MOST_REASONS]
        if len(found.reasons) > MOST_REASONS:
            yield f"and {len(found.reasons) - MOST_REASONS} more: see the report"
    yield f"outcome: {found.headline} (exit {found.exit})"
