"""A run in a few lines: what the image broke and what the lab broke, in Markdown and as annotations of GitHub. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.run.changes import RunChange
from harness.run.outcome import KINDS, LAB
from harness.run.results import case_of
from harness.run.results_model import INCOMPLETE, NOT_RUN, Results

MOST = 50  # rows of a kind: whoever wants all of them opens the page
TEXT = 300  # characters of a message
ANNOTATIONS = 10  # of a kind, that GitHub shows of a step
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@])")  # @: a guest's words shall call nobody
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True)
class Broken:
    """A failed case: where, what it said, and by whose hand when that is known."""

    cell: str
    case: str
    message: str
    whose: str


@dataclass(frozen=True)
class Sorted:
    """What went wrong in a run, by whose hand. ``known`` and ``idle`` (cells not run) are text."""

    product: tuple[Broken, ...]
    lab: tuple[Broken, ...]
    known: tuple[str, ...]
    idle: tuple[str, ...]


def sort(results: Results) -> Sorted:
    """Tell the image's failures from the lab's."""
    failed = [Broken(row.id, case_of(one.case, row.id), one.message, one.whose)
              for row in results.cells for one in row.failures]  # fmt: skip
    failed += [Broken("", one.case, one.message, one.whose) for one in results.other.failures]
    known = [f"{row.id}: {case_of(one.case, row.id)}, {one.known}" for row in results.cells for one in row.known]
    idle = [f"{row.id}: {(row.reason.splitlines() or [row.status])[0]}" for row in results.cells
            if row.status in (NOT_RUN, INCOMPLETE)]  # fmt: skip
    return Sorted(
        tuple(one for one in failed if one.whose not in LAB), tuple(one for one in failed if one.whose in LAB),
        tuple(known), tuple(idle),
    )  # fmt: skip


def markdown(results: Results, changed: Sequence[RunChange]) -> str:
    """Return the summary of a run in Markdown; a guest's words are text in it, whatever they look like."""
    return "\n".join(_lines(results, changed)) + "\n"


def _lines(results: Results, changed: Sequence[RunChange]) -> Iterator[str]:
    found = sort(results)
    yield f"## {_plain(results.outcome.headline)}"
    if results.error:
        yield f"\n{_plain(results.error)}"
    yield from _list("Why it has not passed", results.outcome.reasons)
    for title, broken in (("What the images broke", found.product), ("What the lab broke", found.lab)):
        rows = [f"{one.cell}: {one.case}" + (f" ({one.whose})" if one.whose else "") + f" – {one.message}"
                for one in broken]  # fmt: skip
        yield from _list(title, rows)
    yield from _list("Known", found.known)
    yield from _list("Not run", found.idle)
    yield from _list("Repeated, for the lab had broken it", [
        f"{row.id}: {case_of(one.case, row.id)} ({one.whose}) – {one.message}"
        for row in results.cells for one in row.repeated])  # fmt: skip
    yield from _list(
        f"Exact times against {results.against}",
        [f"{row.id}: {row.gate.judged}: {row.gate.how}" for row in results.cells if row.gate and row.gate.how],
    )
    yield from _list("Since the run before", [f"{one.kind}: {one.text}" for one in changed])
    if not results.cells:
        return
    yield "\n| image | machine | MB | exact ms | wall ms | passed | failed | known | skipped | status |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    for row in results.cells:
        exact, wall, cases = row.boot.exact.ready, row.boot.wall.ready, row.cases
        gate = f", {row.gate.judged}" if row.gate else ""
        cells = (row.label, row.machine, _figure(row.size and row.size / 1e6, 2), _figure(exact, 3),
                 _figure(wall, 0), cases.passed, cases.failed, cases.known, cases.skipped,
                 f"{row.status}{gate}")  # fmt: skip
        yield f"| {' | '.join(_plain(str(cell)) for cell in cells)} |"


def _list(title: str, rows: Sequence[str]) -> Iterator[str]:
    if not rows:
        return
    yield f"\n### {title}"
    yield from (f"- {_plain(row)}" for row in rows[:MOST])
    if len(rows) > MOST:
        yield f"- and {len(rows) - MOST} more"


def workflow_commands(results: Results) -> Iterator[str]:
    """Yield GitHub's workflow commands (``::error title=…::…``): the outcome, then each failed case and the rest.

    A step shows `ANNOTATIONS` of a kind and leaves the rest out without a word: so the last one says how many.
    """
    found, outcome = sort(results), results.outcome
    good = KINDS[outcome.word].kind == "good" if outcome.word in KINDS else not outcome.exit
    told = "\n".join((outcome.headline, *outcome.reasons[:ANNOTATIONS]))
    rows = {"error": [("product failure", f"{one.cell}: {one.case}", one.message) for one in found.product]
            + [("lab failure", f"{one.cell}: {one.case}", one.message) for one in found.lab],
            "warning": [("known failure", "", text) for text in found.known]
            + [("not run", "", text) for text in found.idle]}  # fmt: skip
    yield from ([_annotation("notice", "outcome", told)] if good else [])
    for kind, some in rows.items():
        first = [_annotation("error", "outcome", told)] if kind == "error" and not good else []
        room = ANNOTATIONS - len(first)
        shown = some if len(some) <= room else some[: room - 1]
        yield from first
        for title, where, text in shown:
            yield _annotation(kind, f"{title}: {where}" if where else title, text)
        if len(shown) < len(some):
            yield _annotation(kind, "and more", f"{len(some) - len(shown)} more are in the summary and the report")


def _annotation(kind: str, title: str, text: str) -> str:
    return f"::{kind} title={_escaped(title, name=True)}::{_escaped(text[: 10 * TEXT])}"


def _escaped(text: str, *, name: bool = False) -> str:
    """Escape as GitHub's own toolkit does (actions/toolkit, command.ts): data, and more in a property."""
    for mark, code in {"%": "%25", "\r": "%0D", "\n": "%0A", **({":": "%3A", ",": "%2C"} if name else {})}.items():
        text = text.replace(mark, code)
    return text


def _plain(text: str) -> str:
    brief = _CONTROL.sub(" ", text)
    brief = brief if len(brief) <= TEXT else f"{brief[:TEXT]}…"
    return _MARKDOWN.sub(r"\\\1", brief)


def _figure(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
