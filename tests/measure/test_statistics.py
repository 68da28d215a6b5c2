"""Comparing boots in pairs: what is found in noise, what is not, and what the numbers have to agree on."""

from __future__ import annotations

import json
import math
import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.measure.statistics import ALPHA, compare_pairs, fewest_pairs

Pairs = list[tuple[float, float]]
TIMES = st.floats(1000, 4000)
PAIRS = st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=12)


def boots(source: random.Random, n: int, change: float) -> Pairs:
    """Return pairs of boots on a busy host: each deviates by 12 %, most of it load that its pair shares.

    Besides, one boot in ten is 1.3 to 2 times slower, for itself.
    """

    def boot(load: float) -> float:
        return 8000 * math.exp(load + source.gauss(0, 0.04)) * (source.uniform(1.3, 2) if source.random() < 0.1 else 1)

    loads = [source.gauss(0, 0.11) for _ in range(n)]
    return [(boot(load), boot(load) * (1 + change)) for load in loads]


@pytest.mark.slow
def test_ten_percent_more_is_found_in_noise_and_lies_in_the_interval() -> None:
    source = random.Random(1)
    found = [compare_pairs(boots(source, 30, 0.1)) for _ in range(20)]
    assert sum(one.verdict == "worse" for one in found) >= 19
    assert sum(one.low <= 1.1 <= one.high for one in found) >= 19
    assert all(1 < one.low < one.ratio < one.high < 1.3 for one in found if one.verdict == "worse")


@pytest.mark.slow
def test_noise_alone_is_no_change() -> None:
    source = random.Random(2)
    found = [compare_pairs(boots(source, 30, 0)) for _ in range(20)]
    assert sum(one.verdict != "same" for one in found) <= 1
    assert all((one.verdict == "same") == (one.low <= 1 <= one.high) for one in found)


def test_few_boots_that_went_wrong_hide_no_change() -> None:
    pairs = [(8000.0 + place, 8800.0 - 7 * place) for place in range(20)]
    pairs[3], pairs[11], pairs[12] = (30_000.0, 8800.0), (9000.0, 2000.0), (8000.0, 40_000.0)
    assert compare_pairs(pairs).verdict == "worse"


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=9))
def test_p_of_few_pairs_is_the_share_of_flips_with_as_large_a_sum(pairs: Pairs) -> None:
    logs = [math.log(b / a) for a, b in pairs]
    sums = [abs(sum(sign * value for sign, value in zip(signs, logs, strict=True)))
            for signs in product((1, -1), repeat=len(logs))]  # fmt: skip
    least = abs(sum(logs)) - 1e-9 * sum(map(abs, logs))
    assert compare_pairs(pairs).p == pytest.approx(sum(one >= least for one in sums) / len(sums))


@settings(deadline=None, max_examples=15)
@given(PAIRS)
def test_exchanging_both_systems_exchanges_better_and_worse(pairs: Pairs) -> None:
    there, back = compare_pairs(pairs), compare_pairs([(b, a) for a, b in pairs])
    assert back.verdict == {"better": "worse", "worse": "better", "same": "same"}[there.verdict]
    assert back.p == there.p
    assert back.ratio == pytest.approx(1 / there.ratio)
    assert back.low == pytest.approx(1 / there.high, rel=0.01)  # as exactly as ends are sought


@settings(deadline=None, max_examples=15)
@given(PAIRS, st.sampled_from([0.25, 1024.0]), st.randoms(use_true_random=False))
def test_neither_the_unit_nor_the_order_of_pairs_matters(pairs: Pairs, unit: float, source: random.Random) -> None:
    other = [(a * unit, b * unit) for a, b in pairs]
    source.shuffle(other)
    assert compare_pairs(pairs) == compare_pairs(other)


@settings(deadline=None, max_examples=15)
@given(PAIRS)
def test_the_interval_holds_the_ratio_and_agrees_with_the_verdict(pairs: Pairs) -> None:
    found = compare_pairs(pairs)
    assert found.low <= found.ratio <= found.high
    assert (found.verdict == "same") == (found.low <= 1 <= found.high)
    assert 0 < found.p <= 1


@pytest.mark.slow
def test_interval_and_verdict_agree_in_close_calls_too() -> None:
    source = random.Random(4)
    found = [compare_pairs(boots(source, 10, 0.06)) for _ in range(40)]
    assert {one.verdict for one in found} == {"same", "worse"}
    assert all((one.verdict == "same") == (one.low <= 1 <= one.high) for one in found)


def test_the_same_pairs_have_the_same_answer_always_and_in_any_order() -> None:
    pairs = [(8000.0 + 37 * (place * 7 % 19), 8150.0 + 53 * (place * 5 % 17)) for place in range(20)]
    found = compare_pairs(pairs)
    assert (found.verdict, found.p) == ("same", 30 / 1024)
    assert (found.low, found.ratio, found.high) == pytest.approx((0.99695, 1.02372, 1.05142), abs=1e-5)
    assert compare_pairs(pairs[::-1]) == found
    assert compare_pairs([(b, a) for a, b in pairs]).p == found.p


def test_p_is_never_0_and_as_fine_as_alpha_asks_for() -> None:
    pairs = [(1000.0, 1300.0 + place) for place in range(30)]
    assert compare_pairs(pairs).p == 1 / 1024
    assert compare_pairs(pairs, alpha=0.005).p == 1 / 4000


def test_more_pairs_make_it_narrower_and_a_stricter_alpha_wider() -> None:
    pairs = boots(random.Random(4), 12, 0)
    few, many, strict = compare_pairs(pairs), compare_pairs(pairs * 5), compare_pairs(pairs, alpha=0.005)
    assert few.low < many.low < many.high < few.high
    assert strict.low < few.low < few.high < strict.high


@pytest.mark.parametrize(("n", "verdict"), [(6, "same"), (7, "better"), (12, "better"), (13, "better"), (40, "better")])
def test_pairs_that_all_agree_are_a_change_as_soon_as_there_are_enough(n: int, verdict: str) -> None:
    found = compare_pairs([(1000.0, 900.0)] * n)
    assert found.verdict == verdict
    assert found.ratio == pytest.approx(0.9)
    if verdict == "better":
        assert (found.low, found.high) == pytest.approx((0.9, 0.9), abs=1e-4)


def test_no_difference_at_all_is_none() -> None:
    found = compare_pairs([(1000.0, 1000.0)] * 30)
    assert (found.ratio, found.p, found.verdict) == (1, 1, "same")
    assert (found.low, found.high) == pytest.approx((1, 1), abs=1e-4)


def test_too_few_pairs_leave_everything_open() -> None:
    assert fewest_pairs(ALPHA) == 7
    assert fewest_pairs(0.5) == 2
    found = compare_pairs([(1000.0, 2000.0)] * 6)
    assert (found.low, found.high) == (0, math.inf)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["high"] is None


@pytest.mark.parametrize("pairs", [[], [(1.0, 0.0)], [(-1.0, 1.0)], [(math.nan, 1.0)], [(1.0, math.inf)]])
def test_what_is_no_time_is_refused(pairs: Pairs) -> None:
    with pytest.raises(ValueError, match=r"no pairs|not a time"):
        compare_pairs(pairs)


@pytest.mark.parametrize("alpha", [0, 1, -0.1, math.nan])
def test_what_is_no_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        compare_pairs([(1.0, 1.0)], alpha=alpha)
