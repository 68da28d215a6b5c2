"""What becomes of a matrix's results: they land in the history, and are judged against a baseline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from inner_pytest import environment
from tiers import needs

from harness import paths
from harness.commands.nights.gate import NOT_THERE
from harness.history import History, baselines, verdicts
from harness.run.folder import RunFolder

pytestmark = pytest.mark.slow

HARNESS = [sys.executable, "-c", "from harness.cli import main; main()"]
CASES = "def test_e(exact): pass\n"
CELLS = [["a", ""], ["b", ""]]
Matrix = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def where(tmp_path: Path) -> str:
    return str(tmp_path / "history.db")


@pytest.fixture
@needs("slow")
def matrix(tmp_path: Path, where: str) -> Matrix:
    """Run a matrix of fake cells into the folder of that name."""
    minimal = os.path.relpath(paths.CASES / "images/minimal.yml", tmp_path)
    (tmp_path / "plan.yml").write_text(
        f"machines: [qemu-x86_64]\nimages:\n  - path: {minimal}\ncases: [test_inner.py]\n"
    )

    def run(out: str, *words: str, cases: str = CASES, cells: Any = CELLS) -> subprocess.CompletedProcess[str]:
        (tmp_path / "test_inner.py").write_text(cases)
        argv = [*HARNESS, "matrix", "plan.yml", "--results", out, "-n", "1", *words, "--", "-p", "fake_cells",
                "-c", os.devnull]  # fmt: skip
        env = {**environment(tmp_path, {"cells": cells}), "HARNESS_HISTORY": where}
        return subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=120)

    return run


def test_a_run_lands_in_the_history_and_fails_when_it_is_worse(matrix: Matrix, where: str, tmp_path: Path) -> None:
    done = matrix("out")
    assert done.returncode == 0, done.stderr
    file = tmp_path / "out/results.json"
    found = json.loads(file.read_text())
    with History.open(where) as history:
        (head,) = history.runs()
        assert (head.run, head.when) == (found["run"], found["when"])
        of_run = baselines.of_results(RunFolder(tmp_path / "out").read_results())
        assert history.cells(head) == [replace(one, cell="") for one in of_run]  # a history knows no folders
    found["cells"][0]["boot"]["exact"]["figures"]["ready"] = 600_123
    file.write_text(json.dumps(found))
    # the folder that it writes to is what it is compared with: read before it is replaced
    done = matrix("out", "--against", "out", "--no-history")
    assert done.returncode == 1
    assert "a.yml on a: 1 of 5 figures worse\n  exact ready  600.123 ms  →  700.123 ms  +100.000 ms" in done.stdout
    assert not json.loads((tmp_path / "out/gate.json").read_text())["passed"]
    assert json.loads(file.read_text())["outcome"]["word"] == "worse"
    with History.open(where) as history:
        assert len(history.runs()) == 1


def test_what_the_gate_says_is_in_the_history_with_the_run_that_it_was_judged_by(matrix: Matrix, where: str) -> None:
    assert matrix("out").returncode == 0
    with History.open(where) as history:
        (base,) = history.runs()
        baselines.accept(history, base, "good", who="a test")
    done = matrix("out2", "--against", "latest-baseline")
    assert done.returncode == 0, done.stdout + done.stderr
    with History.open(where) as history:
        newest = history.runs()[-1]
        (cell, *_) = history.cells(newest)
        said = verdicts.of_cell(history, cell.image, cell.machine)
    assert {run: (one.base, one.answer, one.by) for run, one in said.items()} == {
        newest.run: (base.run, "same", "equal")
    }


def test_a_history_that_cannot_be_written_is_an_outcome_of_its_own(matrix: Matrix, where: str, tmp_path: Path) -> None:
    Path(where).write_text("not a database\n" * 100)
    done = matrix("out")
    assert done.returncode == 8
    assert f"{NOT_THERE}: cannot open the history {where}: file is" in done.stdout
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert (found["exit"], found["outcome"]["word"]) == (8, "no history")
    assert "no history" in (tmp_path / "out/summary.md").read_text()
    assert "a.yml" in done.stdout


def test_what_cannot_be_compared_with_ends_it_before_anything_boots(matrix: Matrix, tmp_path: Path) -> None:
    done = matrix("out", "--against", "no/such/folder")
    assert done.returncode == 2
    assert "cannot read no/such/folder/results.json" in done.stderr
    assert json.loads((tmp_path / "out/results.json").read_text())["outcome"]["word"] == "could not begin"
    assert not (tmp_path / "out/cells").exists()
