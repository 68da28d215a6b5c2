"""A run in a few lines: what the image broke and what the lab broke, in Markdown and as annotations of GitHub. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.report.words import plural
from harness.run.changes import RunChange
from harness.run.results import LAB, function_of

BriefRow = Mapping[str, Any]
MOST = 50  # rows of a kind: whoever wants all of them opens the page
TEXT = 300  # characters of a message
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


def sort(results: BriefRow) -> Sorted:
    """Tell the image's failures from the lab's."""
    failed = [
        Broken(row.get("id", ""), function_of(one["case"]), one["message"], one.get("whose", ""))
        for row in (*results["cells"], results["other"]) for one in row["failures"]
    ]  # fmt: skip
    known = [f"{row['id']}: {function_of(one['case'])}, {one['known']}"
             for row in results["cells"] for one in row["known"]]  # fmt: skip
    idle = [f"{row['id']}: {(row['reason'].splitlines() or [row['status']])[0]}" for row in results["cells"]
            if row["status"] in ("not run", "incomplete")]  # fmt: skip
    return Sorted(
        tuple(one for one in failed if one.whose not in LAB), tuple(one for one in failed if one.whose in LAB),
        tuple(known), tuple(idle),
    )  # fmt: skip


def headline(results: BriefRow) -> str:
    """Return a run's outcome in one line."""
    found = sort(results)
    passed = sum(row["status"] == "passed" for row in results["cells"])
    counts = (
        (len(found.product), "product failure"), (len(found.lab), "lab failure"), (len(found.known), "known failure"),
        (len(found.idle), "idle cell"),
    )  # fmt: skip
    told = ", ".join(plural(count, what) for count, what in counts if count)
    return f"{passed} of {len(results['cells'])} cells passed{f'; {told}' if told else ''}"


def markdown(results: BriefRow, changed: Sequence[RunChange]) -> str:
    """Return the summary of a run in Markdown; a guest's words are text in it, whatever they look like."""
    return "\n".join(_lines(results, changed)) + "\n"


def _lines(results: BriefRow, changed: Sequence[RunChange]) -> Iterator[str]:
    found = sort(results)
    yield f"## {headline(results)}"
    if results["error"]:
        yield f"\n{_plain(results['error'])}"
    if results["interrupted"]:
        yield "\nInterrupted: this is what was found until then."
    for title, broken in (("What the images broke", found.product), ("What the lab broke", found.lab)):
        rows = [f"{one.cell}: {one.case}" + (f" ({one.whose})" if one.whose else "") + f" – {one.message}"
                for one in broken]  # fmt: skip
        yield from _list(title, rows)
    yield from _list("Known", found.known)
    yield from _list("Not run", found.idle)
    yield from _list("Since the run before", [f"{one.kind}: {one.text}" for one in changed])
    yield "\n| image | machine | MB | exact ms | wall ms | passed | failed | known | skipped | status |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    for row in results["cells"]:
        exact, wall, cases = row["boot"]["exact"]["ready"], row["boot"]["wall"]["ready"], row["cases"]
        cells = (row["image"], row["machine"], _figure(row["size"] and row["size"] / 1e6, 2), _figure(exact, 3),
                 _figure(wall, 0), cases["passed"], cases["failed"], cases["known"], cases["skipped"],
                 row["status"])  # fmt: skip
        yield f"| {' | '.join(_plain(str(cell)) for cell in cells)} |"


def _list(title: str, rows: Sequence[str]) -> Iterator[str]:
    if not rows:
        return
    yield f"\n### {title}"
    yield from (f"- {_plain(row)}" for row in rows[:MOST])
    if len(rows) > MOST:
        yield f"- and {len(rows) - MOST} more"


def workflow_commands(results: BriefRow) -> Iterator[str]:
    """Yield GitHub's workflow commands (``::error title=…::…``): an error each failed case, a warning the rest."""
    found = sort(results)
    for kind, title, rows in (
        ("error", "product failure", [(f"{one.cell}: {one.case}", one.message) for one in found.product]),
        ("error", "lab failure", [(f"{one.cell}: {one.case}", one.message) for one in found.lab]),
        ("warning", "known failure", [("", text) for text in found.known]),
        ("warning", "not run", [("", text) for text in found.idle]),
    ):
        for where, text in rows[:MOST]:
            name = f"{title}: {where}" if where else title
            yield f"::{kind} title={_escaped(name, name=True)}::{_escaped(text[: 10 * TEXT])}"


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
