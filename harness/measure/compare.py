"""Two exact boots side by side: what changed, by how much, and whose doing it is. The total alone decides. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness.measure.account import IDLE
from harness.measure.floor import Floors
from harness.measure.phases import ASKED, READY

Answer = Literal["better", "same", "worse"]
TOTAL = "total"
CPU = "cpu/"  # begins the figure of who had the processor (account.py)
# what older harnesses kept: spans of the kernel's initcalls and modules, and services that were started one by one
OLDER = ("initcall/", "module/")
OLDER_ALONE = " alone"
BESIDE = "services/"
RENAMED_US, RENAMED_SHARE = 60, 0.02  # one that is gone and one that is new are one under another name, if so alike
LEAST_SHARE = 0.1  # of the whole change: who has less of it is not named as its cause


@dataclass(frozen=True)
class Change:
    """A figure of two boots in µs (None: that boot has no such figure), and the floor beyond which it counts."""

    figure: str
    before: int | None
    after: int | None
    floor: int

    @property
    def us(self) -> int:
        """How much more the second one takes; what is not there takes nothing."""
        return (self.after or 0) - (self.before or 0)

    @property
    def counts(self) -> bool:
        """Whether it is more than perturbation alone."""
        return abs(self.us) > self.floor


@dataclass(frozen=True)
class Cause:
    """One owner's part in a change, in µs of the processor; ``share`` of the whole change, None where that is nothing.

    ``before`` or ``after`` is None of who was not there; ``renamed``: what it was called before. ``span``: it is a
    phase, and its time from end to end: all that is known of a boot without a trace.
    """

    owner: str
    before: int | None
    after: int | None
    share: float | None
    renamed: str = ""
    span: bool = False

    @property
    def us(self) -> int:
        """How much more it uses."""
        return (self.after or 0) - (self.before or 0)


@dataclass(frozen=True)
class Comparison:
    """The changes, largest first; what the total comes to; and whose doing it is, largest first."""

    changes: tuple[Change, ...]
    answer: Answer
    causes: tuple[Cause, ...]
    total: Change | None

    @property
    def culprit(self) -> Cause | None:
        """Who has most of a change that counts, the same way as the whole; None when nobody has much of it."""
        if self.total is None or self.answer == "same":
            return None
        mine = (one for one in self.causes if not one.renamed and (one.us > 0) == (self.answer == "worse"))
        return next((one for one in mine if one.share is None or one.share >= LEAST_SHARE), None)


def compare(before: Mapping[str, int], after: Mapping[str, int], floors: Floors) -> Comparison:
    """Compare the figures of two boots: the answer is the total's (or ready's, where there is none), beyond its floor.

    Parts explain it and decide nothing: a part that is larger while the whole is not has cost nobody anything.
    """
    owners = {name for side in (before, after) for name in side if is_step(name)}
    names = [name for name in dict.fromkeys([*before, *after]) if name not in owners]
    changes = [
        Change(name, before.get(name), after.get(name),
               floors.of(name, *(side[name] for side in (before, after) if name in side)) + unsure(name, before, after))
        for name in names
    ]  # fmt: skip
    changes.sort(key=lambda change: (-abs(change.us), change.figure))
    whole = (change for name in (TOTAL, READY) for change in changes if change.figure == name)
    total = next((one for one in whole if one.before is not None and one.after is not None), None)
    answer: Answer = "same"
    if total is not None and total.counts:
        answer = "worse" if total.us > 0 else "better"
    return Comparison(tuple(changes), answer, tuple(causes(before, after, total.us if total else 0)), total)


def causes(before: Mapping[str, int], after: Mapping[str, int], whole_us: int) -> list[Cause]:
    """Return every owner whose use of the processor differs, largest first.

    Where not both sides tell of it, as a foreign OS cannot, the phases that differ: they follow each other, so they
    add up to the whole as well.
    """
    old, new = (
        {name.removeprefix(CPU): us for name, us in side.items() if name.startswith(CPU)} for side in (before, after)
    )

    def share(us: int) -> float | None:
        return us / whole_us if whole_us else None

    found = []
    if not old or not new:
        old, new = ({name: us for name, us in side.items() if _is_phase(name)} for side in (before, after))
        for name in {**old, **new}:
            was, is_now = old.get(name), new.get(name)
            found.append(Cause(name, was, is_now, share((is_now or 0) - (was or 0)), span=True))
        return _sorted(found)
    gone = {name: us for name, us in old.items() if name not in new}
    for name, us in sorted(new.items(), key=lambda row: -row[1]):
        was = old.get(name)
        renamed = ""
        if was is None:
            renamed = next((one for one, its in gone.items() if _alike(one, its, name, us)), "")
            was = gone.pop(renamed) if renamed else None
        found.append(Cause(name, was, us, share(us - (was or 0)), renamed))
    found += [Cause(name, us, None, share(-us)) for name, us in gone.items()]
    return _sorted(found)


def _sorted(found: list[Cause]) -> list[Cause]:
    return sorted((one for one in found if one.us or one.renamed), key=lambda one: (-abs(one.us), one.owner))


def unsure(figure: str, *sides: Mapping[str, int]) -> int:
    """Return by how many µs the whole may differ because health was asked for, not told; 0 of any other figure."""
    return max(side.get(ASKED, 0) for side in sides) if decides(figure) else 0


def _is_phase(figure: str) -> bool:
    """Say whether a figure is a phase of the main line: those of services run side by side."""
    return not (figure == ASKED or decides(figure) or is_step(figure) or figure.startswith(BESIDE))


def _alike(gone: str, its_us: int, new: str, us: int) -> bool:
    same_kind = gone.partition("/")[0] == new.partition("/")[0]
    return same_kind and abs(us - its_us) <= max(RENAMED_US, RENAMED_SHARE * its_us)


def is_step(figure: str) -> bool:
    """Say whether a figure is of who had the processor, or an older harness's of a step of the boot."""
    return figure.startswith((CPU, *OLDER)) or figure.endswith(OLDER_ALONE)


def decides(figure: str) -> bool:
    """Say whether a figure alone can make a boot better or worse: the whole, from power-on or from the clock's zero."""
    return figure in (TOTAL, READY)


def sentence(found: Comparison, before: str, after: str) -> str:
    """Say in one sentence what the comparison found; `before` and `after` name the two."""
    total = found.total
    if found.answer == "same":
        if not any(change.us for change in found.changes):
            return f"{after} boots as {before} does, to the microsecond."
        within = f": {signed(total.us)} in all, within the floor of {ms(total.floor)}" if total else ""
        return f"{after} boots as {before} does{within}."
    assert total is not None
    share = f" ({100 * total.us / total.before:+.2f} %)" if total.before else ""
    return f"{after} takes {signed(total.us)}{share} against {before}{blamed(found.culprit)}."


def blamed(culprit: Cause | None) -> str:
    """Return the part of a sentence that names the cause; empty when there is none to name."""
    if culprit is None:
        return ""
    if culprit.span:
        return f": {culprit.owner} takes {signed(culprit.us)}"
    if culprit.owner == IDLE:
        return f": nobody had the processor for {signed(culprit.us)}"
    if culprit.before is None:
        return f": {culprit.owner} is new and uses {ms(culprit.after or 0)} of the processor"
    if culprit.after is None:
        return f": {culprit.owner} is gone, which used {ms(culprit.before)} of the processor"
    return f": {culprit.owner} uses {signed(culprit.us)} of the processor"


def ms(us: float) -> str:
    """Return µs as people read them."""
    return f"{us / 1000:.3f} ms"


def signed(us: float) -> str:
    """Return a change of µs as people read it."""
    return f"{us / 1000:+.3f} ms"
