"""What became of a figure: its changes, each between the last good run and the first bad one, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.changepoints import exact_changes
from harness.measure.course import as_judged, exact_course, noisy_course, older_runs

COMMITS = st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=14)


def test_a_run_of_an_older_commit_is_no_news() -> None:
    assert older_runs(["1", "2", "3", "4", "5", "6", "7", "8", "9", "3", "a"]) == {9}
    assert older_runs(["1", "2", "3", "1", "2", "4"]) == {3, 4}
    assert older_runs(["1", "1", "2", "2"]) == frozenset()
    assert older_runs(["", "", ""]) == frozenset()


def test_what_was_rolled_back_is_what_is_built_now() -> None:
    assert older_runs(["1", "2", "3", "1"]) == {3}
    assert older_runs(["1", "2", "3", "1", "1"]) == frozenset()
    assert older_runs(["1", "2", "3", "1", "1", "4"]) == {3, 4}


@given(COMMITS)
def test_no_run_that_brings_a_commit_is_an_older_one(commits: list[str]) -> None:
    found = older_runs(commits)
    assert all(commits[index] in commits[:index] for index in found)
    assert not commits or len(found) < len(commits)


def test_an_older_commit_s_value_blames_nobody() -> None:
    values = [10, 10, 10, 30, 30, 10, 30]
    found = exact_course(values, 5, frozenset({5}))
    assert [(one.index, one.before, one.after) for one in found.changes] == [(3, 10, 30)]
    assert found.last_good == {3: 2}


def test_the_last_good_run_is_no_older_one() -> None:
    found = exact_course([10, 10, 10, 30], 5, frozenset({2}))
    assert found.last_good == {3: 1}


def test_a_run_off_by_itself_is_no_level() -> None:
    found = exact_course([10, 10, 40, 10, 10, 30, 30], 5)
    assert [(one.index, one.after) for one in found.alone] == [(2, 40)]
    assert [(one.index, found.last_good[one.index]) for one in found.changes] == [(5, 4)]
    assert [one.index for one in exact_course([10, 10, 40], 5).changes] == [2]  # nobody knows yet


def test_small_steps_begin_where_the_level_was() -> None:
    found = exact_course([10, 10, 12, 14, 16, 16], 5)
    assert [(one.index, one.before, one.after) for one in found.changes] == [(4, 10, 16)]
    assert (found.last_good, found.creeping) == ({4: 1}, {4})
    found = exact_course([10, 12, 20], 5)
    assert (found.last_good, found.creeping) == ({2: 1}, frozenset())


def test_noisy_values_are_asked_without_the_older_runs() -> None:
    values = [100.0, 101.0, 99.0, 100.5] * 5 + [200.0] + [150.0, 151.0, 149.0, 150.5] * 5
    found = noisy_course(values, frozenset({20}))
    assert [(one.index, found.last_good[one.index]) for one in found.changes] == [(21, 19)]


@given(st.lists(st.integers(0, 60), max_size=20), st.integers(0, 20))
def test_every_change_is_beyond_the_floor_between_two_runs(values: list[int], floor: int) -> None:
    found = exact_course(values, floor)
    for one in found.changes:
        good = found.last_good[one.index]
        assert good < one.index
        assert abs(values[one.index] - one.before) > floor
        assert abs(values[good] - one.before) <= floor
    off = {one.index for one in found.alone}
    left = [value for index, value in enumerate(values) if index not in off]
    assert [one.after for one in exact_changes(left, floor)] == [one.after for one in found.changes]


def test_a_step_as_large_as_the_floor_is_a_small_one() -> None:
    found = exact_course([0, 100, 200], 100)
    assert (found.last_good, found.creeping, found.alone) == ({2: 0}, frozenset({2}), ())
    assert exact_course([0, 99, 200], 100).creeping == frozenset()


def test_only_what_comes_next_says_that_a_value_was_alone() -> None:
    back = exact_course([0, 500, 100, 100], 100)
    assert ([one.index for one in back.alone], back.changes) == ([1], ()), "back within the floor"
    later = exact_course([0, 500, 0, 600], 100)
    assert ([one.index for one in later.alone], [one.index for one in later.changes]) == ([1], [3])
    assert later.last_good == {3: 2}


@pytest.mark.parametrize(
    ("values", "said", "wanted"),
    [
        ([100, 100], {}, [100, 100]),
        ([100, 190], {1: (0, "same")}, [100, 100]),
        ([100, 101], {1: (0, "worse")}, [100, 111]),  # beyond the floor of 10
        ([100, 150], {1: (0, "worse")}, [100, 150]),  # as far as it was measured
        ([100, 110], {1: (0, "better")}, [100, 89]),  # pairs are right, single boots are not
        ([100, 190, 195], {1: (0, "same")}, [100, 100, 105]),  # what follows lies as far from it as measured
        ([100, 101, 190], {1: (0, "worse"), 2: (1, "same")}, [100, 111, 111]),
        ([100, 190], {1: (0, "not judged")}, [100, 190]),
        ([100, 190], {1: (1, "worse")}, [100, 190]),  # by itself
        ([100, 190], {0: (1, "same")}, [100, 190]),  # by a run that came later
    ],
)
def test_values_are_as_they_were_judged(values: list[int], said: dict[int, tuple[int, str]], wanted: list[int]) -> None:
    assert as_judged(values, 10, said) == wanted
