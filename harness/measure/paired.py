"""Two images by pairs of exact boots, each pair under one perturbation: is one slower, by how much, how sure. Pure.

What is done alike to both sides cancels out: a change in a program's own work shows the same difference in every
pair, to microseconds. A change that only moves where things lie (a new file, another name) shows another one each time.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.arch import ARCHES
from harness.measure.compare import ms, signed
from harness.measure.phases import SERVICES

PairedAnswer = Literal["better", "same", "worse"]

LEAST_US = 50  # what nobody cares about
STEADY = 0.15  # a cause of its own differs between pairs by at most this share of it, layout by more
FEWEST, MOST = 4, 12  # pairs
HOPELESS = 2  # pairs on either side of nothing, after which no others make it a difference
SIGMA = 1.4826  # the standard deviation by the median distance from the median
# Student's t, two-sided 99 %, by degrees of freedom
_T99 = (63.66, 9.92, 5.84, 4.60, 4.03, 3.71, 3.50, 3.36, 3.25, 3.17, 3.11, 3.05, 3.01, 2.98, 2.95)


@dataclass(frozen=True)
class PairedJudgement:
    """What pairs of boots show of a time: the mean difference in µs (after - before), and its interval at 99 %; where a
    pair lies far off all others, the middle one and its interval.

    ``certain``: more pairs would not change the answer. ``layout``: a difference was seen, but it depends on where
    things lie, and is within what that alone moves. ``first`` is the first phase that differs in any pair by more than
    `LEAST_US`, and ``first_us`` by how much, where that phase decides. ``asked_us``: the difference is no larger than
    this, for which a service that was asked for its health may have been healthy before it said so.
    """

    answer: PairedAnswer
    mean_us: float
    low_us: float
    high_us: float
    pairs: int
    certain: bool
    layout: bool = False
    first: str = ""
    first_us: float = 0.0
    asked_us: int = 0

    @property
    def margin_us(self) -> float:
        """How far the true difference may lie from the mean."""
        return (self.high_us - self.low_us) / 2


@dataclass(frozen=True)
class SlackSpan:
    """How long a service took to be healthy, and how much longer it could have idled, in µs."""

    us: int
    slack_us: int


def layout_us(arch: str) -> int:
    """Return what layout alone can do to an exact boot, in µs: beyond it a change counts however it comes about."""
    return ARCHES[arch].layout_us if arch in ARCHES else max(row.layout_us for row in ARCHES.values())


def judge_pairs(differences: Sequence[int], arch: str) -> PairedJudgement:
    """Judge the differences of pairs, in µs; an unknown architecture has the widest layout.

    Fewer than `FEWEST` pairs show nothing unless none of them differs.
    """
    count = len(differences)
    if not any(differences):
        return PairedJudgement("same", 0.0, 0.0, 0.0, count, certain=True)
    mean = statistics.fmean(differences)
    if count < FEWEST:
        return PairedJudgement("same", mean, -math.inf, math.inf, count, certain=False)
    deviation = statistics.stdev(differences)
    reach = _T99[min(count - 2, len(_T99) - 1)] * deviation / math.sqrt(count)
    low, high = mean - reach, mean + reach
    if low >= -LEAST_US and high <= LEAST_US:
        return PairedJudgement("same", mean, low, high, count, certain=True)
    seen = (low > 0 or high < 0) and abs(mean) >= LEAST_US
    large = abs(mean) >= layout_us(arch)
    steady = deviation <= STEADY * abs(mean)
    if seen and (large or steady):
        return PairedJudgement("worse" if mean > 0 else "better", mean, low, high, count, certain=True)
    certain = count >= MOST or _is_hopeless(differences, arch)
    return _by_the_middle(differences) or PairedJudgement("same", mean, low, high, count, certain, layout=seen)


def _is_hopeless(differences: Sequence[int], arch: str) -> bool:
    """Say whether no more pairs can make it a difference: two went one way and two the other, none beyond layout.

    With two on either side of nothing neither the middle can decide, for not all but the outermost go one way, nor can
    the mean be steady: the two that go the other way alone are too far from it.
    """
    ups, downs = sum(one > 0 for one in differences), sum(one < 0 for one in differences)
    return min(ups, downs) >= HOPELESS and max(map(abs, differences)) < layout_us(arch)


def _by_the_middle(differences: Sequence[int]) -> PairedJudgement | None:
    """Judge by the median, once there are all pairs: one that lies far off on either side says nothing of the others.

    Of 12 pairs all but the outermost on each side hold the true middle with 99.4 %.
    """
    if len(differences) < MOST:
        return None
    middle = statistics.median(differences)
    _, low, *_, high, _ = sorted(differences)
    off = SIGMA * statistics.median(abs(one - middle) for one in differences)
    if abs(middle) < LEAST_US or low * high <= 0 or off > STEADY * abs(middle):
        return None
    return PairedJudgement("worse" if middle > 0 else "better", middle, low, high, len(differences), certain=True)


def judge_boots(
    before: Sequence[Mapping[str, int]], after: Sequence[Mapping[str, int]], arch: str, asked_us: int = 0
) -> PairedJudgement:
    """Judge pairs of boots by their figures in µs, each with its phases in order and the whole as its last.

    Where the whole is not sure, for a change moves where all that comes after it lies, the first phase that moves at
    all decides, by the same rule: whatever differs later cannot be its cause. So it is where the whole differs by no
    more than `asked_us`, the most that `phases.asked_us` is of any boot; of the services' phase the same holds.
    """
    *_, whole = before[0]
    pairs = list(zip(before, after, strict=True))
    found = judge_pairs([new[whole] - old[whole] for old, new in pairs], arch)
    if found.answer != "same" and abs(found.mean_us) <= asked_us:
        found = replace(found, answer="same", asked_us=asked_us)
    first = next((name for name in before[0] if _moves(name, pairs)), whole)
    if found.answer != "same" or first == whole or (first == SERVICES and found.asked_us):
        return found
    one = judge_pairs([new.get(first, 0) - old[first] for old, new in pairs], arch)
    if one.answer == "same":
        return replace(found, certain=found.certain and one.certain)
    return replace(found, answer=one.answer, certain=True, layout=True, first=first, first_us=one.mean_us)


def _moves(name: str, pairs: Sequence[tuple[Mapping[str, int], Mapping[str, int]]]) -> bool:
    """Say whether a phase differs in any pair, by more than what nobody cares about: clocks round, on both sides."""
    return any(abs(new.get(name, 0) - old[name]) > LEAST_US for old, new in pairs)


@dataclass(frozen=True)
class SlackChange:
    """A service that takes longer or shorter to be healthy by µs, in every pair by about as much, while `ready` waits
    for another: ``slack_us`` is how much longer it could still idle."""

    name: str
    judgement: PairedJudgement
    slack_us: int

    @property
    def sentence(self) -> str:
        """What it is, in words."""
        one = self.judgement
        moved = f"{signed(one.mean_us)} ± {ms(one.margin_us)}"
        return f"in slack, {self.name} takes {moved}; it has {ms(self.slack_us)} left"


def may_lie_in_slack(before: Sequence[Mapping[str, SlackSpan]], after: Sequence[Mapping[str, SlackSpan]]) -> bool:
    """Say whether some service that `ready` did not wait for differs: then more pairs are worth it, though the whole is
    the same for sure."""
    spans = [(old[name], new[name]) for old, new in zip(before, after, strict=True) for name in old if name in new]
    return any(abs(new.us - old.us) > LEAST_US and min(old.slack_us, new.slack_us) > 0 for old, new in spans)


def in_slack(
    before: Sequence[Mapping[str, SlackSpan]], after: Sequence[Mapping[str, SlackSpan]], arch: str
) -> tuple[SlackChange, ...]:
    """Return the services that differ in how long they take to be healthy, though `ready` waited for none of them in
    any boot: each pair's, by name, with its slack. They are judged as the whole is."""
    found = []
    for name in before[0]:
        if not all(name in side and side[name].slack_us > 0 for side in (*before, *after)):
            continue
        pairs = [new[name].us - old[name].us for old, new in zip(before, after, strict=True)]
        one = judge_pairs(pairs, arch)
        if one.answer != "same":
            found.append(SlackChange(name, one, min(side[name].slack_us for side in after)))
    return tuple(found)


def told(paired: PairedJudgement, names: tuple[str, str], arch: str, because: str = "") -> str:
    """Return the sentence that says what pairs of boots showed; `names` are the sides', `because` names the cause."""
    before, after = names
    moved = f"{signed(paired.mean_us)} ± {ms(paired.margin_us)} in {paired.pairs} pairs"
    if paired.answer != "same" and paired.first:
        what = "slower" if paired.answer == "worse" else "faster"
        rest = f"({moved} in all, for it moves where the rest lies)"
        own = f"{paired.first} takes {signed(paired.first_us)} in every pair, and all before it the same"
        return f"{after} is {what} than {before}: {own} {rest}{because}."
    if paired.answer != "same":
        return f"{after} takes {moved} against {before}{because}."
    if paired.asked_us:
        why = f"and a service that programs ask for its health may have had it {ms(paired.asked_us)} before"
        return f"{after} boots as {before} does: {moved}, {why}."
    if paired.layout:
        most = ms(layout_us(arch))
        why = f"another difference each time, as where things lie in an image alone makes it (up to {most})"
        return f"{after} boots as {before} does: {moved}, {why}."
    return f"{after} boots as {before} does: {moved}."
