"""Finds where a series of boot times changed. Pure and deterministic.

`change_points` is E-divisive means (Matteson & James 2014, arXiv 1306.4933) as Fleming et al. use it for noisy
benchmarks (ICPE 2023, doi 10.1145/3578244.3583719): in windows, with Student's t in place of permutations, and weak
points merged afterwards. tests/measure/otava_answers.py says how it agrees with Apache Otava.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heapify, heappop, heappush
from itertools import accumulate, pairwise
from operator import add

WINDOW = 50
MAX_PVALUE = 0.001
# Values this close are the same number, added up in another order.
SAME = 1e-9


@dataclass(frozen=True)
class ChangePoint:
    """A change: ``index`` is the first value after it, ``before`` and ``after`` are the levels on its two sides.

    A level is the mean up to the neighbouring change, ``p`` that of Student's t between the two sides. In an exact
    series a level is the value that its segment began with, and `p` is 0.
    """

    index: int
    before: float
    after: float
    p: float

    @property
    def relative(self) -> float:
        """The change as a part of the level before it: 0.1 is 10 % more."""
        return _relative(self.before, self.after)

    @property
    def magnitude(self) -> float:
        """The larger one of the relative changes there and back: as much for halving as for doubling."""
        return max(abs(self.relative), abs(_relative(self.after, self.before)))


def _relative(before: float, after: float) -> float:
    if before == after:
        return 0.0
    return after / before - 1 if before else math.copysign(math.inf, after)


def change_points(
    values: Sequence[float],
    *,
    window_len: int = WINDOW,
    max_pvalue: float = MAX_PVALUE,
    min_magnitude: float = 0.0,
) -> list[ChangePoint]:
    """Return where the mean of noisy `values` changed with a p below `max_pvalue` and by more than `min_magnitude`.

    Windows of `window_len` values, each half over the one before, keep a change from being outweighed by old ones.
    ValueError: a value that is not a finite number, or `window_len` below 2.
    """
    if window_len < 2:
        raise ValueError(f"a window of {window_len} values holds no change")
    if any(not math.isfinite(value) for value in values):
        raise ValueError("a value is not a finite number")
    # What a window takes for chance may be certain between whole segments: windows are asked less strictly.
    weak = max_pvalue * (10 if max_pvalue < 0.05 else 2 if max_pvalue < 0.5 else 1)
    return _merged(values, _weak_points(values, window_len, weak), max_pvalue, min_magnitude)


def exact_changes(values: Sequence[int], floor: int) -> list[ChangePoint]:
    """Return where exact `values` moved more than `floor` (in the same unit) from the first of their segment.

    So small steps count too once their sum does, and the change is then as large as that sum.
    """
    found = []
    level = values[0] if values else 0
    for index, value in enumerate(values):
        if abs(value - level) > floor:
            found.append(ChangePoint(index, level, value, 0.0))
            level = value
    return found


@dataclass(frozen=True)
class _Side:
    """``n`` values with their mean, and the sum of the squares of their deviations."""

    n: int
    mean: float
    squares: float

    def joined(self, other: _Side) -> _Side:
        """Return both as one, without going through the values again (Chan et al. 1979)."""
        n, apart = self.n + other.n, other.mean - self.mean
        share = other.n / n
        return _Side(n, self.mean + apart * share, self.squares + other.squares + apart * apart * self.n * share)


def _side(values: Sequence[float]) -> _Side:
    # Counted from the first value, what is the same is exactly 0, and no high level takes digits from small changes.
    first = values[0]
    apart = [value - first for value in values]
    mean = math.fsum(apart) / len(apart)
    return _Side(len(apart), first + mean, math.fsum([(value - mean) ** 2 for value in apart]))


def _p_value(left: _Side, right: _Side) -> float:
    """Return how likely two sides differ this much by chance: Student's t, two-sided."""
    freedom = left.n + right.n - 2
    if left.mean == right.mean or not freedom:
        return 1.0
    pooled = _pooled(left.n, left.squares, right.n, right.squares)
    return _student((right.mean - left.mean) / math.sqrt(pooled), freedom) if pooled else 0.0


def _pooled(left: int, left_squares: float, right: int, right_squares: float) -> float:
    """Return the variance of the difference of two means."""
    # What is pooled are the variances of the values at hand (over n, not n - 1), as Otava has it: so answers can be
    # compared. Short sides pass a little easier by that: in noise, 2.0 changes of 1000 values rather than 1.6.
    pooled = (left_squares * (left - 1) / left + right_squares * (right - 1) / right) / (left + right - 2)
    return pooled * (1 / left + 1 / right)


def _student(t: float, freedom: int) -> float:
    """Return the two-sided p of `t`: the incomplete beta function of freedom / (freedom + t²) at (freedom / 2, 1/2)."""
    a, b, square = freedom / 2, 0.5, t * t / freedom
    if not square:
        return 1.0
    x, rest = 1 / (1 + square), 1 / (1 + 1 / square)
    whole = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(whole - a * math.log1p(square) + b * math.log(rest))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, rest) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function, by Lentz's method."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 10_000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + numerator * d)
            c = 1 + numerator / c
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


@lru_cache(maxsize=4096)
def _critical(freedom: int, p: float) -> float:
    """Return a square of t that is below all those with a p of at most `p`, and close to them."""
    low, high = 0.0, 1.0
    while _student(high, freedom) > p:
        low, high = high, high * 2
    while high - low > SAME * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _student(middle, freedom) > p else (low, middle)
    return low * low


def _weak_points(values: Sequence[float], window_len: int, max_pvalue: float) -> list[int]:
    """Return the changes within windows; each window starts half of one further, or at the last change."""
    found: list[int] = []
    start = 0
    while start < len(values):
        inner = _divided(values[start : start + window_len], max_pvalue)
        found += [start + index for index in inner]
        start = max([start + window_len // 2, *found[-1:]])
    return found


def _divided(values: Sequence[float], max_pvalue: float) -> list[int]:
    """Return where `values` fall apart: always at the best place of all parts, until that one may be chance."""
    ends = [0, len(values)]
    best: dict[tuple[int, int], tuple[float, int]] = {}
    while True:
        parts = [part for part in pairwise(ends) if part[1] - part[0] > 2]
        # Most windows have no change, and this is found much sooner than their best place.
        if not any(_hopeful(values[start:end], max_pvalue) for start, end in parts):
            return ends[1:-1]
        for start, end in set(pairwise(ends)) - set(best):
            best[start, end] = _best_split(values[start:end])
        top = max(best[part][0] for part in pairwise(ends))
        start, end = next(part for part in pairwise(ends) if best[part][0] >= top - SAME * abs(top))
        place = start + best[start, end][1]
        if not start < place < end or _p_value(_side(values[start:place]), _side(values[place:end])) > max_pvalue:
            return ends[1:-1]
        ends = sorted([*ends, place])


def _hopeful(values: Sequence[float], max_pvalue: float) -> bool:
    """Return False when no split of `values` has a p of at most `max_pvalue`."""
    n = len(values)
    first = values[0]
    apart = [value - first for value in values]
    sums = list(accumulate(apart))
    squares = list(accumulate([value * value for value in apart]))
    total, total_squares = sums[-1], squares[-1]
    critical = _critical(n - 2, max_pvalue)
    slack = 1e-12 * total_squares  # what rounding can leave of a difference of two squares
    for left, (sum_left, squares_left) in enumerate(zip(sums[:-1], squares[:-1], strict=True), 1):
        right = n - left
        sum_right = total - sum_left
        difference = sum_right / right - sum_left / left
        pooled = _pooled(
            left, squares_left - sum_left * sum_left / left,
            right, total_squares - squares_left - sum_right * sum_right / right,
        )  # fmt: skip
        if difference * difference > critical * (pooled - slack):
            return True
    return False


def _best_split(values: Sequence[float]) -> tuple[float, int]:
    """Return the largest energy statistic q of a split, and the place of that split; 0 when there is none.

    Compared are the values before a place with those from there up to any later end, as E-divisive has it.
    """
    n = len(values)
    if n < 2:
        return -math.inf, 0
    # within[i][k]: all distances between two of values[i : i + k + 2].
    within: list[list[float]] = [[] for _ in range(n)]
    for start in range(n - 2, -1, -1):
        here = values[start]
        row = accumulate([abs(value - here) for value in values[start + 1 :]])
        within[start] = list(map(add, row, [0.0, *within[start + 1]]))
    whole = within[0]
    best, place = -math.inf, 0
    for left in range(1, n):
        # With m values left and k right of the split, N together, l and r the distances within, w those within both:
        # q = 2/N (w - l - r) - 2 k l / N (m - 1) - 2 m r / N (k - 1) = 2/N (w - (N - 1) (l / (m - 1) + r / (k - 1)))
        mean_left = whole[left - 2] / (left - 1) if left > 1 else 0.0
        rights = [0.0, *within[left]]
        top = max(_energies(whole[left - 1 :], rights, mean_left, left))
        if top > best + SAME * abs(best) or not place:
            best, place = top, left
    return 2 * best, place


def _energies(whole: Sequence[float], rights: Sequence[float], mean_left: float, left: int) -> Iterator[float]:
    for k, (both, right) in enumerate(zip(whole, rights, strict=True), 1):
        n = left + k
        yield (both - (n - 1) * (mean_left + right / (k - 1 or 1))) / n


def _merged(values: Sequence[float], points: list[int], max_pvalue: float, min_magnitude: float) -> list[ChangePoint]:
    """Return the changes that are left when, one by one, the least likely or smallest of `points` is taken away."""
    ends = [0, *points, len(values)]
    sides = [_side(values[start:end]) for start, end in pairwise(ends) if end > start]
    before = list(range(-1, len(points) + 1))
    after = list(range(1, len(points) + 3))

    def point(at: int) -> ChangePoint:
        left, right = sides[before[at]], sides[at]
        return ChangePoint(ends[at], left.mean, right.mean, _p_value(left, right))

    left_over = {at: point(at) for at in range(1, len(points) + 1)}
    unlikely = [(-one.p, at) for at, one in left_over.items()]
    small = [(one.magnitude, at) for at, one in left_over.items()]
    heapify(unlikely)
    heapify(small)
    while left_over:
        # What the heaps say of a point that is gone, or has other neighbours by now, is stale.
        while (top := left_over.get(unlikely[0][1])) is None or -top.p != unlikely[0][0]:
            heappop(unlikely)
        while (top := left_over.get(small[0][1])) is None or top.magnitude != small[0][0]:
            heappop(small)
        if -unlikely[0][0] >= max_pvalue:
            at = unlikely[0][1]
        elif small[0][0] <= min_magnitude:
            at = small[0][1]
        else:
            break
        del left_over[at]
        sides[before[at]] = sides[before[at]].joined(sides[at])
        after[before[at]], before[after[at]] = after[at], before[at]
        for neighbour in (before[at], after[at]):
            if neighbour in left_over:
                one = left_over[neighbour] = point(neighbour)
                heappush(unlikely, (-one.p, neighbour))
                heappush(small, (one.magnitude, neighbour))
    return list(left_over.values())
