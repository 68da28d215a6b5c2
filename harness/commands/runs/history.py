"""`harness history`: figures over time on a terminal, and the history as JSON Lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from harness.commands.runs import history_figures as figures
from harness.errors import UserError
from harness.history import History, store
from harness.history.between import between
from harness.history.trends import to_json
from harness.show import history_changes as changed
from harness.show import history_text as text
from harness.show import history_view as view
from harness.show.history_view import ID
from harness.text import names

USAGE = "harness history [IMAGE | import FILE… | export [FILE] | drop RUN | note|ack RUN TEXT | rename OLD NEW]"
EDITS = {"drop": 1, "note": 2, "ack": 2, "rename": 2}  # with how many words
FACTS = ("run", "when", "harness", "plan", "commit", "subject", "changed", "note", "ack", "project")


@dataclass(frozen=True)
class HistoryRequest:
    """What to show. ``last``: how many runs."""

    machine: str | None = None
    mode: str | None = None
    figure: str | None = None
    last: int = 30
    every_key: bool = False
    runs: bool = False
    as_json: bool = False


def history(words: Sequence[str], request: HistoryRequest, where: str | None) -> int:
    """Show the history, or import or export it, as the first of `words` says. Returns 0."""
    if request.mode not in (None, *store.MODES):
        raise UserError(f"there is no mode {request.mode}", hint=f"one of: {', '.join(store.MODES)}")
    first, *rest = words or [""]
    if first in ("import", "export"):  # only these read runs: what shows the history starts without them
        from harness.commands.runs import history_lines
    if first == "import":
        return history_lines.import_(rest, where)
    if first in EDITS:
        return _edit(first, rest, where)
    if len(rest) > (first == "export"):
        raise UserError(f"too many words: {' '.join(words)}", hint=USAGE)
    with History.open(where, create=False) as opened:
        if first == "export":
            return history_lines.export(opened, rest)
        return _runs(opened, request) if request.runs else _show(opened, first or None, request)


def _edit(what: str, words: Sequence[str], where: str | None) -> int:
    """Take a run out, write on it, or give an image another name, and say what was done. Returns 0."""
    from harness.history import editing

    if len(words) != EDITS[what]:
        raise UserError(f"{what} takes {EDITS[what]} words, not {len(words)}", hint=USAGE)
    page = text.Page.of(sys.stdout)
    with History.open(where, create=False) as opened:
        if what == "rename":
            count = editing.rename(opened, *words)
            print(page.plain(f"{words[0]} is {words[1]} from now on: {count} boots"))
            return 0
        run = opened.run(words[0])
        if what == "drop":
            editing.drop(opened, run)
        else:
            (editing.note if what == "note" else editing.acknowledge)(opened, run, words[1])
    said = {"drop": "is gone", "note": "has the note", "ack": "and its change are accepted"}[what]
    print(page.plain(f"run {run.run[:ID]} of {run.when} {said}{f': {words[1]}' if len(words) > 1 else ''}"))
    return 0


def _show(opened: History, image: str | None, request: HistoryRequest) -> int:
    heads = opened.series(image, request.machine, request.mode, request.figure)
    if not heads:
        raise _nothing(opened, {"image": image, "machine": request.machine, "figure": request.figure})
    several = len({(head.image, head.machine) for head in heads}) > 1
    looked = None if request.figure and not several else max(figures.OVERVIEW, request.last)
    found = figures.shown(opened, heads, every_key=request.every_key, last=request.last, looked=looked,
                          several=several and request.figure is None)  # fmt: skip
    if request.as_json:
        rows = [to_json(one.trend, one.key, request.last) for one in found]
        print(json.dumps({"history": opened.place.text, "series": rows}, indent=1))
        return 0
    page = text.Page.of(sys.stdout)
    known = between(opened, Path.cwd())
    if looked is None:
        blocks = [list(view.detail(page, one, request.last, known)) for one in found]
    else:
        for line in changed.lines(page, changed.grouped([one.trend for one in found], request.last), known):
            print(line)
        judged = figures.judgements(opened, page, found)
        cells = groupby(found, key=lambda one: (one.trend.series.image, one.trend.series.machine))
        blocks = [[page.fit(page.plain(" on ".join(cell)), page.width),
                   *(page.fit(line, page.width) for line in judged.get(cell, ())),
                   *view.overview(page, list(group), request.last)]
                  for cell, group in cells]  # fmt: skip
    print("\n\n".join("\n".join(block) for block in blocks))
    return 0


def _nothing(opened: History, wanted: dict[str, str | None]) -> UserError:
    from harness.spec.text.complaints import nearest  # brings all that reads YAML

    heads = opened.series()
    for what, name in wanted.items():
        known = sorted({getattr(head, what) for head in heads})
        if name and not any(one == name or (what == "image" and store.names(one, name)) for one in known):
            near = nearest(name, known)
            hint = f"did you mean {near}?" if near else f"it has: {names(known) or 'no runs'}"
            return UserError(f"the history has no {what} {name}", hint=hint)
    return UserError(
        f"the history {opened.place.text} has {'nothing like that' if heads else 'no runs'}",
        hint="leave out an option" if heads else "every `harness matrix` adds to it",
    )


def _runs(opened: History, request: HistoryRequest) -> int:
    found = opened.runs(request.last)
    if request.as_json:
        print(json.dumps([{name: getattr(one, name) for name in FACTS} for one in found], indent=1))
        return 0
    page = text.Page.of(sys.stdout)
    rows = [(one.run[:ID], one.when, page.plain(one.commit[:ID] + "+" * one.changed), page.plain(one.subject),
             page.plain("; ".join(filter(None, (one.note, one.ack and f"accepted: {one.ack}")))))
            for one in reversed(found)]  # fmt: skip
    for line in text.table(rows):
        print(page.fit(line, page.width))
    return 0
