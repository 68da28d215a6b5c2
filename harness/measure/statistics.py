"""Compares two systems by the wall times of their boots, in pairs on a noisy host. Pure: same data, same answer."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from operator import mul
from typing import Any, Literal

PairVerdict = Literal["better", "same", "worse"]

# The goal is at most 1 false alarm in 20 comparisons. At 0.05 that is only their mean: every fourth time there would be
# more than 1; at 0.02 it is 6 times in 100. 0.01 would make it 2, and misses 1 to 5 more of 100 real changes of 10 %.
ALPHA = 0.02

# Yuen's t (a trimmed mean over a winsorized deviation; Biometrika 61, 1974), judged by flipped signs. Of 100 changes of
# +10 % it finds so many at ALPHA with 30 pairs (1000 of each simulated), where a boot deviates by 6 % and one in ten is
# 1.3 to 2 times slower; and where it deviates by 10 % and none is:
#                             slow boots   none
#   mean                              51     87
#   Hodges-Lehmann                    78     86
#   Wilcoxon's signed ranks           79     86
#   median                            83     78
#   mean, trimmed 20 %                86     84
#   Yuen's t, trimmed 15 %            88     82
#   Yuen's t, trimmed 20 %            93     79
#   Yuen's t, trimmed 25 %            93     76
#   biweight over its MAD             95     69
# A change with all signs flipped at random looks like more spread: what divides by a spread is not deceived by that.
TRIM = 0.2
# Of fewer pairs none is trimmed: a flip that goes unseen is one of the few that would have to tell.
TRIMMED = 10
# Of the whole variance in the spread: nothing beside noise, but without it ratios that agree in all but the trimmed
# pairs would have a spread of zero.
WHOLE = 1e-3
# 2 ** 10 flips are all there are of 11 pairs, for all signs at once do not matter. Of more, as many are drawn at random
# (by one seed, so that the same pairs always have the same answer), and more for an alpha that would be a few of them.
ENUMERATED = 11
FLIPS = 1023
SEED = 20240229
# Values this close are the same number, added up in another order.
SAME = 1e-9
# Of the estimate's own error: how exactly the interval's ends are sought.
PRECISION = 1 / 32
# An error that is smaller is rounding: a part in a million is less than any clock tells of a boot.
LEAST = 1e-6
# A change of e to this is none that is ever measured: an end beyond it is open.
FAR = 500.0


@dataclass(frozen=True)
class PairedComparison:
    """B against A: ``ratio`` of their times (above 1: B is slower), between ``low`` and ``high`` with 1 - `alpha`.

    ``p`` is two-sided. ``verdict`` "same": no change was shown, and one outside of `low` to `high` is unlikely. With
    fewer than `fewest_pairs` of them nothing can be shown: `low` is 0 and `high` infinite.
    """

    ratio: float
    low: float
    high: float
    p: float
    n: int
    alpha: float

    @property
    def verdict(self) -> PairVerdict:
        """Whether B is better (faster) or worse than A."""
        if self.p > self.alpha:
            return "same"
        return "worse" if self.ratio > 1 else "better"

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as what JSON can hold: a `high` that is not known is null."""
        return {"ratio": self.ratio, "low": self.low, "high": self.high if math.isfinite(self.high) else None,
                "p": self.p, "n": self.n, "alpha": self.alpha, "verdict": self.verdict}  # fmt: skip


def compare_pairs(pairs: Sequence[tuple[float, float]], *, alpha: float = ALPHA) -> PairedComparison:
    """Compare B with A by `pairs` (time of A, time of B), each booted one after the other; in any unit.

    Load that lasts longer than a boot cancels out within its pair. Which of the two boots first should alternate.
    ValueError: no pairs, or a time that is not above 0.
    """
    if not pairs:
        raise ValueError("no pairs to compare")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}, not between 0 and 1")
    if bad := [time for pair in pairs for time in pair if not (0 < time < math.inf)]:
        raise ValueError(f"{bad[0]} is not a time above 0")
    # In this order random flips meet the same values however the pairs are ordered, and when A and B are exchanged.
    logs = sorted((math.log(b / a) for a, b in pairs), key=lambda log: (abs(log), log))
    p = _p_value(logs, alpha)
    centre, error = _centre(logs)
    error = max(error, LEAST)
    low, high = (_end(logs, alpha, centre, side * error, shown=p <= alpha) for side in (-1, 1))
    return PairedComparison(math.exp(centre), math.exp(low), math.exp(high), p, len(logs), alpha)


def fewest_pairs(alpha: float = ALPHA) -> int:
    """Return with how many pairs a change can be shown at all: when all of them agree."""
    return 1 + math.ceil(math.log2(1 / alpha))


def _cut(n: int) -> int:
    return int(TRIM * n + SAME) if n >= TRIMMED else 0


def _centre(logs: Sequence[float]) -> tuple[float, float]:
    """Return the trimmed mean, and its standard error."""
    n, cut = len(logs), _cut(len(logs))
    kept = sorted(logs)[cut : n - cut]
    centre = math.fsum(kept) / len(kept)
    squares = [(value - centre) ** 2 for value in kept]
    spread = math.fsum(squares) + cut * (squares[0] + squares[-1])
    return centre, math.sqrt(spread) / len(kept)


def _evidence(values: list[float], squares: float) -> float:
    """Return the square of Yuen's t, but for a factor; sorts `values`, whose squares add up to `squares`."""
    n = len(values)
    cut = _cut(n)
    total = sum(values)
    values.sort()
    kept = values[cut : n - cut]
    low, high = kept[0], kept[-1]
    middle = sum(kept)
    winsorized = sum(map(mul, kept, kept)) + cut * (low * low + high * high) - (middle + cut * (low + high)) ** 2 / n
    spread: float = winsorized + WHOLE * (squares - total * total / n)
    # The differences above leave this much of rounding where nothing should be left.
    if spread > 1e-13 * squares:
        return middle * middle / spread
    return math.inf if middle else 0.0


@lru_cache(maxsize=4)
def _flips(n: int, alpha: float) -> tuple[tuple[float, ...], ...]:
    """Return signs for `n` values, first those that change none: all others too, or some at random, always the same."""
    if n <= ENUMERATED:
        return tuple((1.0, *rest) for rest in product((1.0, -1.0), repeat=n - 1))
    source = random.Random(SEED)
    drawn = max(FLIPS, math.ceil(20 / alpha) - 1)
    # The values as they are count among the random ones: without them p could be 0, and would be too low on average.
    bits = [2**n - 1, *(source.getrandbits(n) for _ in range(drawn))]
    return tuple(tuple(1.0 if one >> place & 1 else -1.0 for place in range(n)) for one in bits)


def _as_much(logs: Sequence[float], alpha: float, shift: float) -> Iterator[bool]:
    """Yield of each flip whether it shows as much as the values themselves, once they are moved by -`shift`."""
    moved = [value - shift for value in logs]
    squares = sum(map(mul, moved, moved))
    enough = _evidence(moved[:], squares) * (1 - SAME)
    for signs in _flips(len(logs), alpha):
        yield _evidence(list(map(mul, signs, moved)), squares) >= enough


def _p_value(logs: Sequence[float], alpha: float) -> float:
    """Return how likely so much evidence of a change is when there is none."""
    return sum(_as_much(logs, alpha, 0.0)) / len(_flips(len(logs), alpha))


def _possible(logs: Sequence[float], alpha: float, shift: float) -> bool:
    """Return whether a change of `shift` has a p above `alpha`, as soon as that is clear."""
    left = alpha * len(_flips(len(logs), alpha))
    for as_much in _as_much(logs, alpha, shift):
        left -= as_much
        if left < 0:
            return True
    return False


def _end(logs: Sequence[float], alpha: float, centre: float, step: float, *, shown: bool) -> float:
    """Return the last change from `centre` in the direction of `step` that is possible; 0 is it not when `shown`."""
    inside, outside = centre, math.nan
    if (0.0 - centre) * step > 0:  # what is known of 0 decides first: the interval and the verdict never disagree
        inside, outside = (inside, 0.0) if shown else (0.0, outside)
    precision = abs(step) * PRECISION
    while math.isnan(outside):
        if abs(step) > FAR:
            return math.copysign(math.inf, step)
        place = inside + step
        inside, outside = (place, outside) if _possible(logs, alpha, place) else (inside, place)
        step *= 2
    while abs(outside - inside) > precision:
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if _possible(logs, alpha, middle) else (inside, middle)
    return inside
