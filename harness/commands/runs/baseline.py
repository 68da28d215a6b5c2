"""`harness baseline`: the runs that others are measured by."""

from __future__ import annotations

import getpass
import json
import sys
from dataclasses import asdict

from harness.errors import UserError
from harness.history import History, baselines
from harness.history.baselines import AcceptedRun
from harness.show import history_text as text
from harness.show.history_view import ID


def baseline(
    action: str,
    run: str | None,
    reason: str,
    *,
    image: str | None,
    machine: str | None,
    where: str | None,
    as_json: bool,
) -> int:
    """Accept a run, list what was accepted, or take a baseline away."""
    if action == "list" and run is None:
        return list_(where=where, as_json=as_json)
    if action == "accept" and run is not None:
        return accept(run, reason, image=image, machine=machine, where=where)
    if action == "remove" and run is not None:
        with History.open(where, create=False) as opened:
            gone = baselines.remove(opened, run)
        print(f"baseline {gone.number} is gone: run {gone.run.run[:ID]} of {gone.run.when}")
        return 0
    what = "no run" if action == "list" else "a number" if action == "remove" else "a run"
    raise UserError(
        f"harness baseline {action} takes {what}",
        hint="harness baseline accept RUN --reason TEXT, harness baseline list, or harness baseline remove NUMBER",
    )


def accept(run: str, reason: str, *, image: str | None, machine: str | None, where: str | None) -> int:
    """Make a run the baseline from now on, of all its cells or of some. Returns 0."""
    if not reason.strip():
        raise UserError("a baseline needs a reason", hint="--reason TEXT: why these figures are to be accepted")
    with History.open(where, create=False) as opened:
        made = baselines.accept(opened, opened.run(run), reason.strip(), who=_who(), image=image or "",
                                machine=machine or "")  # fmt: skip
        cells = [cell for cell in opened.cells(made.run) if made.covers(cell)]
    page = text.Page.of(sys.stdout)
    print(f"baseline {made.number}: run {made.run.run[:ID]} of {made.run.when}")
    for cell in cells:
        print(page.plain(f"  {cell.image} on {cell.machine}: {len(cell.exact)} exact figures, {len(cell.sizes)} sizes"))
    return 0


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return ""


def list_(*, where: str | None, as_json: bool) -> int:
    """Print the baselines, newest first. Returns 0."""
    with History.open(where, create=False) as opened:
        found = baselines.accepted(opened)[::-1]
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=1))
        return 0
    page = text.Page.of(sys.stdout)
    for line in text.table([_row(page, one) for one in found], right=(0,)) or ["no baselines yet"]:
        print(page.fit(line, page.width))
    return 0


def _row(page: text.Page, one: AcceptedRun) -> tuple[str, ...]:
    scope = " on ".join(filter(None, (one.image, one.machine))) or "all of the run"
    words = (one.when[:10], one.who, f"run {one.run.run[:ID]}", one.run.commit[:ID], scope, one.reason)
    return (str(one.number), *(page.plain(word) for word in words))
