"""What a person sees of a run while it goes and when it is over. Nothing here decides anything."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

PIPED_WIDTH = 160  # nobody folds what goes to a file
COLOURS = {"passed": "green", "failed": "red", "not run": "yellow", "incomplete": "yellow"}
VERDICTS = {True: "yes", False: "NO", None: "-"}
BOOTS = {"exact": "exact boots", "wall": "booting", "own": "booting"}


def console(stream: IO[str]) -> Console:
    """Return a rich console: colours and the terminal's width on a terminal, plain wide lines elsewhere."""
    from rich.console import Console

    if stream.isatty():
        return Console(file=stream, highlight=False)
    width = int(os.environ.get("COLUMNS") or PIPED_WIDTH)
    return Console(file=stream, width=width, no_color=True, force_terminal=False, highlight=False)


@dataclass
class Cell:
    """How far a cell is."""

    id: str
    phase: str = "waiting"
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    total: int | None = None

    @property
    def done(self) -> int:
        """How many of its cases have an outcome."""
        return self.passed + self.failed + self.skipped


@dataclass
class Progress:
    """The state of all cells, folded from events; `feed` returns what is worth a line of its own."""

    cells: dict[str, Cell] = field(default_factory=dict)
    building: str = "reading the plan"

    def feed(self, event: Mapping[str, Any]) -> str:
        """Take an event in."""
        kind, cell = event["event"], self.cells.get(event.get("cell", ""))
        if kind == "building":
            self.building = event["text"]
            return f"building {event['text']}"
        if kind == "run":
            self.building = ""
            self.cells = {row["id"]: Cell(row["id"]) for row in event["cells"]}
            for row in event["cells"]:
                if row["problem"]:
                    self.cells[row["id"]].phase = f"not run: {row['problem'].splitlines()[0]}"
            return f"{len(self.cells)} cells"
        if kind == "collected":
            for name, count in event["cases"].items():
                self.cells[name].total = count
        if cell is None:
            return ""
        return getattr(self, f"_{kind.replace(' ', '_')}", _nothing)(cell, event) or ""

    def _booting(self, cell: Cell, event: Mapping[str, Any]) -> None:
        cell.phase = BOOTS[event["what"]]

    def _boot_failed(self, cell: Cell, event: Mapping[str, Any]) -> str:
        cell.phase = f"{event['what']} boot failed"
        return f"{cell.id}: {cell.phase}: {event['message']}"

    def _booted(self, cell: Cell, event: Mapping[str, Any]) -> str:
        cell.phase = "running"
        if event["what"] == "own" or event["ready"] is None:
            return ""
        return f"{cell.id}: ready after {event['ready']:.3f} ms, {event['what']}"

    def _case(self, cell: Cell, event: Mapping[str, Any]) -> str:
        if event["again"]:
            cell.passed -= 1
        setattr(cell, event["outcome"], getattr(cell, event["outcome"]) + 1)
        if cell.total is not None and cell.done >= cell.total:
            cell.phase = "failed" if cell.failed else "passed"
        if event["outcome"] == "failed":
            return f"{cell.id}: FAILED {event['case'].rpartition('::')[2].partition('[')[0]}"
        if cell.phase == "passed":
            return f"{cell.id}: {cell.passed} passed, {cell.skipped} skipped"
        return ""


def _nothing(_: Cell, __: Mapping[str, Any]) -> str:
    return ""


class View:
    """Shows progress on standard error: a live table on a terminal, lines elsewhere."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.console = console(sys.stderr)
        self._live: Live | None = None

    def __enter__(self) -> View:
        if self.console.is_terminal:
            from rich.live import Live

            self._live = Live(console=self.console, transient=True, refresh_per_second=8, get_renderable=self._render)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def feed(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Show what has happened."""
        for event in events:
            line = self.progress.feed(event)
            if line and not self._live:
                self.say(line)

    def say(self, line: str) -> None:
        """Show one line."""
        self.console.print(line, markup=False, soft_wrap=not self.console.is_terminal)

    def _render(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=False, padding=(0, 1))
        if self.progress.building:
            table.add_row(Text(f"building {self.progress.building}"))
        for cell in self.progress.cells.values():
            count = f"{cell.done}/{cell.total}" if cell.total is not None else ""
            style = COLOURS.get(cell.phase.partition(":")[0], "red" if cell.failed else "")
            table.add_row(cell.id, Text(count, justify="right"), Text(cell.phase, style=style))
        return table


def summary(cells: Iterable[Mapping[str, Any]]) -> Table:
    """Return the table that ends a run: a row per image and machine."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1), pad_edge=False)
    table.add_column("image", overflow="fold")
    table.add_column("machine", overflow="fold")
    for name in ("size MB", "exact ms", "wall ms"):
        table.add_column(name, justify="right")
    table.add_column("read-only")
    for name in ("passed", "failed", "skipped"):
        table.add_column(name, justify="right")
    table.add_column("status")
    for row in cells:
        exact = _figure(row["boot"]["exact"]["ready"], 1, 3)
        counts = (str(row["cases"][key]) for key in ("passed", "failed", "skipped"))
        table.add_row(
            row["image"],
            row["machine"],
            _figure(row["size"], 1e6, 2),
            exact if row["exact_repeats"] is not False else f"{exact}?",
            _figure(row["boot"]["wall"]["ready"], 1, 0),
            Text(VERDICTS[row["root_readonly"]], style="red" if row["root_readonly"] is False else ""),
            *counts,
            Text(row["status"], style=COLOURS[row["status"]]),
        )
    return table


def _figure(value: float | None, unit: float, digits: int) -> str:
    return "-" if value is None else f"{value / unit:.{digits}f}"


def failures(cells: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Yield what went wrong, in lines: every failed case with its message and transcript, every cell not run."""
    for row in cells:
        for one in row["failures"]:
            yield ""
            yield f"FAILED {one['case']}"
            yield from (f"  {line}" for line in one["message"].splitlines())
            if one["transcript"] and one["transcript"] not in one["message"]:
                yield f"  transcript: {one['transcript']}"
        if row["reason"]:
            yield ""
            yield f"NOT RUN {row['id']}"
            yield from (f"  {line}" for line in row["reason"].splitlines())
