"""Judgement by tables: what the cases found, and what a profile makes of it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from harness.certify import judge
from harness.certify.judge import CaseOutcome, JudgedRequirement
from harness.spec.models.profile import ApplicabilityRule, Level, Requirement, Waiver
from harness.spec.profile import LONGEST_WAIVER

SIZE, ROOT = "test_size.py::test_size_within_budget", "test_root.py::test_root_is_what_was_built"
PASSED = CaseOutcome(SIZE, "passed")
FAILED = CaseOutcome(SIZE, "failed", "36 MB shipped\nmore")
SKIPPED = CaseOutcome(SIZE, "skipped", "the image has no size")
ONE = Requirement(id="size", text="small", cases=(SIZE,))
TWO = Requirement(id="size", text="small", cases=(SIZE, ROOT))
FILE = Requirement(id="size", text="small", cases=("test_size.py",))
ARM = Requirement(id="size", text="small", cases=(SIZE,), architectures=("arm64",))
RULED = Requirement(
    id="size", text="small", cases=(SIZE,), not_applicable=(ApplicabilityRule(when="foreign", why="not ours"),)
)
TODAY = "2026-11-24"
LAST = (date.fromisoformat(TODAY) + timedelta(days=LONGEST_WAIVER)).isoformat()
AFTER_LAST = (date.fromisoformat(LAST) + timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    ("requirement", "found", "conditions", "verdict", "why"),
    [
        (ONE, [PASSED], [], "passed", ""),
        (ONE, [FAILED], [], "failed", f"{SIZE}: 36 MB shipped"),
        (ONE, [SKIPPED], [], "not run", f"{SIZE} was skipped: the image has no size"),
        (ONE, [], [], "not run", f"{SIZE} was not run"),
        (ONE, [PASSED, FAILED], [], "failed", f"{SIZE}: 36 MB shipped"),
        (TWO, [PASSED], [], "not run", f"{ROOT} was not run"),
        (TWO, [PASSED, CaseOutcome(ROOT, "passed")], [], "passed", ""),
        (TWO, [SKIPPED, CaseOutcome(ROOT, "failed", "changed")], [], "failed", f"{ROOT}: changed"),
        (FILE, [PASSED], [], "passed", ""),
        (FILE, [CaseOutcome(ROOT, "passed")], [], "not run", "test_size.py was not run"),
        (FILE, [CaseOutcome("test_size.py", "failed", "no Python")], [], "failed", "test_size.py: no Python"),
        (ARM, [], [], "not applicable", "asked for on arm64 only"),
        (RULED, [], ["foreign"], "not applicable", "not ours"),
        (RULED, [], ["no network"], "not run", f"{SIZE} was not run"),
        (RULED, [FAILED], ["foreign"], "failed", f"{SIZE}: 36 MB shipped"),  # a rule excuses no failure
        (RULED, [SKIPPED], ["foreign"], "not applicable", "not ours"),
    ],
)
def test_verdicts(
    requirement: Requirement, found: list[CaseOutcome], conditions: list[str], verdict: str, why: str
) -> None:
    (row,) = judge.judge([requirement], found, arch="s390x", conditions=conditions, today=TODAY)
    assert (row.verdict, row.why) == (verdict, why)


@pytest.mark.parametrize(
    ("until", "found", "verdict", "result"),
    [
        ("2026-11-24", [FAILED], "waived", "WARNED"),
        ("2026-11-23", [FAILED], "failed", "FAILED"),
        ("2026-12-31", [], "waived", "WARNED"),
        ("2026-12-31", [PASSED], "passed", "PASSED"),
        (LAST, [FAILED], "waived", "WARNED"),
        (AFTER_LAST, [FAILED], "failed", "FAILED"),
    ],
)
def test_a_waiver_counts_until_its_last_day(until: str, found: list[CaseOutcome], verdict: str, result: str) -> None:
    waiver = Waiver(requirement="size", reason="a font too many", owner="me", until=until)
    rows = judge.judge([ONE], found, arch="arm64", conditions=[], waivers=[waiver], today=TODAY)
    assert (rows[0].verdict, judge.result(rows)) == (verdict, result)
    assert rows[0].waiver == (None if verdict == "passed" else waiver.model_dump())
    if verdict == "failed":
        wrong = "ended on 2026-11-23" if until < TODAY else f"is longer than {LONGEST_WAIVER} days, until {until}"
        assert rows[0].why == f"{SIZE}: 36 MB shipped (its waiver {wrong})"


@pytest.mark.parametrize(
    ("level", "found", "result"),
    [
        ("mandatory", [PASSED], "PASSED"),
        ("mandatory", [FAILED], "FAILED"),
        ("mandatory", [], "FAILED"),
        ("recommended", [FAILED], "WARNED"),
        ("recommended", [], "WARNED"),
    ],
)
def test_results(level: str, found: list[CaseOutcome], result: str) -> None:
    requirement = Requirement(id="size", text="small", cases=(SIZE,), level=level)
    assert judge.result(judge.judge([requirement], found, arch="arm64", conditions=[], today=TODAY)) == result


def row(verdict: judge.RequirementVerdict, level: Level = "mandatory") -> JudgedRequirement:
    return JudgedRequirement("size", "small", level, verdict)


@pytest.mark.parametrize(
    ("bad", "result"),
    [
        (row("failed"), "FAILED"),
        (row("not run"), "FAILED"),
        (row("failed", "recommended"), "WARNED"),
        (row("not run", "recommended"), "WARNED"),
        (row("waived"), "WARNED"),
        (row("not applicable"), "PASSED"),
    ],
)
def test_one_bad_requirement_among_good_ones_decides(bad: JudgedRequirement, result: str) -> None:
    good = [row("passed"), row("passed", "recommended")]
    for rows in ([bad, *good], [*good, bad], [good[0], bad, good[1]]):
        assert judge.result(rows) == result


def test_counts_are_by_verdict() -> None:
    assert judge.counts([row("passed"), row("failed"), row("passed", "recommended")]) == {"passed": 2, "failed": 1}


def test_what_is_excused_has_no_case_to_run() -> None:
    every = [ONE, ARM, RULED]
    assert judge.applicable(every, "s390x", ["foreign"]) == [ONE]
    assert judge.applicable(every, "arm64", ["no network"]) == every


def test_a_judged_requirement_is_told_with_its_cases() -> None:
    (found,) = judge.judge([ONE], [FAILED], arch="arm64", conditions=[], today=TODAY)
    told = found.to_json()
    assert (told["id"], told["verdict"], told["cases"][0]["outcome"]) == ("size", "failed", "failed")


def test_an_empty_line_is_not_what_a_case_said() -> None:
    failed = CaseOutcome(SIZE, "failed", "\n  \n  too large\n")
    (found,) = judge.judge([ONE], [failed], arch="arm64", conditions=[], today=TODAY)
    assert found.why == f"{SIZE}: too large"


def test_a_profile_without_requirements_certifies_nothing() -> None:
    assert judge.result([]) == "FAILED"


def test_outcomes_are_the_last_that_was_told() -> None:
    def case(outcome: str, nodeid: str = "cases/test_size.py::test_size_within_budget[minimal-qemu-arm64]") -> dict:
        return {"event": "case", "case": nodeid, "outcome": outcome, "message": "", "transcript": ""}

    told = [{"event": "run"}, case("passed"), case("failed"), case("passed", "other/test_x.py")]
    assert judge.outcomes(told) == [CaseOutcome(SIZE, "failed"), CaseOutcome("test_x.py", "passed")]
