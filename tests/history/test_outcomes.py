"""What came of the cases of each run: kept, exported, and judged by numbers."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from runs import cell, results
from sqlalchemy import func, select

from harness.history import History, lines, outcomes
from harness.history.tables import OutcomeRow
from harness.run.results_model import Results


def run(number: int, failed: list[dict[str, str]], **more: Any) -> Results:
    row = {**cell(), "failures": failed, "status": "failed" if failed else "passed", "known": [], **more}
    return results(number, row)


def failure(whose: str = "", function: str = "test_x") -> dict[str, str]:
    case = f"../cases/test_a.py::{function}[minimal-qemu-arm64]"
    return {"case": case, "message": "m", "transcript": "", "whose": whose}


def kept(history: History) -> int:
    with history.reading() as connection:
        return connection.scalar(select(func.count()).select_from(OutcomeRow)) or 0


def test_a_case_that_fails_now_and_then_on_the_same_image_is_found(history: History) -> None:
    for number, failed in enumerate(([], [failure()], [], [failure()], [], [])):
        outcomes.add(history, run(number, failed))
    (one,) = outcomes.flaky_cases(history, "images/minimal.yml", "qemu-arm64")
    assert (one.case, one.failures, one.runs) == ("../cases/test_a.py::test_x", 2, 6)
    assert outcomes.flaky_cases(history, "images/minimal.yml", "qemu-s390x") == []


def test_another_image_and_the_labs_faults_do_not_count(history: History) -> None:
    for number in range(6):
        outcomes.add(history, run(number, [failure("the machine")] if number % 2 else []))
    assert outcomes.flaky_cases(history, "images/minimal.yml", "qemu-arm64") == []
    for number in range(6):
        more = {"files": {"kernel": str(number)}}
        outcomes.add(history, run(10 + number, [failure()] if number % 2 else [], **more))
    assert outcomes.flaky_cases(history, "images/minimal.yml", "qemu-arm64") == []


def test_what_is_known_failed_too_and_a_cell_without_a_verdict_is_left(history: History) -> None:
    row = failure() | {"known": "known until 2027-01-01: #1"}
    assert [line.failed for line in outcomes.of_results(run(1, [], known=[row]))] == [["../cases/test_a.py::test_x"]]
    for status in ("not run", "lab failed", "incomplete"):
        assert list(outcomes.of_results(run(1, [], status=status))) == []


def test_a_run_is_kept_once_and_goes_through_an_export(history: History, new_place: Callable[[], str]) -> None:
    for number, failed in enumerate(([], [failure()], [], [failure()], [])):
        history.add(run(number, failed))
        for _ in range(2):
            outcomes.add(history, run(number, failed))
    assert kept(history) == 5
    text = io.StringIO()
    lines.export(history, text)
    with History.open(new_place()) as other:
        for _ in range(2):
            lines.import_(other, io.BytesIO(text.getvalue().encode()), "export")
        assert kept(other) == 5
        assert outcomes.flaky_cases(other, "images/minimal.yml", "qemu-arm64")[0].failures == 2
