"""What two runs of the history were made of, and which commits lie between them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from harness.history.store import History
from harness.measure.blame import Commit, RunInputSets
from harness.measure.series import Point
from harness.run import revision


def between(opened: History, checkout: Path) -> Callable[[Point | None, Point], RunInputSets]:
    """Return what tells of two runs what they were made of, and of the commits between them if `checkout` knows."""

    @cache
    def commits(before: str, after: str) -> tuple[Commit, ...] | None:
        found = revision.between(checkout, before, after)
        return None if found is None else tuple(Commit(*row) for row in found)

    @cache
    def asked(before: Point | None, after: Point) -> RunInputSets:
        if before is None:
            return RunInputSets()
        sets = opened.inputs({before.inputs, after.inputs})
        some = commits(before.commit, after.commit) if before.commit != after.commit else ()
        return RunInputSets(sets.get(before.inputs), sets.get(after.inputs), some)

    return asked
