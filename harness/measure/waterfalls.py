"""Two waterfalls side by side: each phase and who had the processor in it, in the order of time. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from harness.measure.account import IDLE
from harness.measure.compare import Cause, blamed
from harness.measure.phases import Phase

LEAST_US = 20  # of a part: what differs less is not shown
MOST_OF_IT = 0.5  # of what its owner uses more: a program that has less of it is not named


@dataclass(frozen=True)
class DiffRow:
    """A phase (``depth`` 0) or a part of it (1) of two boots: µs, None where it is not there; and each side's slack,
    where it is an onboot or a service (0: it is on the path to `ready`)."""

    name: str
    depth: int
    before: int | None
    after: int | None
    slack: tuple[int | None, int | None] = (None, None)

    @property
    def us(self) -> int:
        """How much longer it takes, or how much more of the processor it uses."""
        return (self.after or 0) - (self.before or 0)

    @property
    def place(self) -> str:
        """Where it lies, in words: on the path to `ready`, or with how much slack; empty of what has none."""
        if self.slack == (None, None):
            return ""
        told = ["" if one is None else "on the path" if one == 0 else f"slack {one / 1000:.3f}" for one in self.slack]
        words = [word for word in dict.fromkeys(told) if word]
        return " → ".join(words)


def diff(before: Sequence[Phase], after: Sequence[Phase]) -> list[DiffRow]:
    """Return every phase of the main line, and below it its parts that differ; the whole is the last row."""
    lines = [[phase for phase in side if not phase.under] for side in (before, after)]
    if not all(lines):
        return []
    found = [row for name in _merged(*lines) for row in _rows(name, before, after)]
    totals = [sum(phase.us for phase in line) for line in lines]
    return [*found, DiffRow("all", 0, totals[0], totals[1])]


def _merged(before: Sequence[Phase], after: Sequence[Phase]) -> list[str]:
    """Return the names of both main lines in order: what one side alone has stands where it has it."""
    names: list[str] = []
    for pair in zip_longest((phase.name for phase in before), (phase.name for phase in after)):
        names += [name for name in pair if name is not None]
    order = list(dict.fromkeys(names))
    places = {name: max(_place(name, before), _place(name, after)) for name in order}
    return sorted(order, key=lambda name: places[name])


def _place(name: str, line: Sequence[Phase]) -> float:
    return next((phase.start_us for phase in line if phase.name == name), float("-inf"))


def _rows(name: str, before: Sequence[Phase], after: Sequence[Phase]) -> Iterator[DiffRow]:
    old, new = (next((one for one in side if one.name == name and not one.under), None) for side in (before, after))
    yield _row(name, 0, old, new)
    sides = [{one.name: one for one in side if one.under == name} for side in (before, after)]
    for part in dict.fromkeys([*sides[0], *sides[1]]):
        row = _row(part, 1, sides[0].get(part), sides[1].get(part))
        if abs(row.us) >= LEAST_US:
            yield row


def _row(name: str, depth: int, old: Phase | None, new: Phase | None) -> DiffRow:
    return DiffRow(name, depth, old.us if old else None, new.us if new else None,
                   (old.slack_us if old else None, new.slack_us if new else None))  # fmt: skip


def named(culprit: Cause | None, found: Sequence[DiffRow], parts: tuple[Mapping[str, int], Mapping[str, int]]) -> str:
    """Return the end of a sentence that names the cause: who, in which of its programs, and where that lies; of idling,
    who was waited for.

    `parts` are what the culprit's programs used, before and after.
    """
    if culprit is None:
        return ""
    grown = Counter(parts[1])
    grown.subtract(parts[0])
    alike = {name: abs(us) for name, us in grown.items() if (us > 0) == (culprit.us > 0)}
    most = max(alike, key=lambda name: alike[name], default="")
    own = most if most and alike[most] > MOST_OF_IT * abs(culprit.us) else ""
    place = next((row.place for row in found if row.name == culprit.owner and row.place), "")
    part = f", {own}" if culprit.owner == IDLE else f", in its program {own}"
    return blamed(culprit) + (part if own else "") + (f", {place}" if place else "")
