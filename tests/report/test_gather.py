"""What the page over time takes out of a history: whole lines as numbers, and what stood behind their changes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made import FIGURES, SIZES, cell, results, run

from harness.commands.nights import views
from harness.commands.runs import report as command
from harness.errors import UserError
from harness.history import History, whole
from harness.history.trends import trend
from harness.measure.floor import Floors
from harness.report import chart as charts
from harness.report import gather, overtime
from harness.report.chart import ChartLine, FigureMove
from harness.run import results as folded
from harness.run.folder import RunFolder

KEY = {"machine": "virt", "qemu": "7.2.22", "cmdline": "quiet"}


def at(number: int, *, exact: dict[str, int] | None = None, size: int = 0, qemu: str = "7.2.22", **changes: Any) -> Any:
    """Results of the run of that number, a day each."""
    figures = {**FIGURES, **(exact or {})}
    boot = {"exact": {"ready": 318.718, "power_on": 93.414, "figures": figures, "key": {**KEY, "qemu": qemu}},
            "wall": {"ready": 3000.0 + number % 7, "key": KEY}}  # fmt: skip
    sizes = {**SIZES, "services/web": 3_000_000 + size}
    row = cell(boot=boot, sizes=sizes, size=sum(sizes.values()), spec=f"{number // 90:064x}", **changes)
    source = {"commit": f"{number // 10:040x}", "subject": f"Change {number // 10}", "changed": False}
    when = f"20{number // 336 + 10:02}-{number // 28 % 12 + 1:02}-{number % 28 + 1:02}T00:00:00Z"
    return results(row, run=f"{number:032x}", when=when, source=source)


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Three hundred runs: slower at 100 by the kernel, larger at 150 by web, another QEMU from 200 on."""
    from harness.history.record import of_results

    slow = {"total": 432_132, "ready": 338_718, "kernel": 191_556}
    made = History.open(str(tmp_path / "history.db"))
    made.add_all(
        of_results(folded.of_json(
            at(number, exact=slow if number >= 100 else None, size=500_000 if number >= 150 else 0,
               qemu="8.0" if number >= 200 else "7.2.22"), "a test's")) for number in range(300)
    )  # fmt: skip
    return made


def test_what_is_thinned_is_drawn_as_what_is_whole(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "MOST", 40)
    monkeypatch.setattr(charts.thinned, "__defaults__", (40, ()))
    lines, _ = gather.gather(history)
    assert [(line.series.mode, line.series.figure, line.count) for line in lines] == [
        ("exact", "total", 100), ("exact", "total", 200), ("wall", "ready", 300), ("size", "total", 300)]  # fmt: skip
    for figures in (lines[:2], lines[2:3], lines[3:]):
        heads = [replace(line.series, points=()) for line in figures]
        full = [trend(history.values(head), Floors()) for head in heads]
        same = [ChartLine(one.series, one.changes, one.floor, mean=line.mean)
                for one, line in zip(full, figures, strict=True)]  # fmt: skip
        few, many = charts.chart(figures), charts.chart(same, most=40 * len(figures))
        for name in ("levels", "marks", "borders", "up", "count"):
            assert getattr(few, name) == getattr(many, name), name
        # dates are those of points that are there
        assert [few.across[0], few.across[-1]] == [many.across[0], many.across[-1]] and len(few.across) == 5
        assert few.paths == many.paths and few.drawn == many.drawn
    assert sum(len(line.series.points) for line in lines) < 100


@pytest.mark.slow
def test_changes_are_told_with_what_moved_and_what_was_changed(history: History) -> None:
    lines, parts = gather.gather(history)
    old = lines[1]
    assert [(one.before, one.after) for one in old.changes] == [(412_132, 432_132)]
    (change,) = old.changes
    assert old.places[change.index] == 100 and old.places[change.index - 1] == 99
    assert old.series.points[change.index].subject == "Change 10"
    assert old.causes == {change.index: (FigureMove("kernel", 20_000),)}
    assert old.key["qemu"] == "7.2.22" and lines[0].key["qemu"] == "8.0"
    size = lines[3]
    assert size.causes == {size.changes[0].index: (FigureMove("services/web", 500_000),)}
    names = [(line.series.mode, line.series.figure) for line in parts]
    assert names == [*(("exact", name) for name in FIGURES if name not in ("total", "ready")),
                     *(("size", name) for name in SIZES)]  # fmt: skip
    assert {line.count for line in parts if line.series.mode == "exact"} == {100}  # of the newest key
    assert {line.count for line in parts if line.series.mode == "size"} == {gather.PARTS}


def test_whole_series_are_as_history_gives_them(history: History) -> None:
    for head in history.series():
        read, wanted = whole.whole(history, head, 20), history.values(head, 20)
        behind = whole.points(history, read.boots)
        found = [replace(behind[boot], value=value) for boot, value in zip(read.boots, read.values, strict=True)]
        assert tuple(found) == wanted.points
    assert whole.count(history) == 300 and whole.points(history, []) == {}


def test_cells_without_a_total_are_drawn_to_ready(tmp_path: Path) -> None:
    with History.open(str(tmp_path / "history.db")) as opened:
        row = at(1).copy()
        del row["cells"][0]["boot"]["exact"]["figures"]["total"]
        opened.add(folded.of_json(row, "a test's"))
        lines, _ = gather.gather(opened)
    assert (lines[0].series.mode, lines[0].series.figure) == ("exact", "ready")


@pytest.mark.slow
def test_the_command_writes_both_pages(
    tmp_path: Path, history: History, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = run(tmp_path / "results" / "latest") if (tmp_path / "results").mkdir() is None else tmp_path
    assert command.report(None, None, over_time=False, where=None) == 0
    assert command.report(None, None, over_time=True, where=str(history.place.file)) == 0
    assert capsys.readouterr().out == "results/latest/report.html\nhistory.html\n"
    assert "Run of" in (folder / "report.html").read_text()
    assert "300 runs of 1 image on a machine" in (tmp_path / "history.html").read_text()
    with pytest.raises(UserError, match="of the history, not of"):
        command.report(folder, None, over_time=True, where=None)
    with pytest.raises(UserError, match="takes nothing from a history"):
        command.report(folder, None, over_time=False, where="history.db")
    monkeypatch.setenv("HARNESS_HISTORY", "history.db")
    assert command.report(folder, None, over_time=False, where="history.db") == 0
    with pytest.raises(UserError, match="there is no history yet"):
        command.report(None, None, over_time=True, where="nowhere.db")


def test_a_matrix_without_a_page_is_still_a_matrix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = {"event": "run", "harness": "1", "when": "2026-01-01T00:00:00Z", "run": "u", "plan": None, "source": None}
    found = folded.fold([{**begun, "cells": []}, {"event": "end", "interrupted": False, "code": 0}])
    views.write(found, RunFolder(tmp_path), [])
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith(f"harness: warning: no report: cannot read {tmp_path}/results.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "benchmark.json",
        "junit.xml",
        "metrics.txt",
        "summary.md",
    ]


def test_an_empty_history_has_a_page(tmp_path: Path) -> None:
    with History.open(str(tmp_path / "history.db")) as opened:
        found = overtime.page(*gather.gather(opened), "x", whole.count(opened))
    assert found.cells == () and found.runs == 0


@pytest.mark.slow
def test_the_page_of_a_run_needs_no_database(tmp_path: Path) -> None:
    folder = run(tmp_path / "out")
    text = (
        "import sys\nfrom pathlib import Path\nfrom harness.report import files\n"
        "from harness.run.folder import RunFolder\n"
        f"files.write(RunFolder(Path({str(folder)!r})))\nassert 'sqlalchemy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", text], check=True, env=os.environ)
