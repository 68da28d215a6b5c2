"""The judgement of a run against a baseline."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure.floor import Floors
from harness.measure.gate import (
    CellFigures,
    GatePairs,
    GateVerdict,
    Regression,
    differing,
    gate_cells,
    judge,
    size_floor,
    verdicts,
)
from harness.measure.paired import PairedJudgement

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
    found = only(cell(), cell(exact={"ready": 300_101, "kernel": 90_000}, sizes={"total": 9_000_000}))
    assert [(one.figure, one.difference) for one in found.slower] == [("ready", 101)]
    assert [one.figure for one in found.better] == ["total"], "a part is neither better nor worse"
    assert (found.compared, found.notes, found.answer, found.calibrated) == (2, (), "worse", True)
    assert only(cell(exact={"ready": 300_101}), cell(exact={"ready": 300_000})).answer == "better"


@pytest.mark.parametrize("floors", [Floors(), MEASURED, Floors({"ready": 10**9, "total": 10**9})])
@pytest.mark.parametrize("key", [KEY, {**KEY, "cmdline": "quiet slower"}, {**KEY, "qemu": "8.2"}, {}])
@pytest.mark.parametrize("before", [{"ready": 450_000}, {"total": 450_000}, {"ready": 450_000, "total": 540_000}])
@pytest.mark.parametrize("after", [{"ready"}, {"total"}, {"ready", "total"}, set()])
def test_a_boot_that_takes_594_ms_more_never_passes(
    floors: Floors, key: dict[str, str], before: dict[str, int], after: set[str]
) -> None:
    slow = {name: before.get(name, 450_000) + 594_000 for name in after}
    found = only(cell(exact=before), cell(exact=slow, key=key), floors)
    assert found.answer in ("worse", "not judged") and not found.passed


def test_without_calibration_the_floor_is_the_common_one() -> None:
    floor = Floors().of("ready", 300_000)
    ms = f"{floor / 1000:.3f} ms"
    found = only(cell(), cell(exact={"ready": 300_001 + floor}), Floors())
    assert [(one.figure, one.floor) for one in found.slower] == [("ready", floor)]
    assert not found.calibrated
    found = only(cell(), cell(exact={"ready": 300_000 + floor}), Floors())
    assert (found.answer, found.notes) == ("same", (f"exact ready +{ms}, within the floor of {ms}",))


def test_what_is_of_another_experiment_is_not_judged_and_that_is_no_pass() -> None:
    found = only(cell(), cell(key={**KEY, "qemu": "8.2"}, exact={"ready": 10**9}, sizes={"total": 1}))
    assert (found.answer, found.passed, found.compared) == ("not judged", False, 1)  # a size has no key
    assert found.unjudged == "exact times not compared, for they are of another experiment: qemu: 7.2 → 8.2"
    assert found.notes == found.differ == (), "the image is the same"


def test_what_is_worse_is_so_also_where_something_else_could_not_be_judged() -> None:
    found = only(cell(), cell(key={**KEY, "qemu": "8.2"}, sizes={"total": 10_030_000}))
    assert (found.answer, found.passed) == ("worse", False)


def test_a_word_of_the_images_own_command_line_is_named_and_judged() -> None:
    slow = cell(key={**KEY, "cmdline": "quiet slub_debug=FZP"}, exact={"ready": 485_000})
    found = only(cell(), slow)
    assert [(one.figure, one.difference) for one in found.slower] == [("ready", 185_000)]
    assert found.differ == ("the image is another: cmdline: quiet → quiet slub_debug=FZP",)
    assert only(cell(), cell(key={**KEY, "cmdline": "quiet other"})).answer == "same"


def test_a_millisecond_that_a_word_costs_is_found_without_calibration() -> None:
    slow = {"key": {**KEY, "cmdline": "quiet slower"}, "exact": {"ready": 301_000}}
    assert only(cell(), cell(**slow), Floors()).answer == "worse"
    assert only(cell(**slow), cell(), Floors()).answer == "better"
    assert only(cell(), cell(**slow | {"exact": {"ready": 300_750}}), Floors()).answer == "same"
    for other in ({"sizes": {"total": 10_000_001}}, {"sizes": {}}, {"key": KEY}):
        assert only(cell(), cell(**slow | other), Floors()).answer == "same", "more than words, or none"
    assert only(cell(), cell(**slow), Floors({"ready": 2_000})).answer == "same", "measured"


def test_what_has_no_exact_times_says_why_and_has_not_passed() -> None:
    for found, why in (
        (only(cell(), cell(exact={}, why="two exact boots did not agree")), "two exact boots did not agree"),
        (only(cell(exact={}), cell()), "in the baseline"),
        (only(cell(exact={}), cell(exact={}, why="nothing measured them")), "nothing measured them"),
    ):
        assert (found.answer, found.passed) == ("not judged", False)
        assert why in found.unjudged


def test_sizes_alone_are_judged_where_no_side_ever_had_times() -> None:
    assert only(cell(exact={}), cell(exact={})).answer == "same"


def test_sizes_of_one_side_are_named() -> None:
    assert only(cell(), cell(sizes={"total": 10_000_000, "x": 2})).notes == ("size of x: not in the baseline",)


def test_parts_decide_nothing_but_who_uses_the_processor_is_named() -> None:
    old = cell(exact={"ready": 300_000, "onboot/prep": 11_000, "cpu/services/web": 10_000, "cpu/idle": 5_000})
    new = cell(exact={"ready": 300_020, "onboot/prap": 11_000, "cpu/services/web": 12_000, "cpu/idle": 3_020})
    found = only(old, new)
    assert (found.answer, found.slower) == ("same", ())
    assert [(one.owner, one.us) for one in found.causes] == [("services/web", 2_000), ("idle", -1_980)]


def test_a_cell_that_the_baseline_lacks_is_not_judged() -> None:
    found = only(cell(machine="other"), cell())
    assert (found.compared, found.answer, found.unjudged) == (0, "not judged", "the baseline has no such cell")


def test_only_what_both_have_is_compared() -> None:
    old, new = cell(exact={"ready": 1, "total": 2}, sizes={"a": 1, "b": 2}), cell(sizes={"a": 1, "c": 2})
    found = only(old, new)
    assert found.compared == 2
    assert found.notes == ("size of c: not in the baseline", "size of b: only in the baseline")


def test_the_whole_is_of_what_both_have() -> None:
    old, new = {"ready": 300_000, "cpu/a": 1000}, {"total": 400_000, "ready": 303_000, "cpu/a": 4000}
    found = only(cell(exact=old), cell(exact=new))
    assert ([one.figure for one in found.slower], [one.owner for one in found.causes]) == (["ready"], ["a"])


def test_a_size_has_its_floor_both_ways() -> None:
    for more, answer in ((20_000, "same"), (20_041, "worse"), (-20_000, "same"), (-20_001, "better")):
        assert only(cell(), cell(sizes={"total": 10_000_000 + more})).answer == answer


def test_what_moved_within_the_floor_is_said_both_ways() -> None:
    for by, notes in ((100, ("exact ready +0.100 ms, within the floor of 0.100 ms",)), (0, ()), (101, ()),
                      (-100, ("exact ready -0.100 ms, within the floor of 0.100 ms",)), (-101, ())):  # fmt: skip
        assert only(cell(), cell(exact={"ready": 300_000 + by})).notes == notes


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ({}, {"exact": {}, "why": "x"}, "no exact times: x"),
        ({"exact": {}, "why": "y"}, {}, "no exact times in the baseline: y"),
        ({"exact": {}}, {}, "no exact times in the baseline"),
        ({}, {"exact": {}}, "no exact times: nothing measured them"),
        ({"exact": {}, "why": "y"}, {"exact": {}}, "no exact times: y"),
        ({"exact": {}}, {"exact": {}, "sizes": {}}, "no exact times: "),
        ({"exact": {}, "sizes": {}}, {"exact": {}}, "no exact times: "),
        ({"exact": {}}, {"exact": {}}, ""),
    ],
)
def test_why_exact_times_are_not_compared(old: dict[str, object], new: dict[str, object], why: str) -> None:
    assert only(cell(**old), cell(**new)).unjudged == why


def test_causes_are_of_the_whole_and_of_nothing_else() -> None:
    old = cell(exact={"total": 10_000, "ready": 9_000, "cpu/a": 1_000})
    new = cell(exact={"total": 12_000, "ready": 9_000, "cpu/a": 2_000})
    assert [(one.owner, one.share) for one in only(old, new).causes] == [("a", 0.5)]
    assert only(old, cell(exact=new.exact, key={**KEY, "qemu": "8.2"})).causes == ()


def test_the_image_is_another_only_where_both_were_booted() -> None:
    other = {**KEY, "cmdline": "quiet other"}
    assert only(cell(exact={}), cell(exact={}, key=other)).notes == ()
    assert only(cell(), cell(exact={}, key=other)).notes == ()


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ({"a": "1"}, {"a": "1"}, ""),
        ({"a": "1", "b": "2"}, {"b": "3", "c": "4"}, "b: 2 → 3, c: none → 4, a: 1 → none"),
    ],
)
def test_in_what_two_keys_differ(old: dict[str, str], new: dict[str, str], text: str) -> None:
    assert differing(old, new) == text


@pytest.mark.parametrize(
    ("asked", "answer"), [({}, "worse"), ({"ready asked": 500}, "same"), ({"ready asked": 300}, "worse")]
)
def test_what_asking_for_health_leaves_open_is_part_of_the_floor(asked: dict[str, int], answer: str) -> None:
    found = only(cell(), cell(exact={"ready": 300_450, "kernel": 100_000, **asked}))
    assert found.answer == answer


def paired(answer: str, old: CellFigures, new: CellFigures) -> GateVerdict:
    (one,) = gate_cells([old], [new], lambda _: Floors())
    assert one.can_pair
    mean = {"worse": 1000.0, "better": -1000.0}.get(answer, 0.0)
    said = PairedJudgement(answer, mean, mean - 2, mean + 2, 4, certain=True)  # type: ignore[arg-type]
    return one.by_pairs(GatePairs(said, "this image takes …", notes=("of the pairs",)))


@pytest.mark.parametrize("answer", ["worse", "same", "better"])
@pytest.mark.parametrize("moved", [-594_000, -1000, 1000, 594_000])
@pytest.mark.parametrize("key", [KEY, {**KEY, "qemu": "8.2"}, {**KEY, "cmdline": "quiet slower"}])
def test_where_there_are_pairs_they_judge_whatever_single_boots_did(
    answer: str, moved: int, key: dict[str, str]
) -> None:
    found = paired(answer, cell(exact={"ready": 900_000}), cell(exact={"ready": 900_000 + moved}, key=key))
    assert (found.answer, found.by, found.slower, found.unjudged) == (answer, "pairs", (), "")
    assert f"single boots of the two runs: exact ready {moved / 1000:+.3f} ms" in found.notes
    assert "of the pairs" in found.notes and not any("within the floor" in note for note in found.notes)
    assert found.passed is (answer != "worse") and found.compared == 2


def test_what_differs_of_the_inputs_is_said_first() -> None:
    old, new = (cell(inputs={"lock": name * 40, "bytes": name, "package web": name}) for name in "ab")
    assert only(old, new).differ == ("the lock changed: aaaaaaaa → bbbbbbbb", "packages: web a → b")
    assert only(old, old).differ == only(old, cell()).differ == ()


def test_pairs_judge_no_sizes() -> None:
    new = cell(exact={"ready": 300_001}, sizes={"total": 10_030_000})
    assert paired("same", cell(), new).answer == "worse"
    assert paired("worse", cell(), cell(exact={"ready": 300_001}, sizes={"total": 9_000_000})).answer == "worse"


@pytest.mark.parametrize(
    ("old", "new", "by", "can_pair"),
    [
        (cell(), cell(), "equal", False),
        (cell(), cell(exact={"ready": 300_001}), "floor", True),
        (cell(), cell(key={**KEY, "qemu": "8.2"}), "", True),
        (cell(exact={}), cell(), "", False),
        (cell(), cell(exact={}), "", False),
        (cell(machine="other"), cell(), "", False),
    ],
)
def test_pairs_are_wanted_of_what_has_exact_times_that_are_not_the_same(
    old: CellFigures, new: CellFigures, by: str, can_pair: bool
) -> None:
    (one,) = gate_cells([old], [new], lambda _: Floors())
    assert (one.verdict.by, one.can_pair) == (by, can_pair)
    without = one.by_floor("the image is not here")
    assert without.unpaired == ("the image is not here" if can_pair else "")
    assert (without.answer, without.passed) == (one.verdict.answer, one.verdict.passed)


SAME = PairedJudgement("same", 3.0, 1.0, 5.0, 4, True)


@pytest.mark.parametrize(("slack", "answer"), [((), "same"), (("in slack, services/job takes longer",), "worse")])
def test_what_lies_in_slack_fails_where_it_counts(slack: tuple[str, ...], answer: str) -> None:
    (one,) = gate_cells([cell()], [cell(exact={"ready": 300_003, "kernel": 100_000})], lambda _: MEASURED)
    found = one.by_pairs(GatePairs(SAME, "it boots alike", slack=slack))
    assert (found.answer, found.passed, found.base) == (answer, answer == "same", "")


@pytest.mark.parametrize(
    ("old", "new", "differs"),
    [
        ({"services/job": 12_000}, {"services/job": 12_001}, True),
        ({"services/job": 12_000}, {"services/job": 12_000}, False),
        ({"kernel": 12_000}, {"kernel": 13_000}, False),
        ({}, {"services/job": 12_000}, False),  # nothing to compare with
    ],
)
def test_only_services_are_in_slack(old: dict[str, int], new: dict[str, int], differs: bool) -> None:
    (one,) = gate_cells([cell(exact=old)], [cell(exact=new)], lambda _: MEASURED)
    assert one.differs_in_slack is differs


def test_a_verdict_says_which_run_it_was_judged_by() -> None:
    assert only(cell(run="abc"), cell()).base == "abc"
