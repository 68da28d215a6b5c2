"""What a run came to, by tables: the word, the exit code and the reasons of hand-made results."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import EXIT_IMAGE
from harness.run.outcome import MOST_REASON, RunEnd, concluded, of_older, sentence
from harness.run.results_model import Results

ENDED = RunEnd()
INTERRUPTED = RunEnd(interrupted=True)
BROKEN = RunEnd(code=3, interrupted=True, error="no disk\nfree some", exit=EXIT_IMAGE)
LAB, WHOSE = ("the machine", "this host"), ("the image", "")
NAMES = ["t::a", "t::b", "t::c", "t::d", "t::e", "t::f"]
LONG = "x" * (MOST_REASON + 1)
CUT = "x" * MOST_REASON + "…"


def cell(
    status: str = "passed", *whose: str, gate: tuple[str, ...] = (), name: str = "c", **more: Any
) -> dict[str, Any]:
    """A cell of one case that passed and of one failed one by each of some faults."""
    return {"id": name, "status": status, "cases": {"passed": 1, "failed": len(whose)},
            "failures": [{"case": "t::a", "whose": one} for one in whose],
            "gate": {"judged": gate[0], "reasons": gate[1:]} if gate else None, **more}  # fmt: skip


def other(*whose: str, unrun: tuple[str, ...] = (), passed: int = 0) -> dict[str, Any]:
    return {"cases": {"passed": passed, "failed": len(whose)}, "failures": [{"whose": one} for one in whose],
            "unrun": unrun}  # fmt: skip


def results(*cells: dict[str, Any], **more: Any) -> Results:
    return Results.model_validate({"cells": cells, **more})


ROWS: dict[str, tuple[Results, RunEnd, str, int, tuple[str, ...]]] = {
    "all passed": (results(cell()), ENDED, "passed", 0, ()),
    "pytest found nothing": (results(cell()), RunEnd(code=5), "passed", 0, ()),
    "no cell at all": (results(), ENDED, "passed", 0, ()),
    "a case failed": (
        results(cell(), cell("failed", "", "the image", name="d")), RunEnd(code=1), "failed", 1, ("d: 2 cases failed",),
    ),
    "the lab failed": (
        results(cell("lab failed", *LAB)), RunEnd(code=1), "lab failed", 4,
        ("c: 2 cases failed, all by the fault of the machine or this host",),
    ),
    "the image is graver than the lab": (
        results(cell("lab failed", "this host"), cell("failed", "", name="d")), RunEnd(code=1), "failed", 1,
        ("d: 1 case failed", "c: 1 case failed, all by the fault of the machine or this host"),
    ),
    "pytest failed, no case did": (
        results(cell()), RunEnd(code=1), "ended badly", 1,
        ("no case tells what went wrong, but pytest ended with exit code 1",),
    ),
    "pytest broke after a failure": (
        results(cell("failed", "")), RunEnd(code=3), "failed", 1,
        ("c: 1 case failed", "no case tells what went wrong, but pytest ended with exit code 3"),
    ),
    "interrupted": (
        results(cell("incomplete", unrun=NAMES), other=other(unrun=("t::z",))), INTERRUPTED, "interrupted", 130,
        ("interrupted: this is what was found until then",),
    ),
    "nothing was selected until it was interrupted": (
        results(cell("not selected")), INTERRUPTED, "interrupted", 130,
        ("interrupted: this is what was found until then",),
    ),
    "ended early": (results(cell("incomplete")), BROKEN, "ended early", 5, ("no disk",)),
    "ended early after a failure": (
        results(cell("failed", "")), BROKEN, "failed", 1, ("c: 1 case failed", "no disk"),
    ),
    "ended early, and no code says how": (
        results(cell()), RunEnd(error="no disk"), "ended early", 3, ("no disk",),
    ),
    "incomplete": (
        results(cell("incomplete", unrun=NAMES[:5])), ENDED, "incomplete", 8,
        ("c: 5 cases did not run: t::a, t::b, t::c, t::d, t::e",),
    ),
    "incomplete, with more names than a line has": (
        results(cell("incomplete", unrun=NAMES)), ENDED, "incomplete", 8,
        ("c: 6 cases did not run: t::a, t::b, t::c, t::d, t::e and 1 more",),
    ),
    "incomplete, nobody knows what": (
        results(cell("incomplete")), ENDED, "incomplete", 8, ("c: not all of its cases ran",),
    ),
    "a case without a cell did not run": (
        results(cell(), other=other(unrun=("t::z",))), ENDED, "incomplete", 8,
        ("cases without a cell: 1 case did not run: t::z",),
    ),
    "a case without a cell failed": (
        results(cell(), other=other("this host", "")), RunEnd(code=1), "failed", 1, ("2 cases without a cell failed",),
    ),
    "the lab failed a case without a cell": (
        results(cell(), other=other(*LAB)), RunEnd(code=1), "lab failed", 4, ("2 cases without a cell failed",),
    ),
    "not run": (
        results(cell("not run", reason="no QEMU\napt-get"), cell(name="d")), ENDED, "not run", 3,
        ("c: not run: no QEMU",),
    ),
    "nothing selected": (results(cell("not selected")), ENDED, "nothing selected", 2, ("no case was selected",)),
    "nothing selected, or not run": (
        results(cell("not selected"), cell("not run", reason="no QEMU", name="d")), ENDED, "nothing selected", 2,
        ("no case was selected", "d: not run: no QEMU"),
    ),
    "all not run": (results(cell("not run", reason="no")), ENDED, "not run", 3, ("c: not run: no",)),
    "one of two selected": (results(cell("not selected"), cell(name="d")), ENDED, "passed", 0, ()),
    "only a case without a cell selected": (
        results(cell("not selected"), other=other(passed=1)), ENDED, "passed", 0, (),
    ),
    "worse": (results(cell(gate=("worse", "a", "b"))), ENDED, "worse", 1, ("c: worse: a; b",)),
    "not judged": (results(cell(gate=("not judged", "no key"))), ENDED, "not judged", 8, ("c: not judged: no key",)),
    "better": (results(cell(gate=("better", "a"))), ENDED, "passed", 0, ()),
    "no history": (results(cell(), history="locked\nby whom"), ENDED, "no history", 8, ("locked",)),
    "a line may be so long": (
        results(history=LONG[1:]), ENDED, "no history", 8, (LONG[1:],),
    ),
    "and no longer": (results(history=LONG), ENDED, "no history", 8, (CUT,)),
    "a reason without words": (results(cell("not run")), ENDED, "not run", 3, ("c: not run: ",)),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_what_a_run_came_to(name: str) -> None:
    given, end, word, exit_, reasons = ROWS[name]
    found = concluded(given, end, began=True)
    made = found.outcome
    assert (made.word, made.exit, found.exit, made.reasons) == (word, exit_, exit_, reasons)
    assert made.headline == f"{word}: {sentence(given)}"
    assert found.interrupted == end.interrupted
    ended = [one for one in reasons if "pytest ended" in one]
    assert found.error == (end.error or "".join(ended))


def test_a_run_that_ends_before_its_cases_are_known_could_not_begin() -> None:
    found = concluded(results(cell("incomplete")), BROKEN, began=False)
    assert (found.outcome.word, found.exit) == ("could not begin", EXIT_IMAGE)
    assert concluded(results(), RunEnd(error="why"), began=False).exit == 2


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (results(cell(), cell(name="d")), "2 of 2 cells passed"),
        (results(cell()), "1 of 1 cell passed"),
        (results(cell("failed", *LAB, *WHOSE, ""), other=other("", "this host")),
         "0 of 1 cell passed; 4 product failures, 3 lab failures"),
        (results(cell(known=[{"case": "t::a"}, {"case": "t::b"}])), "1 of 1 cell passed; 2 known failures"),
        (results(cell("not run"), cell("incomplete"), cell("not selected")), "0 of 3 cells passed; 2 idle cells"),
        (results(cell(gate=("worse",)), cell(gate=("not judged",)), cell(gate=("better",)), cell(), against="B"),
         "4 of 4 cells passed; 1 cell worse than B, 1 cell not judged against B"),
    ],
)  # fmt: skip
def test_the_headline_counts_cells_and_failures(found: Results, said: str) -> None:
    assert sentence(found) == said


def test_a_run_without_an_end_was_interrupted() -> None:
    assert RunEnd.of(None) == INTERRUPTED
    assert RunEnd.of({"event": "end"}) == ENDED
    event = {"code": 3, "interrupted": True, "error": {"text": "no disk\nfree some", "exit": EXIT_IMAGE}}
    assert RunEnd.of(event) == BROKEN
    assert RunEnd.of({"code": 1, "deadline": "8h"}) == RunEnd(code=1, deadline="8h")


@pytest.mark.parametrize(
    ("exit_", "interrupted", "word"),
    [(0, False, "passed"), (1, False, "failed"), (2, False, "nothing selected"), (3, False, "not run"),
     (4, False, "lab failed"), (130, False, "interrupted"), (70, False, "ended early"), (1, True, "interrupted")],
)  # fmt: skip
def test_older_results_come_to_what_their_exit_code_says(exit_: int, interrupted: bool, word: str) -> None:
    old = of_older(results(cell(), exit=exit_, interrupted=interrupted, error="no disk\nmore"))
    assert (old.outcome.word, old.outcome.exit, old.exit) == (word, exit_, exit_)
    assert (old.outcome.headline, old.outcome.reasons) == (f"{word}: 1 of 1 cell passed", ("no disk",))
    assert of_older(results(cell(), exit=exit_)).outcome.reasons == ()
