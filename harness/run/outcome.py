"""What a run came to: one outcome, computed once. Pure.

Tables, files, messages, pages and exit codes are views of it: none of them looks at cells to judge by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.errors import (
    EXIT_CASES_FAILED,
    EXIT_HOST,
    EXIT_INTERRUPTED,
    EXIT_MACHINE,
    EXIT_NOT_JUDGED,
    EXIT_OK,
    EXIT_USER,
    HostError,
    MachineError,
)
from harness.run.results_model import (
    FAILED,
    INCOMPLETE,
    LAB_FAILED,
    NOT_JUDGED,
    NOT_RUN,
    NOT_SELECTED,
    PASSED,
    WORSE,
    Outcome,
    Results,
)

PYTEST_OK = (0, 5)  # passed, or nothing to do
PYTEST_FAILED = 1
_PYTEST_ENDED = "no case tells what went wrong, but pytest ended with exit code"
LAB = frozenset({MachineError.whose, HostError.whose})
Kind = Literal["good", "bad", "other"]
MOST_REASON = 300  # characters: a headline and a reason are lines
SOME = 5  # names in a line
COULD_NOT_BEGIN, INTERRUPTED, ENDED_EARLY, ENDED_BADLY = "could not begin", "interrupted", "ended early", "ended badly"
NOTHING_SELECTED, NO_HISTORY = "nothing selected", "no history"


@dataclass(frozen=True)
class RunEnd:
    """How a run ended, as its last event tells it: pytest's exit code, what kept it from going on, its deadline."""

    code: int = 0
    interrupted: bool = False
    error: str = ""
    exit: int = EXIT_OK  # of that error
    deadline: str = ""

    @classmethod
    def of(cls, event: Mapping[str, Any] | None) -> RunEnd:
        """Return what an ``end`` event says; a run without one was interrupted."""
        if event is None:
            return cls(interrupted=True)
        error = event.get("error") or {}
        return cls(
            code=event.get("code", 0),
            interrupted=event.get("interrupted", False),
            error=error.get("text", ""),
            exit=error.get("exit", EXIT_OK),
            deadline=event.get("deadline", ""),
        )


@dataclass(frozen=True)
class OutcomeKind:
    """How an outcome is shown. ``sign`` stands beside its word, where there are no colours."""

    exit: int
    sign: str
    kind: Kind


# From the gravest. Of "could not begin" and "ended early" the exit code is that of the error which was the cause.
KINDS: Mapping[str, OutcomeKind] = {
    COULD_NOT_BEGIN: OutcomeKind(EXIT_USER, "✗", "bad"),
    INTERRUPTED: OutcomeKind(EXIT_INTERRUPTED, "…", "other"),
    FAILED: OutcomeKind(EXIT_CASES_FAILED, "✗", "bad"),
    WORSE: OutcomeKind(EXIT_CASES_FAILED, "▲", "bad"),
    LAB_FAILED: OutcomeKind(EXIT_MACHINE, "⚒", "other"),
    ENDED_EARLY: OutcomeKind(EXIT_HOST, "…", "bad"),
    ENDED_BADLY: OutcomeKind(EXIT_CASES_FAILED, "✗", "bad"),
    INCOMPLETE: OutcomeKind(EXIT_NOT_JUDGED, "…", "bad"),
    NOTHING_SELECTED: OutcomeKind(EXIT_USER, "–", "bad"),
    NOT_RUN: OutcomeKind(EXIT_HOST, "–", "other"),
    NOT_JUDGED: OutcomeKind(EXIT_NOT_JUDGED, "?", "bad"),
    NO_HISTORY: OutcomeKind(EXIT_NOT_JUDGED, "?", "bad"),
    PASSED: OutcomeKind(EXIT_OK, "✓", "good"),
}
Finding = tuple[str, str]  # a word of KINDS, and the line that says why


def concluded(found: Results, end: RunEnd, *, began: bool) -> Results:
    """Return results with how they ended and with their outcome; `began`: its cases were collected."""
    failed = any(one.failed for one in found.every_count)
    badly = "" if end.code in PYTEST_OK or (failed and end.code == PYTEST_FAILED) else f"{_PYTEST_ENDED} {end.code}"
    found = found.model_copy(update={"interrupted": end.interrupted, "error": end.error or badly})
    findings = sorted(_findings(found, end, badly, began), key=lambda one: RANKS.index(one[0]))
    word = findings[0][0] if findings else PASSED
    exit_ = end.exit if word in (COULD_NOT_BEGIN, ENDED_EARLY) and end.exit else KINDS[word].exit
    reasons = tuple(dict.fromkeys(text for _, text in findings))
    made = Outcome(word=word, exit=exit_, headline=f"{word}: {sentence(found)}", reasons=reasons)
    return found.model_copy(update={"outcome": made, "exit": exit_})


RANKS = tuple(KINDS)


def _findings(found: Results, end: RunEnd, badly: str, began: bool) -> Iterator[Finding]:
    """Yield what keeps a run from having passed."""
    if end.error:
        yield (ENDED_EARLY if began else COULD_NOT_BEGIN), _line(end.error)
    elif end.interrupted:
        yield INTERRUPTED, "interrupted: this is what was found until then"
    elif badly:
        yield ENDED_BADLY, badly
    yield from _of_cells(found, whole=not end.error and not end.interrupted)
    if found.history:
        yield NO_HISTORY, _line(found.history)


def _of_cells(found: Results, *, whole: bool) -> Iterator[Finding]:
    """Yield what is to be said of cells; `whole`: the run came to its end, so that what has no outcome is a finding."""
    for row in found.cells:
        count = row.cases.failed
        if row.status in (FAILED, LAB_FAILED):
            whose = "" if row.status == FAILED else ", all by the fault of the machine or this host"
            yield row.status, f"{row.id}: {plural(count, 'case')} failed{whose}"
        elif row.status == NOT_RUN:
            yield NOT_RUN, f"{row.id}: not run: {_line(row.reason)}"
        elif row.status == INCOMPLETE and whole:
            yield INCOMPLETE, f"{row.id}: {_unrun(row.unrun)}"
        if row.gate and row.gate.judged in (WORSE, NOT_JUDGED):
            yield row.gate.judged, _line(f"{row.id}: {row.gate.judged}: {'; '.join(row.gate.reasons)}")
    others = found.other
    if others.cases.failed:
        labs = all(one.whose in LAB for one in others.failures)
        yield (LAB_FAILED if labs else FAILED), f"{plural(others.cases.failed, 'case')} without a cell failed"
    if others.unrun and whole:
        yield INCOMPLETE, f"cases without a cell: {_unrun(others.unrun)}"
    statuses = {row.status for row in found.cells}
    if whole and not others.cases.total and (NOT_SELECTED in statuses and statuses <= {NOT_SELECTED, NOT_RUN}):
        yield NOTHING_SELECTED, "no case was selected"


def sentence(found: Results) -> str:
    """Return in one line what a run's cells and cases came to."""
    failures = found.every_failure
    lab = sum(one.whose in LAB for one in failures)
    gates = [row.gate.judged for row in found.cells if row.gate]
    against = found.against or ""
    counts = (
        (len(failures) - lab, "product failure"), (lab, "lab failure"),
        (sum(len(row.known) for row in found.cells), "known failure"),
        (sum(row.status in (NOT_RUN, INCOMPLETE) for row in found.cells), "idle cell"),
    )  # fmt: skip
    told = [plural(count, what) for count, what in counts if count]
    told += [f"{plural(gates.count(word), 'cell')} {word} {'than' if word == WORSE else 'against'} {against}"
             for word in (WORSE, NOT_JUDGED) if word in gates]  # fmt: skip
    passed = sum(row.status == PASSED for row in found.cells)
    more = f"; {', '.join(told)}" if told else ""
    return f"{passed} of {plural(len(found.cells), 'cell')} passed{more}"


def plural(count: int, one: str) -> str:
    """Return a count with its noun."""
    return f"{count} {one}{'' if count == 1 else 's'}"


def _unrun(names: Sequence[str]) -> str:
    if not names:
        return "not all of its cases ran"
    more = f" and {len(names) - SOME} more" if len(names) > SOME else ""
    return _line(f"{plural(len(names), 'case')} did not run: {', '.join(names[:SOME])}{more}")


def _line(text: str) -> str:
    """Return the first line of what somebody said, cut to the length of a line."""
    first = (text.strip().splitlines() or [""])[0]
    return first if len(first) <= MOST_REASON else f"{first[:MOST_REASON]}…"


_OLDER = {0: PASSED, 1: FAILED, 2: NOTHING_SELECTED, 3: NOT_RUN, 4: LAB_FAILED, EXIT_INTERRUPTED: INTERRUPTED}


def of_older(found: Results) -> Results:
    """Return the results of a harness that wrote no outcome, with the one that its exit code tells of."""
    word = INTERRUPTED if found.interrupted else _OLDER.get(found.exit, ENDED_EARLY)
    reasons = (_line(found.error),) if found.error else ()
    made = Outcome(word=word, exit=found.exit, headline=f"{word}: {sentence(found)}", reasons=reasons)
    return found.model_copy(update={"outcome": made})
