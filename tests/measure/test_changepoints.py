"""Where series changed: against Apache Otava's answers and the definitions, and exactly."""

from __future__ import annotations

import json
import math
import random
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.measure import changepoints
from harness.measure.changepoints import change_points, exact_changes

ANSWERS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "otava.json").read_text())["series"]
SMALL = st.lists(st.integers(0, 12), min_size=2, max_size=14)
EXACT = st.lists(st.integers(0, 60), max_size=60)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer["name"])
def test_otava_finds_the_same_changes_with_the_same_p(answer: dict[str, Any]) -> None:
    found, theirs = change_points(answer["values"], **answer["options"]), answer["refreshed"]
    assert [one.index for one in found] == [one["index"] for one in theirs]
    for name in ("before", "after", "p"):
        assert [getattr(one, name) for one in found] == pytest.approx([one[name] for one in theirs], rel=1e-9, abs=0)


def test_the_defaults_are_those_of_otava() -> None:
    usual = {"window_len": 50, "max_pvalue": 0.001, "min_magnitude": 0.0}
    for answer in (one for one in ANSWERS if one["options"] == usual):
        assert change_points(answer["values"]) == change_points(answer["values"], **usual)


def test_most_of_what_otava_reports_is_the_same_without_more_ado() -> None:
    same = [[one.index for one in change_points(each["values"], **each["options"])] == each["reported"]
            for each in ANSWERS]  # fmt: skip
    assert sum(same) >= 13 > len(same) / 2


@pytest.mark.parametrize("t", [1e-9, 0.1, 1.0, 3.0, 40.0, 1e6])
def test_students_t_has_the_p_of_its_formulas(t: float) -> None:
    root = math.sqrt(4 + t * t)
    known = {
        1: 2 / math.pi * math.atan(1 / t),
        2: 2 / (math.sqrt(2 + t * t) * (math.sqrt(2 + t * t) + t)),
        4: (root - t) ** 2 * (2 * root + t) / (2 * root**3),
    }
    for freedom, p in known.items():
        assert changepoints._student(t, freedom) == pytest.approx(p, rel=1e-6 if t > 1000 and freedom == 4 else 1e-9)
    assert changepoints._student(t, 10**9) == pytest.approx(math.erfc(t / math.sqrt(2)), rel=1e-5, abs=1e-300)
    assert changepoints._student(-t, 7) == changepoints._student(t, 7)
    assert changepoints._student(0.0, 7) == 1


@pytest.mark.parametrize(
    ("left", "right", "p"), [([5, 5], [5, 5, 5], 1), ([5, 5], [6, 6, 6], 0), ([5], [6], 1), ([4, 6], [5, 4, 6], 1)]
)
def test_sides_without_noise_or_difference_have_a_p_too(left: list[int], right: list[int], p: float) -> None:
    assert changepoints._p_value(changepoints._side(left), changepoints._side(right)) == p


@settings(deadline=None)
@given(SMALL)
def test_the_best_split_is_the_first_one_of_the_largest_energy(values: list[int]) -> None:
    def apart(left: list[int], right: list[int]) -> int:
        return sum(abs(a - b) for a in left for b in right)

    def within(part: list[int]) -> Fraction:
        return Fraction(apart(part, part), len(part) * (len(part) - 1)) if len(part) > 1 else Fraction(0)

    def energy(left: list[int], right: list[int]) -> Fraction:
        m, k = len(left), len(right)
        return Fraction(m * k, m + k) * (2 * Fraction(apart(left, right), m * k) - within(left) - within(right))

    n = len(values)
    energies = {at: max(energy(values[:at], values[at:end]) for end in range(at + 1, n + 1)) for at in range(1, n)}
    top = max(energies.values())
    found, place = changepoints._best_split(values)
    assert place == min(at for at, one in energies.items() if one == top)
    assert found == pytest.approx(float(top), abs=1e-9)


@settings(deadline=None)
@given(st.floats(-1e9, 1e9), st.integers(0, 150))
def test_a_constant_series_has_no_change(level: float, n: int) -> None:
    assert change_points([level] * n) == []


@settings(deadline=None)
@given(st.integers(1, 120), st.integers(1, 120), st.integers(1, 10**6), st.integers(1, 10**6))
def test_one_clean_step_is_found_where_it_is(left: int, right: int, before: int, after: int) -> None:
    found = change_points([before] * left + [after] * right)
    wanted = [(left, before, after, 0.0)] if before != after and left + right > 2 else []
    assert [(one.index, one.before, one.after, one.p) for one in found] == wanted


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 40), max_size=130), st.integers(-1000, 1000), st.sampled_from([-4, 0.5, 1, 1024]))
def test_neither_unit_nor_origin_matters(values: list[int], shift: int, unit: float) -> None:
    # no value is 0, for then no relative change is defined
    there = change_points([value + 2000 for value in values], max_pvalue=0.01)
    back = change_points([(value + 2000 + shift) * unit for value in values], max_pvalue=0.01)
    assert [one.index for one in there] == [one.index for one in back]
    assert [one.p for one in there] == pytest.approx([one.p for one in back], rel=1e-6)


def noisy(seed: int, n: int, step: float = 1.0) -> list[float]:
    source = random.Random(seed)
    return [source.lognormvariate(7, 0.03) * (step if index >= n // 2 else 1) for index in range(n)]


def test_steps_are_found_in_noise_and_little_else() -> None:
    found = [[one.index for one in change_points(noisy(seed, 200, 1.1), max_pvalue=1e-4)] for seed in range(20)]
    assert all(any(abs(index - 100) <= 2 for index in indexes) for indexes in found)
    assert sum(map(len, found)) <= 25
    assert sum(len(change_points(noisy(seed, 200), max_pvalue=1e-4)) for seed in range(20)) <= 5


@pytest.mark.parametrize("seed", range(5))
def test_what_is_reported_is_of_the_whole_segments_and_strict_enough(seed: int) -> None:
    values = noisy(seed, 300, 1.04)
    found = change_points(values, max_pvalue=0.02, min_magnitude=0.01)
    assert found
    ends = [0, *(one.index for one in found), len(values)]
    means = [math.fsum(values[start:end]) / (end - start) for start, end in pairwise(ends)]
    for one, (before, after) in zip(found, pairwise(means), strict=True):
        assert (one.before, one.after) == pytest.approx((before, after))
        assert one.p < 0.02
        assert one.magnitude > 0.01


def test_small_changes_are_left_out_on_request() -> None:
    values = [1000 + place % 3 for place in range(60)] + [1100 + place % 3 for place in range(60)]
    (found,) = change_points(values)
    assert found.relative == pytest.approx(0.1, rel=0.01)
    assert change_points(values, min_magnitude=0.2) == []


def test_halving_is_as_much_as_doubling() -> None:
    (down,), (up,) = exact_changes([100, 50], 1), exact_changes([50, 100], 1)
    assert (down.relative, up.relative) == (-0.5, 1)
    assert down.magnitude == up.magnitude == 1
    (start,) = exact_changes([0, 5], 1)
    assert start.relative == math.inf


def test_long_series_take_as_long_as_they_are() -> None:
    begin = time.process_time()
    change_points(noisy(1, 1000, 1.1))
    thousand = time.process_time() - begin
    change_points(noisy(1, 30_000, 1.1))
    assert thousand < 0.1
    assert time.process_time() - begin - thousand < 1


@pytest.mark.parametrize(("values", "window"), [([1.0, math.nan], 50), ([1.0, math.inf], 50), ([1.0, 2.0], 1)])
def test_what_cannot_be_searched_is_refused(values: list[float], window: int) -> None:
    with pytest.raises(ValueError, match=r"finite|window"):
        change_points(values, window_len=window)


@given(EXACT, st.integers(0, 20))
@pytest.mark.slow
def test_exact_changes_are_more_than_the_floor_and_segments_never(values: list[int], floor: int) -> None:
    found = exact_changes(values, floor)
    ends = [0, *(one.index for one in found), len(values)]
    assert ends == sorted(ends)
    for start, end in pairwise(ends):
        assert all(abs(value - values[start]) <= floor for value in values[start:end])
    for one, start in zip(found, ends, strict=False):
        assert (one.before, one.after, one.p) == (values[start], values[one.index], 0)
        assert abs(one.after - one.before) > floor


@given(EXACT, st.integers(0, 20), st.integers(-1000, 1000), st.sampled_from([-3, -1, 2]))
def test_exact_changes_know_neither_unit_nor_origin(values: list[int], floor: int, shift: int, unit: int) -> None:
    there, back = (
        exact_changes(values, floor),
        exact_changes([value * unit + shift for value in values], floor * abs(unit)),
    )
    assert [one.index for one in there] == [one.index for one in back]


def test_a_drift_counts_once_its_sum_does() -> None:
    found = exact_changes([1000 + 2 * index for index in range(12)], 9)
    assert [(one.index, one.before, one.after) for one in found] == [(5, 1000, 1010), (10, 1010, 1020)]


def test_a_step_of_the_floor_is_none() -> None:
    assert exact_changes([1000, 1010, 990, 1000], 10) == []
    assert [one.index for one in exact_changes([1000, 1010, 1011], 10)] == [2]
