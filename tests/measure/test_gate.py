"""The judgement of a run against a baseline."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.measure.floor import Floors
from harness.measure.gate import CellFigures, Regression, judge, size_floor, verdicts

KEY = {"qemu": "7.2", "cmdline": "quiet"}
MEASURED = Floors({"ready": 100, "kernel": 100})
NUMBERS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 10**9))


def cell(**changes: object) -> CellFigures:
    whole = {"image": "a.yml", "machine": "m", "exact": {"ready": 300_000, "kernel": 100_000}, "key": KEY,
             "sizes": {"total": 10_000_000}} | changes  # fmt: skip
    return CellFigures(**whole)  # type: ignore[arg-type]


def only(old: CellFigures, new: CellFigures, floors: Floors = MEASURED):
    (found,) = verdicts([old], [new], lambda _: floors)
    return found


def test_a_figure_is_worse_beyond_its_floor_only() -> None:
    old = {"ready": 1000, "gone": 5}
    assert judge(old, {"ready": 1100, "new": 10**6}, MEASURED.of) == []
    assert judge(old, {"ready": 1101}, MEASURED.of) == [Regression("ready", 1000, 1101, 100)]
    assert judge(old, {"ready": 1101}, MEASURED.of)[0].difference == 101
    assert judge(old, {"ready": 1}, MEASURED.of) == []


@given(NUMBERS, NUMBERS, st.integers(0, 10**9))
def test_what_is_worse_one_way_is_better_the_other(old: dict[str, int], new: dict[str, int], floor: int) -> None:
    worse = judge(old, new, lambda *_: floor)
    assert {one.figure for one in worse} == {k for k in old.keys() & new.keys() if new[k] - old[k] > floor}
    back = {one.figure for one in judge(new, old, lambda *_: floor)}
    assert not back & {one.figure for one in worse}
    assert judge(old, old, lambda *_: floor) == []


def test_a_size_has_a_floor_too() -> None:
    assert size_floor("total", 10_000_000) == 20_000
    assert size_floor("services/web", 1000, 2000) == 4096
    found = only(cell(), cell(sizes={"total": 10_030_000}))
    assert [one.figure for one in found.larger] == ["total"]
    assert not found.passed


def test_a_cell_says_what_is_worse_and_what_is_better() -> None:
    found = only(cell(), cell(exact={"ready": 300_101, "kernel": 90_000}))
    assert [(one.figure, one.difference) for one in found.slower] == [("ready", 101)]
    assert [one.figure for one in found.better] == ["kernel"]
    assert (found.compared, found.notes, found.passed, found.calibrated) == (3, (), False, True)


def test_without_calibration_the_floor_is_the_common_one() -> None:
    floor = Floors().of("kernel", 100_000, 200_000)
    found = only(cell(), cell(exact={"ready": 300_001, "kernel": 200_000}), Floors())
    assert [(one.figure, one.floor) for one in found.slower] == [("kernel", floor)]
    assert not found.calibrated


def test_figures_with_another_key_are_not_compared_and_that_is_said() -> None:
    found = only(cell(), cell(key={**KEY, "qemu": "8.2"}, exact={"ready": 10**9}, sizes={"total": 1}))
    assert found.passed
    assert found.compared == 1  # a size has no key
    assert found.notes == ("exact times not compared, for they are of another experiment: qemu: 7.2 → 8.2",)


def test_what_has_no_exact_times_says_why() -> None:
    assert only(cell(), cell(exact={}, why="two exact boots did not agree")).notes == (
        "no exact times: two exact boots did not agree",
    )
    assert only(cell(exact={}), cell()).notes == ("no exact times in the baseline",)


def test_figures_of_one_side_are_named() -> None:
    found = only(
        cell(exact={"ready": 1, "onboot/a": 1}), cell(exact={"ready": 1, "onboot/b": 1}, sizes={"total": 1, "x": 2})
    )
    assert found.notes == (
        "onboot/b: not in the baseline",
        "onboot/a: only in the baseline",
        "size of x: not in the baseline",
    )


def test_services_that_take_turns_decide_nothing_but_are_named() -> None:
    old = cell(exact={"ready": 1000, "services/web": 1000, "services/web cpu": 1000})
    found = only(old, cell(exact={"ready": 1000, "services/web": 10**6, "services/web cpu": 1000}))
    assert (found.compared, found.passed) == (2, True)
    assert [(one.figure, one.difference) for one in found.shared] == [("services/web", 999_000)]
    assert only(old, cell(exact={"services/web": 10**6}, key={})).shared == ()


def test_a_cell_that_the_baseline_lacks_is_said() -> None:
    found = only(cell(machine="other"), cell())
    assert (found.compared, found.passed, found.notes) == (0, True, ("the baseline has no such cell",))


STEPS = {"initcall/a": 900, "initcall/small": 100, "module/x": 6_000, "services/web alone": 59_000}


def told(**changes: int) -> CellFigures:
    return cell(exact={"ready": 300_000, "kernel": 100_000, **STEPS, **changes})


def test_a_step_that_became_slower_or_is_new_is_a_regression_though_the_whole_is_within_its_floor() -> None:
    found = only(told(), told(**{"initcall/a": 1_500, "module/new": 700, "initcall/short": 90}))
    assert [(one.figure, one.old, one.new) for one in found.slower] == [
        ("initcall/a", 900, 1_500),
        ("module/new", 0, 700),
    ]
    assert found.notes == ("module/new: not in the baseline",)


def test_a_run_told_step_by_step_is_judged_by_a_baseline_that_was_not() -> None:
    for old, new in ((cell(), told()), (told(), cell())):
        found = only(old, new)
        assert (found.passed, found.notes, found.compared) == (True, (), 3)
