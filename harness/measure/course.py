"""What became of a figure, run by run: where it changed, between which two runs, and what is no change at all. Pure.

A run of an older commit (a bisection by hand, a re-run) says nothing of what came last, and one run alone that is far
off (and the next one is not) is no new level: neither begins a segment, and neither is blamed on who came next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.measure.changepoints import ChangePoint, change_points, exact_changes

ROLLED_BACK = 2  # runs of an older commit at the end of a series: that is what is built now


@dataclass(frozen=True)
class Course:
    """Where the values of a series changed, and by index which of them were left out of that.

    ``older`` are runs of an older commit, ``alone`` runs that were off by themselves. ``last_good`` says for each
    change, by its index, which was the last run before it; where small steps have summed up to a change it is the one
    that still had the level before, and the change is in ``creeping``.
    """

    changes: tuple[ChangePoint, ...] = ()
    older: frozenset[int] = frozenset()
    alone: tuple[ChangePoint, ...] = ()
    last_good: dict[int, int] = field(default_factory=dict)
    creeping: frozenset[int] = frozenset()


def older_runs(commits: Sequence[str]) -> frozenset[int]:
    """Return which runs were of an older commit than the one before them; `commits` has "" where none is known.

    A commit that was measured before, and others since, is an older one. At the very end it is what is built now
    (something was rolled back) once it has been measured there `ROLLED_BACK` times.
    """
    found: set[int] = set()
    seen: set[str] = set()
    newest = ""
    for index, commit in enumerate(commits):
        if commit and commit in seen and commit != newest:
            found.add(index)
        elif commit:
            seen.add(commit)
            newest = commit
    end = len(commits)
    while end and end - 1 in found and commits[end - 1] == commits[-1]:
        end -= 1
    if len(commits) - end >= ROLLED_BACK:
        found -= set(range(end, len(commits)))
    return frozenset(found) if len(found) < len(commits) else frozenset()


def as_judged(values: Sequence[int], floor: int, said: Mapping[int, tuple[int, str]]) -> list[int]:
    """Return exact values so that what pairs of boots have shown holds, whatever single boots differ by.

    `said` has by the place of a value that of the one it was judged by, and the answer: ``same`` is on its level,
    ``worse`` and ``better`` are beyond the floor. What follows lies as far from it as it was measured.
    """
    found: list[int] = []
    off = 0
    for index, value in enumerate(values):
        base, answer = said.get(index, (index, ""))
        if base < index and answer in ("same", "better", "worse"):
            by = value - values[base]
            by = {"same": 0, "worse": max(by, floor + 1), "better": min(by, -floor - 1)}[answer]
            off = found[base] + by - value
        found.append(value + off)
    return found


def exact_course(values: Sequence[int], floor: int, older: frozenset[int] = frozenset()) -> Course:
    """Return the course of exact values (or sizes): what moved more than `floor` from where its segment began."""
    kept = [index for index in range(len(values)) if index not in older]
    alone: list[ChangePoint] = []
    while True:
        found = exact_changes([values[index] for index in kept], floor)
        off = next((one for one in found if _alone([values[index] for index in kept], one, floor)), None)
        if off is None:
            break
        alone.append(replace(off, index=kept[off.index]))
        del kept[off.index]
    last_good: dict[int, int] = {}
    creeping: set[int] = set()
    for one in found:
        at, before = kept[one.index], one.index - 1
        if abs(values[at] - values[kept[before]]) <= floor:  # no step of it was beyond the floor
            before = max(index for index in range(one.index) if values[kept[index]] == one.before)
            creeping.add(at)
        last_good[at] = kept[before]
    changes = tuple(replace(one, index=kept[one.index]) for one in found)
    return Course(changes, older, tuple(sorted(alone, key=lambda one: one.index)), last_good, frozenset(creeping))


def _alone(values: Sequence[int], change: ChangePoint, floor: int) -> bool:
    """Say whether a value is off by itself: the one after it is back where its segment was."""
    after = change.index + 1
    return after < len(values) and abs(values[after] - change.before) <= floor


def noisy_course(values: Sequence[float], older: frozenset[int] = frozenset()) -> Course:
    """Return the course of noisy values: where their mean moved for good."""
    kept = [index for index in range(len(values)) if index not in older]
    found = change_points([values[index] for index in kept])
    return Course(
        tuple(replace(one, index=kept[one.index]) for one in found),
        older,
        last_good={kept[one.index]: kept[one.index - 1] for one in found},
    )
