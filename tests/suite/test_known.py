"""Failures that are known, and those that are the lab's: what counts, and what is said."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from inner_pytest import environment
from test_matrix import FAKE, HARNESS
from tiers import needs

from harness.history import History, outcomes
from harness.measure.flaky import Flaky
from harness.run import known, results
from harness.run.cells import Cell
from harness.run.known import Excuse
from harness.spec.models.plan import KnownFailure

TODAY = date(2026, 11, 24)
CASES = """
import pytest
from harness.errors import ImageError, MachineError, HostError
def test_good(image): pass
def test_bad(system, cell): assert cell.id != "b", "b is bad"
"""
Run = Callable[..., subprocess.CompletedProcess[str]]


def cell(image: str = "images/web.yml", machine: str = "qemu-arm64") -> Cell:
    return Cell(id="web-qemu-arm64", image=image, sources=(image,), machine=machine, spec=None, arch="arm64",
                size=35.0, ready=None)  # fmt: skip


def excuse(**more: str) -> Excuse:
    return Excuse(**{"case": "test_x", "image": "*", "machine": "*", "issue": "#1", "until": "2026-11-24", **more})


@pytest.mark.parametrize(
    ("rule", "covers"),
    [
        ({"case": "test_x"}, True),
        ({"case": "test_y"}, False),
        ({"case": "test_?"}, True),
        ({"case": "test_root.py::*"}, True),
        ({"case": "test_boot.py::test_x"}, False),
        ({"case": "*", "image": "web"}, True),
        ({"case": "*", "image": "we"}, False),
        ({"case": "*", "image": "w*", "machine": "*-arm64"}, True),
        ({"case": "*", "machine": "*-s390x"}, False),
    ],
)
def test_what_an_excuse_covers(rule: dict[str, str], covers: bool) -> None:
    assert excuse(**rule).covers("cases/test_root.py::test_x[web-qemu-arm64]", cell()) == covers


def test_an_excuse_ends_after_its_day_and_the_one_that_lasts_longest_is_taken() -> None:
    short, long = excuse(until="2026-11-23"), excuse(until="2026-11-24")
    assert not short.holds(TODAY)
    assert long.holds(TODAY)
    assert known.find((short, long, short), "a.py::test_x", cell()) is long
    assert known.find((short,), "a.py::test_y", cell()) is None


def test_an_excuse_about_nothing_is_found() -> None:
    misspelt = excuse(case="test_z")
    assert known.idle((excuse(), misspelt), [("a.py::test_x[web]", cell())]) == [misspelt]


def test_an_excuse_that_fits_one_of_several_cases_is_not_idle() -> None:
    pairs = [("a.py::test_y[web]", cell()), ("a.py::test_x[web]", cell())]
    flaky = excuse(case="test_z", what=known.FLAKY)
    assert known.idle((excuse(), excuse(case="test_y"), flaky), pairs) == []
    assert known.idle((excuse(), flaky), []) == [excuse()]
    assert known.idle((excuse(machine="*-s390x"),), pairs) == [excuse(machine="*-s390x")]


def test_what_is_said_of_an_excuse() -> None:
    assert excuse().text == "known until 2026-11-24: #1"


def test_rows_of_a_plan_are_excuses() -> None:
    row = KnownFailure(case="test_x", image="web", machine="*-arm64", issue="#1", until="2026-11-24")
    assert known.excuses([row]) == (excuse(image="web", machine="*-arm64"),)


def test_what_is_flaky_is_excused_on_its_cell_for_the_day() -> None:
    (one,) = known.flaky([Flaky("test_x", 2, 9)], cell(), TODAY)
    assert one.covers("a.py::test_x[web]", cell())
    assert not one.covers("a.py::test_x[web]", cell(machine="qemu-s390x"))
    assert one.text == "flaky until 2026-11-24: failed in 2 of 9 runs of the same image"
    assert one.holds(TODAY) and not one.holds(TODAY + timedelta(days=1))


@pytest.fixture
@needs("slow")
def run(tmp_path: Path) -> Run:
    def matrix(text: str, rows: str, *args: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        (tmp_path / "test_inner.py").write_text(text)
        (tmp_path / "minimal.yml").write_text("kernel: {image: kernel}\n")
        plan = "machines: [qemu-x86_64]\nimages: [{path: minimal.yml}]\ncases: [test_inner.py]\n"
        (tmp_path / "plan.yml").write_text(plan + (f"known:\n{rows}" if rows else ""))
        return subprocess.run(
            [*HARNESS, "plan.yml", "--results", "out", "-n", "1", *args, *FAKE], cwd=tmp_path,
            env=environment(tmp_path, {"cells": [["a", ""], ["b", ""]], **settings}), capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip

    return matrix


def cells(folder: Path) -> dict[str, Any]:
    return {row["id"]: row for row in json.loads((folder / "out/results.json").read_text())["cells"]}


def row(until: date, case: str = "test_bad", **more: str) -> str:
    keys = {"case": case, "issue": "tracker.example/7", "until": until.isoformat(), **more}
    return f"  - {json.dumps(keys)}\n"


def test_a_known_failure_does_not_count_until_its_day_has_passed(run: Run, tmp_path: Path) -> None:
    today = date.today()
    done = run(CASES, row(today))
    assert done.returncode == 0, done.stdout + done.stderr
    found = cells(tmp_path)["b"]
    assert found["status"] == "passed"
    assert found["cases"] == {"passed": 1, "failed": 0, "skipped": 0, "known": 1}
    assert "b is bad" in found["known"][0]["message"]
    assert f"until {today}: tracker.example/7" in done.stdout
    assert next(line for line in done.stdout.splitlines() if line.startswith("image ")).split()[-2:] == [
        "known",
        "status",
    ]
    done = run(CASES, row(today - timedelta(days=1)))
    assert done.returncode == 1
    assert "which has passed" in done.stdout
    assert cells(tmp_path)["b"]["cases"]["failed"] == 1


def test_a_known_failure_that_passes_and_one_that_is_misspelt_are_said(run: Run, tmp_path: Path) -> None:
    done = run(CASES, row(date.today()) + row(date.today(), "test_typo"))
    assert done.returncode == 0, done.stdout
    assert "PASSES" not in done.stdout  # it fails on b still
    assert "no case is called 'test_typo'" in done.stdout
    done = run(CASES, row(date.today(), image="a"))
    assert "PASSES test_inner.py::test_bad[a], though known until" in done.stdout


def test_what_the_lab_broke_is_told_apart_and_never_excused(run: Run, tmp_path: Path) -> None:
    text = CASES.replace('assert cell.id != "b", "b is bad"', 'raise MachineError("QEMU was killed")')
    done = run(text, row(date.today()))
    assert done.returncode == 4, done.stdout
    assert {found["status"] for found in cells(tmp_path).values()} == {"lab failed"}
    assert "by the fault of the machine" in done.stdout
    mixed = text + "def test_more(image): raise ImageError('it panicked')\n"
    assert run(mixed, "").returncode == 1
    assert {found["status"] for found in cells(tmp_path).values()} == {"failed"}


def test_cases_behind_a_boot_that_the_lab_broke_are_the_labs_too(run: Run, tmp_path: Path) -> None:
    text = "def test_one(system): pass\ndef test_two(system): pass\n"
    done = run(text, "", broken=["a"], fault="MachineError")
    assert done.returncode == 4, done.stdout
    assert [one["whose"] for one in cells(tmp_path)["a"]["failures"]] == ["the machine"] * 2


@pytest.mark.parametrize("until", ["soon", "2026-02-30", "20261124"])
def test_a_day_that_is_none_is_complained_of(run: Run, until: str) -> None:
    done = run(CASES, f"  - {{case: test_bad, issue: x, until: '{until}'}}\n")
    assert done.returncode == 2
    assert "plan.yml:5:" in done.stderr
    assert f"'{until}' is not a day" in done.stderr


def test_a_case_that_the_history_calls_flaky_does_not_count(run: Run, tmp_path: Path) -> None:
    text = CASES.replace('assert cell.id != "b", "b is bad"', 'assert not __import__("os").path.exists("bad")')
    where = str(tmp_path / "history.sqlite")
    bad = tmp_path / "bad"
    kept = []
    for failing in (False, True):
        bad.touch() if failing else bad.unlink(missing_ok=True)
        assert run(text, "", "--history", where, "--results", "kept").returncode == (1 if failing else 0)
        kept.append(results.read(tmp_path / "kept/results.json"))
    with History.open(where) as history:  # three nights more, as these two
        for number, one in enumerate((kept[0], kept[1], kept[0])):
            night = one.model_copy(update={"run": f"{number:032x}"})
            history.add(night, again=True)
            outcomes.add(history, night)
    done = run(text, "", "--history", where, "--quarantine")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"flaky until {date.today()}: failed in 2 of 5 runs of the same image" in done.stdout
    bad.unlink()
    assert "PASSES" not in run(text, "", "--history", where, "--quarantine").stdout
    assert run(text, "", "--history", where).returncode == 0


def test_an_excuse_for_no_case_is_named() -> None:
    excuse = known.Excuse("test_x", "i", "m", "reason", "2026-12-01", "issue")
    assert known.idle_note(excuse) == "no case is called 'test_x', which the plan says is known"
