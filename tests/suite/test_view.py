"""What a person sees of a run: lines or a live table while it goes, and the table that ends it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from harness.run import results
from harness.run.results_model import Results
from harness.show import table
from harness.show.run_view import CellProgress, RunProgress, View, live

PLANNED = {"image": "cases/images/default.yml", "arch": "x86_64", "problem": "", "budget": {}}
NAMES = ("qemu-x86_64", "qemu-arm64", "qemu-s390x")
RUN: dict[str, Any] = {
    "event": "run", "harness": "1", "when": "now", "run": "r", "plan": None, "source": None,
    "cells": [{**PLANNED, "id": f"default-{name}", "machine": name} for name in NAMES],
}  # fmt: skip


def booted(name: str) -> dict[str, Any]:
    facts = {"what": "exact", "ready": 1699.123, "power_on": 1, "figures": {}, "key": {}, "moved": "", "repeats": True}
    return {"event": "booted", "cell": f"default-{name}", "host": {}, **facts}


def case(name: str, outcome: str, instead: str = "") -> dict[str, Any]:
    cell = f"default-{name}" if name else ""
    return {"event": "case", "cell": cell, "case": "test_x.py::test_x[a]", "outcome": outcome, "instead": instead}


def found() -> Results:
    collected = {"event": "collected", "cases": {"default-qemu-x86_64": 1, "default-qemu-arm64": 1, "": 1}}
    outcomes = [case("qemu-x86_64", "passed"), case("qemu-arm64", "failed"), case("", "passed")]
    return results.fold([RUN, booted("qemu-x86_64"), collected, *outcomes, {"event": "end", "code": 1}])


def printed(width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, no_color=True, highlight=False)
    for part in table.summary(found(), console):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_a_row_a_line_and_nothing_cut_at_any_width(width: int) -> None:
    lines = printed(width)
    assert all(len(line) <= width for line in lines)
    assert len(lines) - (width < 100) == 1 + 3 + 1
    statuses = ["passed", "failed", "not selected"]
    assert [line.split("  ")[-1].strip() or "not selected" for line in map(str.rstrip, lines[1:4])] == statuses
    if width >= 60:
        assert "1699.123" in lines[1]
    assert "…" not in "".join(lines)
    assert ("a wider terminal shows more columns" in lines) == (width < 100)


def test_the_widest_table_has_every_column() -> None:
    assert printed(200)[0].split("  ")[0] == "image"
    assert set(table.COLUMNS) == {name for layout in table.LAYOUTS for name in layout}


def fed(*events: dict[str, Any]) -> RunProgress:
    progress = RunProgress()
    for event in events:
        progress.feed(event)
    return progress


def test_progress_counts_like_the_results() -> None:
    collected = {"event": "collected", "cases": {"default-qemu-x86_64": 2, "": 1}}
    progress = fed(
        RUN, collected, case("qemu-x86_64", "skipped"), case("qemu-x86_64", "failed", "skipped"), case("", "failed")
    )
    cell = progress.cells["default-qemu-x86_64"]
    assert (cell.passed, cell.failed, cell.skipped) == (0, 1, 0)
    assert progress.brief() == "2 of 3 cases, 0 of 3 cells, 2 failed"


def test_cells_are_built_and_then_wait() -> None:
    progress = fed(RUN, {"event": "building", "text": "default arm64: kernel"})
    assert progress.brief() == "building default arm64: kernel"
    assert {cell.phase for cell in progress.cells.values()} == {"building"}
    for name, problem in zip(NAMES, ("", "", "no mirror\nat all"), strict=True):
        progress.feed({"event": "built", "cell": f"default-{name}", "problem": problem})
    assert [cell.phase for cell in progress.cells.values()] == ["waiting", "waiting", "not run: no mirror"]
    assert progress.brief() == "collecting the cases"


def test_who_reads_lines_is_never_left_without_a_word_for_long(capsys: pytest.CaptureFixture[str]) -> None:
    view = View()
    start = view._began
    view.feed([RUN, {"event": "collected", "cases": {f"default-{name}": 2 for name in NAMES}}], start)
    view.feed([{"event": "booting", "cell": "default-qemu-arm64", "what": "exact"}], start + 1)
    for later in (1.9, 2, 3, 11.9, 12, 13, 22):
        view.feed([], start + later)
    said = "0 of 6 cases, 0 of 3 cells; now: default-qemu-arm64 (exact boots)"
    assert capsys.readouterr().err.splitlines() == ["3 cells", f"2 s: {said}", f"12 s: {said}", f"22 s: {said}"]


def test_a_live_table_fits_and_keeps_what_is_worth_seeing() -> None:
    cells = {f"cell{number}": CellProgress(f"cell{number}", "passed", passed=1, total=1) for number in range(50)}
    cells["cell20"] = CellProgress("cell20", "failed", failed=1, total=1)
    cells["cell30"] = CellProgress("cell30", "exact boots")
    cells["cell40"] = CellProgress("cell40", "not run: a program with a very long name is not installed on this host")
    console = Console(file=io.StringIO(), width=40, no_color=True, highlight=False)
    console.print(live(cells, 4))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["cell0", "cell20", "cell30", "cell40"]
    assert all(len(line) <= 40 for line in lines)
