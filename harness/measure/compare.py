"""Two exact boots side by side: what changed, by how much, whether it counts, and what is to blame. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from harness.measure.floor import Floors
from harness.measure.phases import ALONE, READY, SERVICES

Answer = Literal["better", "same", "worse"]
TOTAL = "total"
# From what tells most of a cause to what tells least.
STEPS = ("initcall/", "module/")


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
class Comparison:
    """The changes, largest first; what they come to; and the one that tells most of the cause."""

    changes: tuple[Change, ...]
    answer: Answer
    culprit: Change | None
    total: Change | None


def compare(before: Mapping[str, int], after: Mapping[str, int], floors: Floors) -> Comparison:
    """Compare the figures of two boots that share a key."""
    before, after = alike(before, after)
    names = list(dict.fromkeys([*before, *after]))
    changes = [
        Change(name, before.get(name), after.get(name),
               floors.of(name, *(side[name] for side in (before, after) if name in side)))
        for name in names
    ]  # fmt: skip
    changes.sort(key=lambda change: (-abs(change.us), change.figure))
    total = next((change for name in (TOTAL, READY) for change in changes if change.figure == name), None)
    counting = [change for change in changes if change.counts and decides(change.figure)]
    answer = _answer(total, counting)
    return Comparison(tuple(changes), answer, _culprit(counting, answer), total)


def is_step(figure: str) -> bool:
    """Say whether a figure is of the boot that tells step by step: an initcall, a module, a service by itself."""
    return figure.startswith(STEPS) or figure.endswith(ALONE)


def alike(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Return both, without their steps where only one of them was told step by step: those would all seem new."""
    if any(map(is_step, before)) == any(map(is_step, after)):
        return before, after
    first, second = ({name: us for name, us in side.items() if not is_step(name)} for side in (before, after))
    return first, second


def decides(figure: str) -> bool:
    """Say whether a figure is of one thing alone.

    What a service takes from its start to its health is not, nor what it uses of the processor: services take turns on
    it, and whoever comes first reads the files that all need.
    """
    return figure.endswith(ALONE) or not figure.startswith(f"{SERVICES}/")


def _answer(total: Change | None, counting: Iterable[Change]) -> Answer:
    parts = [change for change in counting if change.figure not in (TOTAL, READY)]
    if total is not None and total.counts:
        sign = total.us
    elif parts:
        sign = max(parts, key=lambda change: abs(change.us)).us
    else:
        return "same"
    return "worse" if sign > 0 else "better"


def _culprit(counting: Iterable[Change], answer: Answer) -> Change | None:
    same_way = [change for change in counting if (change.us > 0) == (answer == "worse")]
    return max(same_way, key=lambda change: (_tells(change.figure), abs(change.us)), default=None)


def _tells(figure: str) -> int:
    """Return how much a figure tells of a cause: a step of the kernel or a service most, sums least."""
    if is_step(figure) or figure.startswith("onboot/"):
        return 3
    return {TOTAL: 0, READY: 0, SERVICES: 1}.get(figure, 2)


def sentence(found: Comparison, before: str, after: str) -> str:
    """Say in one sentence what the comparison found; `before` and `after` name the two."""
    total, culprit = found.total, found.culprit
    if found.answer == "same":
        if not any(change.us for change in found.changes):
            return f"{after} boots as {before} does, to the microsecond."
        within = f": {_signed(total.us)} in all, with a floor of {ms(total.floor)}" if total else ""
        return f"{after} boots as {before} does{within}."
    word = "slower" if found.answer == "worse" else "faster"
    parts = [f"{after} is {word} than {before}"]
    if total and total.before:
        parts = [f"{after} takes {_signed(total.us)} ({100 * total.us / total.before:+.2f} %) against {before}"]
    if culprit and culprit.figure not in (TOTAL, READY):
        parts.append(_blamed(culprit))
    return ": ".join(parts) + "."


def _blamed(change: Change) -> str:
    what = change.figure.removesuffix(ALONE)
    if change.before is None:
        return f"{what} is new and takes {ms(change.after or 0)}"
    if change.after is None:
        return f"{what} is gone, which took {ms(change.before)}"
    return f"{what} takes {_signed(change.us)}"


def ms(us: int) -> str:
    """Return µs as people read them."""
    return f"{us / 1000:.3f} ms"


def _signed(us: int) -> str:
    return f"{us / 1000:+.3f} ms"
