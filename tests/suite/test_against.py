"""What becomes of a matrix's results: they land in the history, and are judged against a baseline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inner_pytest import environment

from harness import paths
from harness.history import History, baselines

HARNESS = [sys.executable, "-c", "from harness.cli import main; main()"]
CASES = "def test_e(exact): pass\n"
CELLS = [["a", ""], ["b", ""]]
Matrix = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def where(tmp_path: Path) -> str:
    return str(tmp_path / "history.db")


@pytest.fixture
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


def change(folder: Path, name: str, **exact: Any) -> None:
    """Let the first cell of a folder's results have other exact figures, or another key."""
    found = json.loads((folder / "results.json").read_text())
    found["cells"][0]["boot"]["exact"][name] |= exact
    (folder / "results.json").write_text(json.dumps(found))


def test_every_run_lands_in_the_history(matrix: Matrix, where: str, tmp_path: Path) -> None:
    done = matrix("out")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out/results.json").read_text())
    with History.open(where) as history:
        (head,) = history.runs()
        assert (head.run, head.when) == (found["run"], found["when"])
        assert history.cells(head) == baselines.of_results(found)
        assert len(history.cells(head)) == 2
    matrix("again", "--no-history", "--history", str(tmp_path / "other.db"))
    assert not (tmp_path / "other.db").exists()


def test_a_failed_run_lands_there_too(matrix: Matrix, where: str) -> None:
    assert matrix("out", cases="def test_e(exact): assert 0\n").returncode == 1
    with History.open(where) as history:
        assert len(history.series(mode="exact", figure="ready")) == 2


def test_a_history_that_cannot_be_written_is_a_warning(matrix: Matrix, where: str, tmp_path: Path) -> None:
    Path(where).write_text("not a database\n" * 100)
    done = matrix("out")
    assert done.returncode == 0
    assert f"harness: warning: this run is not in the history: cannot open the history {where}: file is" in done.stderr
    assert json.loads((tmp_path / "out/results.json").read_text())["exit"] == 0
    assert "a.yml" in done.stdout


def test_against_a_folder_that_was_as_good(matrix: Matrix, tmp_path: Path) -> None:
    matrix("before", "--no-history")
    done = matrix("out", "--against", "before", "--no-history")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a.yml on a: 0 of 3 figures worse\nb.yml on b: 0 of 3 figures worse\n" in done.stdout
    assert json.loads((tmp_path / "out/gate.json").read_text())["passed"]


def test_against_a_baseline_that_was_better(matrix: Matrix, where: str, tmp_path: Path) -> None:
    matrix("before", "--no-history")
    change(tmp_path / "before", "figures", ready=600_123)
    env = {**os.environ, "HARNESS_HISTORY": where}
    for words in (["history", "import", "before"], ["baseline", "accept", "latest", "--reason", "fast"]):
        subprocess.run([*HARNESS, *words], env=env, cwd=tmp_path, check=True, capture_output=True)
    done = matrix("out", "--against", "latest-baseline")
    assert done.returncode == 1
    text = done.stdout.partition("against latest-baseline:\n")[2]
    assert text.startswith(
        "a.yml on a: 1 of 3 figures worse\n  exact ready  600.123 ms  →  700.123 ms  +100.000 ms  +16.66 %"
    )
    assert ", not calibrated\nb.yml on b: 0 of 3 figures worse\nFAILED: 1 of 2 cells are worse" in text
    found = json.loads((tmp_path / "out/gate.json").read_text())
    assert not found["passed"]
    assert [one["figure"] for one in found["cells"][0]["slower"]] == ["ready"]
    # what became worse is in the history nevertheless, and can be accepted
    with History.open(where) as history:
        baselines.accept(history, history.run("latest"), "so be it", who="me")
    done = matrix("out", "--against", "latest-baseline", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["exit"] == 0
    assert "0 of 3 figures worse" in done.stderr


def test_a_calibrated_floor_counts(matrix: Matrix, where: str, tmp_path: Path) -> None:
    from harness.history.floors import set_floor

    matrix("before", "--no-history")
    change(tmp_path / "before", "figures", ready=600_123)
    key = json.loads((tmp_path / "before/results.json").read_text())["cells"][0]["boot"]["exact"]["key"]
    with History.open(where) as history:
        set_floor(history, "a.yml", "a", {"ready": 100_000}, key=key, how="by hand")
    assert matrix("out", "--against", "before").returncode == 0
    with History.open(where) as history:
        set_floor(history, "a.yml", "a", {"ready": 99_999}, key=key, how="by hand")
    done = matrix("out", "--against", "before")
    assert done.returncode == 1
    assert "+16.66 %  floor 99.999 ms\n" in done.stdout


def test_another_key_is_said_and_a_comparison_with_nothing_is_no_pass(matrix: Matrix, tmp_path: Path) -> None:
    matrix("before", "--no-history")
    change(tmp_path / "before", "key", qemu="6.0")
    done = matrix("out", "--against", "before")
    assert done.returncode == 0
    assert "  exact times not compared, for they are of another experiment: qemu: 6.0 → none" in done.stdout
    matrix("other", cells=[["c", ""]])
    done = matrix("out", "--against", "other")
    assert done.returncode == 1
    assert "the baseline has no such cell" in done.stdout
    assert "FAILED: nothing could be compared with other" in done.stdout


@pytest.mark.parametrize(
    ("against", "why"),
    [
        ("latest-baseline", "has no baseline yet"),
        ("ffff", "has no run ffff"),
        ("no/such/folder", "cannot read no/such/folder/results.json"),
        ("plan.yml", "plan.yml: not JSON"),
    ],
)
def test_what_cannot_be_compared_with_ends_it_before_anything_boots(
    matrix: Matrix, where: str, tmp_path: Path, against: str, why: str
) -> None:
    with History.open(where):
        pass
    done = matrix("out", "--against", against)
    assert done.returncode == 2
    assert why in done.stderr
    assert not (tmp_path / "out").exists()
