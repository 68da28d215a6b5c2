"""`harness history`: figures over time on a terminal, and the history as JSON Lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from harness.errors import UserError
from harness.history import History, store
from harness.history.floors import floors_of
from harness.history.trends import to_json, trend
from harness.measure.compare import is_step
from harness.measure.floor import Floors
from harness.measure.gate import differing
from harness.measure.series import Series
from harness.show import history_text as text
from harness.show import history_view as view
from harness.show.history_view import ID, Shown

# What an overview of several cells shows of each; of one cell everything is shown.
HEADLINES = {("exact", "ready"), ("exact", "total"), ("wall", "ready"), ("size", "total")}
OVERVIEW = 1000  # runs that an overview looks back
FACTS = ("run", "when", "harness", "plan", "commit", "subject", "changed")


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
    if len(rest) > (first == "export"):
        raise UserError(
            f"too many words: {' '.join(words)}", hint="harness history [IMAGE | import FILE… | export [FILE]]"
        )
    with History.open(where, create=False) as opened:
        if first == "export":
            return history_lines.export(opened, rest)
        return _runs(opened, request) if request.runs else _show(opened, first or None, request)


def _show(opened: History, image: str | None, request: HistoryRequest) -> int:
    heads = opened.series(image, request.machine, request.mode, request.figure)
    if not heads:
        raise _nothing(opened, {"image": image, "machine": request.machine, "figure": request.figure})
    several = len({(head.image, head.machine) for head in heads}) > 1
    if several and request.figure is None:
        heads = [head for head in heads if (head.mode, head.figure) in HEADLINES]
    looked = None if request.figure and not several else max(OVERVIEW, request.last)
    found = [_shown(opened, newest, older, looked) for newest, older in _by_key(heads, every=request.every_key)]
    if request.figure is None and not request.as_json:  # of the kernel's steps, those worth a line
        found = [one for one in found if one.trend.changes or not is_step(one.trend.series.figure)]
    if request.as_json:
        rows = [to_json(one.trend, one.key, request.last) for one in found]
        print(json.dumps({"history": opened.place.text, "series": rows}, indent=1))
        return 0
    page = text.Page.of(sys.stdout)
    if looked is None:
        blocks = [list(view.detail(page, one, request.last)) for one in found]
    else:
        cells = groupby(found, key=lambda one: (one.trend.series.image, one.trend.series.machine))
        blocks = [[page.fit(page.plain(" on ".join(cell)), page.width), *view.overview(page, list(group), request.last)]
                  for cell, group in cells]  # fmt: skip
    print("\n\n".join("\n".join(block) for block in blocks))
    return 0


def _by_key(heads: Sequence[Series], *, every: bool) -> Iterator[tuple[Series, list[Series]]]:
    """Yield each figure's newest series and its older ones, or with `every` each series for itself."""
    for _, same in groupby(heads, key=lambda head: (head.image, head.machine, head.arch, head.mode, head.figure)):
        newest, *older = same
        yield newest, [] if every else older
        if every:
            yield from ((head, []) for head in older)


def _shown(opened: History, head: Series, older: Sequence[Series], last: int | None) -> Shown:
    key = opened.key(head) if head.key else {}
    floors = floors_of(opened, head.image, head.machine, key=head.key) if head.mode == "exact" else Floors()
    others = [(opened.count(other), differing(opened.key(other), key)) for other in older]
    return Shown(trend(opened.values(head, last), floors), key, tuple(others))


def _nothing(opened: History, wanted: dict[str, str | None]) -> UserError:
    heads = opened.series()
    for what, name in wanted.items():
        known = sorted({getattr(head, what) for head in heads})
        if name and not any(one == name or (what == "image" and store.names(one, name)) for one in known):
            return UserError(f"the history has no {what} {name}", hint=f"it has: {', '.join(known) or 'no runs'}")
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
    rows = [(one.run[:ID], one.when, page.plain(one.commit[:ID] + "+" * one.changed), page.plain(one.subject))
            for one in reversed(found)]  # fmt: skip
    for line in text.table(rows):
        print(page.fit(line, page.width))
    return 0
