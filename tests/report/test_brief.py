"""A run in a few lines, and as JUnit XML: by whose hand, and nothing that a guest says is more than text."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from harness.report import brief, junit
from harness.run import results
from harness.run.changes import changes
from harness.run.results_model import Results

EVIL = "x <script>|`*@all` \x1b[31m\x00::error::y\nz%"


def case(cell: str, name: str, outcome: str, **more: Any) -> dict[str, Any]:
    return {"event": "case", "cell": cell, "case": f"cases/test_a.py::{name}[{cell}]", "outcome": outcome,
            "instead": "", "message": "", "transcript": "", "verdict": "", "whose": "", "known": "", "passes": "",
            "seconds": 1.5, **more}  # fmt: skip


def told(*events: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [{"id": name, "image": f"{name}.yml", "machine": "m", "arch": "arm64", "problem": problem, "budget": {}}
            for name, problem in (("a", ""), ("b", ""), ("c", "no QEMU\nmore"))]  # fmt: skip
    run = {"event": "run", "harness": "1", "when": "2026-11-24T06:00:00Z", "run": "u", "plan": "p", "source": None}
    end = {"event": "end", "interrupted": False, "code": 1}
    return [{**run, "cells": rows}, {"event": "collected", "cases": {"a": 4, "b": 1}}, *events, end]


EVENTS = told(
    case("a", "test_good", "passed"),
    case("a", "test_bad", "failed", message=EVIL, transcript="/ci/run/cells/a/wall/transcript.txt"),
    case("a", "test_old", "known", message="as ever", known="known until 2027-01-01: tracker.example/1"),
    case("a", "test_idle", "skipped", message="no network"),
    case("b", "test_good", "failed", message="QEMU was killed", whose="the machine"),
)


def test_junit_tells_product_lab_known_and_not_run_apart() -> None:
    text = junit.junit(EVENTS, results.fold(EVENTS), junit.CiPlace("lab1"))
    root = ElementTree.fromstring(text)
    suites = {suite.get("name"): suite for suite in root}
    a, b, c = (suites[name] for name in "abc")
    assert (a.get("tests"), a.get("failures"), a.get("errors"), a.get("skipped")) == ("4", "1", "0", "2")
    failure = a.find("testcase/failure")
    assert failure is not None
    assert failure.get("type") == "product"
    assert "<script>" in str(failure.text)
    assert "\x1b" not in text
    assert "\x00" not in text
    error = b.find("testcase/error")
    assert error is not None
    assert error.get("type") == "lab: the machine"
    missing = c.find("testcase/error")
    assert missing is not None
    assert missing.get("message") == "not run: no QEMU"
    said = str(a.findtext("testcase/system-out"))
    assert "[[ATTACHMENT|/ci/run/cells/a/wall/transcript.txt]]" in said.splitlines()
    assert (a.get("hostname"), a[1].get("file")) == ("lab1", "cases/test_a.py")
    place = junit.CiPlace("lab1", Path("/ci"))
    assert "[[ATTACHMENT|run/cells/a/wall/transcript.txt]]\n" in junit.junit(EVENTS, results.fold(EVENTS), place)
    assert a.get("time") == "6.000"


def test_a_teardown_that_fails_is_the_last_word() -> None:
    events = told(case("a", "test_x", "passed"), case("a", "test_x", "failed", instead="passed", message="no"))
    found = ElementTree.fromstring(junit.junit(events, results.fold(events)))
    assert found[0].get("failures") == "1"
    assert len(found[0].findall("testcase[failure]")) == 1


def test_the_summary_sorts_by_whose_hand_it_was_and_escapes() -> None:
    text = brief.markdown(results.fold(EVENTS), [])
    assert text.splitlines()[0] == (
        "## failed: 0 of 3 cells passed; 1 product failure, 1 lab failure, 1 known failure, 1 idle cell"
    )
    product, lab = text.index("What the images broke"), text.index("What the lab broke")
    assert product < text.index("test\\_bad") < lab < text.index("QEMU was killed")
    assert "<script>" not in text
    assert "\\<script\\>\\|\\`\\*\\@all\\`" in text
    assert "\x1b" not in text
    assert "\x00" not in text


def test_annotations_cannot_be_broken_out_of() -> None:
    lines = list(brief.workflow_commands(results.fold(EVENTS)))
    kinds = [line.split("::")[1].partition(" ")[0] for line in lines]
    assert kinds == ["error", "error", "error", "warning", "warning"]
    assert all("\n" not in line for line in lines)
    assert lines[0].startswith("::error title=outcome::failed: 0 of 3 cells passed; 1 product failure")
    assert lines[1].startswith("::error title=product failure%3A a%3A cases/test_a.py%3A%3Atest_bad::x <script>")
    assert lines[1].endswith("%0Az%25")
    good = told(case("a", "test_good", "passed"))
    good[0]["cells"] = good[0]["cells"][:1]
    good[1]["cases"], good[-1]["code"] = {"a": 1}, 0
    assert list(brief.workflow_commands(results.fold(good))) == ["::notice title=outcome::passed: 1 of 1 cell passed"]


def test_a_step_has_no_more_annotations_than_are_shown_and_says_how_many_are_left_out() -> None:
    many = told(*(case("a", f"test_{number}", "failed", message="no") for number in range(30)))
    lines = [line for line in brief.workflow_commands(results.fold(many)) if line.startswith("::error")]
    assert len(lines) == brief.ANNOTATIONS
    assert lines[-1] == "::error title=and more::22 more are in the summary and the report"


GOOD, BAD = ("passed", [], 700.0, 10e6), ("failed", ["t"], 700.0, 10e6)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (GOOD, BAD, ["worse a: failed, was passed", "worse a: x.py::t fails now"]),
        (BAD, GOOD, ["better a: passed, was failed", "better a: x.py::t fails no more"]),
        (GOOD, ("passed", [], 700.5, 10e6), ["worse a: ready after 700.500 ms, was 700.000 ms"]),
        (GOOD, ("passed", [], 700.0, 9e6), ["better a: 9.00 MB, was 10.00 MB"]),
        (BAD, ("not run", [], None, None), ["other a: not run, was failed"]),
        (GOOD, GOOD, []),
    ],
)
def test_what_has_changed(old: Any, new: Any, said: list[str]) -> None:
    def run(status: str, failing: list[str], ready: float | None, size: float | None) -> Results:
        boot = {"exact": {"ready": ready, "key": {"mode": "exact"}}}
        rows = [{"case": f"x.py::{name}[a]"} for name in failing]
        return results.of_json(
            {"cells": [{"id": "a", "status": status, "failures": rows, "boot": boot, "size": size}]}, "x"
        )

    assert [f"{one.kind} {one.text}" for one in changes(run(*old), run(*new))] == said


def test_cells_that_come_and_go() -> None:
    row = {"id": "a", "status": "passed", "failures": [], "boot": {"exact": {"ready": None, "key": {}}}, "size": None}
    before, now = (results.of_json({"cells": [{**row, "id": name}]}, "x") for name in "ab")
    found = changes(before, now)
    assert [one.text for one in found] == ["b: not in the run before", "a: no longer in the plan"]
