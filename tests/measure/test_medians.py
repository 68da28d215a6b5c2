"""A median's interval: which values are its ends, and that the true one is in it as often as is said."""

from __future__ import annotations

import random

import pytest

from harness.measure.medians import Median, fewest, median


@pytest.mark.parametrize(
    # places of the interval's ends at 95 %: tables of the sign test (Conover, Practical Nonparametric Statistics)
    ("n", "low", "high"),
    [(6, 1, 6), (8, 1, 8), (9, 2, 8), (10, 2, 9), (12, 3, 10), (15, 4, 12), (20, 6, 15), (25, 8, 18)],
)
def test_the_ends_are_values_at_the_tables_places(n: int, low: int, high: int) -> None:
    values = list(range(1, n + 1))
    random.Random(n).shuffle(values)
    found = median(values)
    assert (found.value, found.low, found.high, found.n) == ((n + 1) / 2, low, high, n)


def test_of_too_few_values_no_interval_is_known() -> None:
    found = median([3, 1, 2, 9, 4])
    assert (found.value, found.low, found.high) == (3, None, None)
    assert found.within(1e9) is False
    assert Median(1, 1, None, 6, 0.95).within(1e9) is Median(1, None, 1, 6, 0.95).within(1e9) is False
    assert fewest() == 6
    assert (fewest(0.0), fewest(0.5), fewest(0.51)) == (1, 2, 3), "just as likely as was asked for is enough"
    with pytest.raises(ValueError, match="no values"):
        median([])


def test_how_narrow_it_is() -> None:
    found = median([100.0, 98, 99, 101, 102, 110])
    assert (found.low, found.high) == (98, 110)
    assert found.within(0.10) and not found.within(0.08)


def test_either_end_decides_how_narrow_it_is() -> None:
    assert Median(100, 90, 101, 6, 0.95).within(0.10) and not Median(100, 89, 101, 6, 0.95).within(0.10)
    assert Median(100, 99, 110, 6, 0.95).within(0.10) and not Median(100, 99, 111, 6, 0.95).within(0.10)


def test_the_true_one_is_in_it_as_often_as_said() -> None:
    source = random.Random(7)
    times = 2000
    missed = 0
    for _ in range(times):
        found = median([source.expovariate(1) for _ in range(15)])
        assert found.low is not None and found.high is not None
        missed += not found.low <= 0.6931 <= found.high  # ln 2, the median of them all
    assert missed / times <= 0.05
