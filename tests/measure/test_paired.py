"""Pairs of exact boots: what is certain, what is layout alone, and what nobody cares about."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.arch import ARCHES
from harness.measure.paired import (
    FEWEST,
    LEAST_US,
    MOST,
    PairedJudgement,
    SlackSpan,
    in_slack,
    judge_boots,
    judge_pairs,
    layout_us,
    may_lie_in_slack,
    told,
)

# Differences that were seen on arm64, in µs (2026-11-30).
WEB_100 = (112, 99, 101, 130)  # 0.1 ms more in one service
FILE_12K = (252, 248, 189, 218, 92, 112, 277, 106, 69, 194, 377, 471)  # a text file that nobody reads
TINY = (1, 0, 0, 0, -1, 1, 0, 1, 0, -76, -6, 5)
RENAMED = (0, 0, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0)


# a text file again, with the files of the root turned as well: on arm64 and on s390x
FILE_40K = (116, 106, 95, 53, 87)
FILE_S390X = (395, -75, -1_186, 388, -1_163, 20, 762)
# and on x86_64, with the files of the root turned as well
FAR_OFF = (100, 99, 101, 99, -680, 100, 99, 101, 102, 100, 98, 100)
FILE_TURNED = (-97, 29, 25, 35, -879, 50, 41, -12, 33, 29, 50, 18)


@pytest.mark.parametrize(
    ("differences", "answer", "layout"),
    [
        (FAR_OFF, "worse", False),
        (FILE_TURNED, "same", False),
        (WEB_100, "worse", False),
        (FILE_12K, "same", True),
        (TINY, "same", False),
        (RENAMED, "same", False),
    ],
)
def test_what_was_seen_is_told_right(differences: tuple[int, ...], answer: str, layout: bool) -> None:
    found = judge_pairs(differences, "arm64")
    assert (found.answer, found.layout, found.certain) == (answer, layout, True)
    assert found.low_us <= found.mean_us <= found.high_us


@pytest.mark.parametrize(("differences", "arch"), [(FILE_40K, "arm64"), (FILE_S390X, "s390x"), (FILE_TURNED, "x86_64")])
def test_what_a_file_does_that_nobody_reads_is_the_same_however_many_pairs(
    differences: tuple[int, ...], arch: str
) -> None:
    for count in range(1, len(differences) + 1):
        assert judge_pairs(differences[:count], arch).answer == "same"
    assert judge_pairs((differences * MOST)[:MOST], arch).answer == "same"


def test_the_margin_is_half_of_what_the_mean_may_lie_in() -> None:
    found = judge_pairs(WEB_100, "arm64")
    assert found.margin_us == pytest.approx(found.high_us - found.mean_us)
    assert found.margin_us == pytest.approx(found.mean_us - found.low_us)
    assert found.margin_us > 0


def test_one_equal_pair_is_enough_and_one_that_differs_is_not() -> None:
    assert judge_pairs([0], "arm64").certain
    for count in range(1, FEWEST):
        found = judge_pairs([5_000] * count, "arm64")
        assert (found.answer, found.certain) == ("same", False)


def test_beyond_what_layout_can_do_a_change_counts_however_it_varies() -> None:
    rough = [900, 1_900, 1_000, 2_000, 950, 1_950]
    assert judge_pairs(rough, "arm64").answer == "worse"
    assert judge_pairs([-one for one in rough], "arm64").answer == "better"
    assert judge_pairs([one // 4 for one in rough], "arm64").answer == "same"


def test_what_is_sure_but_too_small_to_matter_is_the_same() -> None:
    assert judge_pairs([LEAST_US - 20] * FEWEST, "arm64").answer == "same"
    assert judge_pairs([LEAST_US + 20] * FEWEST, "arm64").answer == "worse"


def test_without_an_answer_more_pairs_are_asked_for_up_to_a_limit() -> None:
    mostly_up = [400, 100, 400, -400, *[100, 400] * MOST]
    for count in range(FEWEST, MOST):
        assert not judge_pairs(mostly_up[:count], "arm64").certain
    assert judge_pairs(mostly_up[:MOST], "arm64").certain


@pytest.mark.parametrize(
    ("differences", "certain"),
    [
        ((400, -400, 400, -400), True),
        ((400, -400, 400, 400), False),  # one pair may lie far off
        ((400, -400, 400, 0), False),  # nothing is on neither side
        ((400, -400, 400, -400 - 200), False),  # beyond what layout can do: there may be a cause
        ((400, -400, 400, -400 - 199), True),
        ((1, -1, 400, -400), True),  # however little
    ],
)
def test_two_pairs_on_either_side_of_nothing_are_enough(differences: tuple[int, ...], certain: bool) -> None:
    assert layout_us("arm64") == 600, "what these rows are made for"
    for sign in (1, -1):
        found = judge_pairs([sign * one for one in differences], "arm64")
        assert (found.answer, found.certain) == ("same", certain)


@given(st.data())
def test_where_no_more_pairs_are_asked_for_no_more_would_have_changed_the_answer(data: st.DataObject) -> None:
    within = st.integers(1 - layout_us("arm64"), layout_us("arm64") - 1)
    differences = data.draw(st.lists(within, min_size=FEWEST, max_size=MOST - 1))
    found = judge_pairs(differences, "arm64")
    more = data.draw(st.lists(within, min_size=MOST - len(differences), max_size=MOST - len(differences)))
    if found.certain and found.answer == "same" and (found.high_us > LEAST_US or found.low_us < -LEAST_US):
        assert judge_pairs(differences + more, "arm64").answer == "same"


def test_an_unknown_architecture_has_the_widest_layout() -> None:
    differences = [layout_us("riscv64") - 100 + by for by in (-400, 400, -300, 300)]
    assert judge_pairs(differences, "riscv64").answer == "same"


@given(
    differences=st.lists(st.integers(-5_000, 5_000), min_size=1, max_size=MOST), arch=st.sampled_from(sorted(ARCHES))
)
def test_turned_round_it_is_the_opposite(differences: list[int], arch: str) -> None:
    there, back = judge_pairs(differences, arch), judge_pairs([-one for one in differences], arch)
    assert {"worse": "better", "better": "worse", "same": "same"}[there.answer] == back.answer
    assert (there.certain, there.layout) == (back.certain, back.layout)


ONE_LOW = (442, 242, 242, 242)  # the interval of their mean, 292, is 292 µs wide on either side


@pytest.mark.parametrize(
    ("differences", "answer", "layout"),
    [
        ([LEAST_US] * FEWEST, "same", False), ([-LEAST_US] * FEWEST, "same", False),
        ([56, 44, 56, 44], "worse", False), ([-56, -44, -56, -44], "better", False),  # on average what is cared about
        (ONE_LOW, "same", False), ([-one for one in ONE_LOW], "same", False),
        ([one + 1 for one in ONE_LOW], "same", True), ([-one - 1 for one in ONE_LOW], "same", True),
        ([400, -300, 400, -300], "same", False), ([5000, -3000, 5000, -3000], "same", False),  # perhaps none at all
        ([460, 460, 340, 340, 400], "worse", False),  # as far apart as a cause of its own may be
        ([461, 460, 340, 340, 399], "same", True),
        ([layout_us("arm64") * one // 2 for one in (1, 3)] * 6, "worse", False),  # just what layout can do
    ],
)  # fmt: skip
def test_where_one_answer_ends_and_the_other_begins(differences: list[int], answer: str, layout: bool) -> None:
    assert 400 < layout_us("arm64") < 1000, "what these rows are made for"
    found = judge_pairs(differences, "arm64")
    assert (found.answer, found.layout) == (answer, layout)


def test_a_difference_of_one_pair_is_one() -> None:
    found = judge_pairs([0, 0, 0, 5000], "arm64")
    assert (found.mean_us, found.certain) == (1250, False)
    same = judge_pairs([0, 0], "arm64")
    assert (same.mean_us, same.low_us, same.high_us, same.pairs, same.answer) == (0, 0, 0, 2, "same")


@pytest.mark.parametrize(("count", "t"), [(4, 5.84), (5, 4.60), (16, 2.95), (17, 2.95), (40, 2.95)])
def test_the_interval_is_students_of_so_many_pairs(count: int, t: float) -> None:
    differences = [1000 + 100 * (number % 3) for number in range(count)]
    deviation = statistics.stdev(differences)
    assert judge_pairs(differences, "arm64").margin_us == pytest.approx(t * deviation / math.sqrt(count))


def test_each_architecture_has_its_layout_and_an_unknown_one_the_widest() -> None:
    every = {name: layout_us(name) for name in ARCHES}
    assert every == {name: row.layout_us for name, row in ARCHES.items()}
    assert layout_us("riscv64") == max(every.values())


def boots(first: tuple[int, ...], rest: tuple[int, ...]) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
    before = [{"kernel": 900, "onboot/prep": 500, "services": 800, "total": 2_200}] * len(first)
    after = [
        {"kernel": 900, "onboot/prep": 500 + one, "services": 800 + other, "total": 2_200 + one + other}
        for one, other in zip(first, rest, strict=True)
    ]
    return before, after


def test_the_first_phase_that_differs_decides_where_it_shakes_all_that_follows() -> None:
    # 0.2 ms more in an onboot, as it was seen
    total = (170, 170, 135, 117, -262, 184, 186, 439, 406, -250, 370, 404)
    own = (183, 180, 185, 181, 184, 183, 180, 182, 186, 183, 184, 182)
    rest = tuple(whole - one for whole, one in zip(total, own, strict=True))
    assert judge_pairs(total, "arm64").answer == "same"
    found = judge_boots(*boots(own, rest), "arm64")
    assert (found.answer, found.first, round(found.first_us)) == ("worse", "onboot/prep", 183)
    assert (found.certain, found.layout) == (True, True)
    back = judge_boots(*boots(own, rest)[::-1], "arm64")
    assert (back.answer, back.first) == ("better", "onboot/prep")


def test_what_shakes_from_the_first_phase_on_is_layout() -> None:
    found = judge_boots(*boots(FILE_12K, TINY), "arm64")
    assert (found.answer, found.layout, found.first) == ("same", True, "")


def test_one_pair_far_off_says_nothing_of_the_others() -> None:
    found = judge_pairs(FAR_OFF, "x86_64")
    assert (found.mean_us, found.low_us, found.high_us) == (100, 98, 101)
    assert not judge_pairs(FAR_OFF[:8], "x86_64").certain
    two = [*FAR_OFF[:-1], -700]
    assert judge_pairs(two, "x86_64").answer == "same", "two far off on one side say something"


@pytest.mark.parametrize(
    ("others", "answer"),
    [
        ([50] * 11, "worse"),
        ([49] * 11, "same"),  # what nobody cares about
        ([1] + [100] * 10, "worse"),
        ([0] + [100] * 10, "same"),
        ([100] * 11, "worse"),
        ([60] * 4 + [100] + [140] * 6, "same"),  # as far apart as layout is
        ([100] * 10, "same"),  # not all pairs
    ],
)
def test_where_the_middle_decides(others: list[int], answer: str) -> None:
    assert judge_pairs([-680, *others], "arm64").answer == answer
    opposite = {"worse": "better", "same": "same"}
    assert judge_pairs([680, *(-one for one in others)], "arm64").answer == opposite[answer]


def test_the_middle_ones_may_lie_apart_as_far_as_a_cause_of_its_own_does() -> None:
    near = [2221] * 4 + [2471] * 3 + [2721] * 4  # 250 µs are 0.15 of 2471 µs, as a standard deviation
    assert judge_pairs([-90_000, *near], "arm64").answer == "worse"


def test_a_clock_that_rounds_is_not_the_first_that_differs() -> None:
    total = (170, 170, 135, 117, -262, 184, 186, 439, 406, -250, 370, 404)
    before, after = boots((180,) * 12, tuple(one - 180 for one in total))
    rounded = [{"firmware": 900 + number % 2, **one} for number, one in enumerate(after)]
    found = judge_boots([{"firmware": 900, **one} for one in before], rounded, "arm64")
    assert (found.answer, found.first) == ("worse", "onboot/prep")


def test_where_the_whole_is_sure_no_phase_is_asked() -> None:
    found = judge_boots(*boots((5_000,) * FEWEST, (0,) * FEWEST), "arm64")
    assert (found.answer, found.first, found.mean_us) == ("worse", "", 5_000)


@pytest.mark.parametrize(("asked", "answer"), [(4_999, "worse"), (5_000, "same")])
def test_of_services_no_more_is_known_than_how_often_they_were_asked(asked: int, answer: str) -> None:
    for turn, other in ((1, answer), (-1, answer.replace("worse", "better"))):
        found = judge_boots(*boots((0,) * FEWEST, (5_000,) * FEWEST)[::turn], "arm64", asked)
        assert (found.answer, found.asked_us) == (other, 5_000 if answer == "same" else 0)


def test_what_evens_out_is_not_sure_while_its_first_phase_is_not() -> None:
    found = judge_boots(*boots((400, 100, 400, -400), (-400, -100, -400, 400)), "arm64")
    assert (found.answer, found.certain, found.mean_us) == ("same", False, 0)


SHAKEN = (0, 600, -600) * 4  # in some of the pairs


def test_the_first_phase_that_differs_in_any_pair_is_asked() -> None:
    found = judge_boots(*boots(SHAKEN, (250,) * 12), "arm64")
    assert (found.answer, found.first) == ("same", "")


@pytest.mark.parametrize(("us", "answer", "first_us"), [(500, "better", -500), (51, "better", -51), (50, "worse", 250)])
def test_a_phase_that_has_gone_took_no_time(us: int, answer: str, first_us: int) -> None:
    before = [{"kernel": 900, "onboot/prep": us, "services": 800, "total": 9_000}] * len(SHAKEN)
    after = [{"kernel": 900, "services": 1_050, "total": 9_000 + by} for by in SHAKEN]
    found = judge_boots(before, after, "arm64")
    assert (found.answer, found.first_us) == (answer, first_us)


def test_pairs_are_of_two() -> None:
    before, after = boots((0, 0), (0, 0))
    with pytest.raises(ValueError, match="shorter"):
        judge_boots(before, after[:1], "arm64")


def test_boots_that_are_equal_to_the_microsecond_are_the_same_at_once() -> None:
    assert judge_boots(*boots((0,), (0,)), "arm64").certain


@pytest.mark.parametrize(
    ("first", "asked_us", "answer"),
    [
        ("services", 0, "worse"),
        ("services", 30_000, "same"),
        ("onboot/prep", 30_000, "worse"),
        ("services", 900, "worse"),
    ],
)
def test_what_asking_leaves_open_is_no_answer_but_what_comes_before_it_is(
    first: str, asked_us: int, answer: str
) -> None:
    before = [{"onboot/prep": 5_000, "services": 20_000, "total": 400_000}] * FEWEST
    after = [{**one, first: one[first] + 1_000, "total": 401_000} for one in before]
    found = judge_boots(before, after, "arm64", asked_us)
    assert (found.answer, found.asked_us) == (answer, asked_us if asked_us > 1_000 else 0)


def spans(*job: int, slack: int = 9_000, web: int = 30_000) -> list[dict[str, SlackSpan]]:
    return [{"services/web": SlackSpan(web, 0), "services/job": SlackSpan(us, slack)} for us in job]


@pytest.mark.parametrize(
    ("before", "after", "answers"),
    [
        ((12_000,) * 4, (16_000,) * 4, ["worse"]),
        ((16_000,) * 4, (12_000,) * 4, ["better"]),
        ((12_000,) * 4, (12_049,) * 4, []),  # what nobody cares about
        ((12_000,) * 4, (12_300, 11_900, 12_200, 11_800), []),  # another each time
        ((12_000,) * 3, (16_000,) * 3, []),  # too few to tell
    ],
)
def test_what_lies_in_slack_is_judged_as_the_whole_is(
    before: tuple[int, ...], after: tuple[int, ...], answers: list[str]
) -> None:
    found = in_slack(spans(*before), spans(*after), "arm64")
    assert [(one.name, one.judgement.answer) for one in found] == [("services/job", each) for each in answers]


def test_what_ready_has_waited_for_in_any_boot_is_not_in_slack() -> None:
    slow, on_path = spans(*[16_000] * 4), spans(*[16_000] * 3) + spans(16_000, slack=0)
    assert in_slack(spans(*[12_000] * 4), on_path, "arm64") == ()
    assert in_slack(on_path, slow, "arm64") == ()
    gone = [{"services/web": SlackSpan(30_000, 0)}] * 4
    assert in_slack(spans(*[12_000] * 4), gone, "arm64") == () == in_slack(gone, slow, "arm64")


@pytest.mark.parametrize(
    ("us", "slack", "more"), [(12_051, 9_000, True), (12_050, 9_000, False), (11_949, 1, True), (16_000, 0, False)]
)
def test_more_pairs_are_worth_it_where_something_may_lie_in_slack(us: int, slack: int, more: bool) -> None:
    assert may_lie_in_slack(spans(12_000), spans(us, slack=slack)) is more
    assert may_lie_in_slack(spans(us, slack=slack), spans(12_000)) is more
    assert not may_lie_in_slack(spans(12_000), [{"services/web": SlackSpan(90_000, 0)}])


def test_what_lies_in_slack_is_of_pairs_and_a_microsecond_of_slack_is_some() -> None:
    assert in_slack(spans(12_000), spans(16_000), "arm64") == ()  # one pair tells nothing
    for judge in (may_lie_in_slack, lambda old, new: in_slack(old, new, "arm64")):
        with pytest.raises(ValueError, match="shorter"):
            judge(spans(12_000, 12_000), spans(16_000))
    hardly = spans(*[16_000] * 4, slack=1)
    assert len(in_slack(spans(*[12_000] * 4), hardly, "arm64")) == 1


def test_what_lies_in_slack_is_said_with_what_is_left_of_it() -> None:
    after = spans(16_000, 16_000, 16_000) + spans(16_000, slack=5_000)
    (one,) = in_slack(spans(*[12_000] * 4), after, "arm64")
    assert one.sentence == "in slack, services/job takes +4.000 ms ± 0.000 ms; it has 5.000 ms left"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (PairedJudgement("worse", 1_000.0, 990.0, 1_010.0, 4, True),
         "B takes +1.000 ms ± 0.010 ms in 4 pairs against A: web uses more."),
        (PairedJudgement("better", -1_000.0, -1_010.0, -990.0, 4, True),
         "B takes -1.000 ms ± 0.010 ms in 4 pairs against A: web uses more."),
        (PairedJudgement("worse", 3.0, -1_041.0, 1_047.0, 12, True, layout=True, first="prep", first_us=490.0),
         "B is slower than A: prep takes +0.490 ms in every pair, and all before it the same (+0.003 ms ± 1.044 ms in "
         "12 pairs in all, for it moves where the rest lies): web uses more."),
        (PairedJudgement("better", 3.0, -1_041.0, 1_047.0, 12, True, layout=True, first="prep", first_us=-490.0),
         "B is faster than A: prep takes -0.490 ms in every pair, and all before it the same (+0.003 ms ± 1.044 ms in "
         "12 pairs in all, for it moves where the rest lies): web uses more."),
        (PairedJudgement("same", 300.0, 200.0, 400.0, 12, True, layout=True),
         "B boots as A does: +0.300 ms ± 0.100 ms in 12 pairs, another difference each time, as where things lie in an "
         "image alone makes it (up to 0.600 ms)."),
        (PairedJudgement("same", 300.0, 200.0, 400.0, 4, True, asked_us=8_000),
         "B boots as A does: +0.300 ms ± 0.100 ms in 4 pairs, and a service that programs ask for its health may have "
         "had it 8.000 ms before."),
        (PairedJudgement("same", 3.0, 2.0, 4.0, 4, True), "B boots as A does: +0.003 ms ± 0.001 ms in 4 pairs."),
        (PairedJudgement("same", 3.0, 2.0, 4.0, 4, True, first="prep"),
         "B boots as A does: +0.003 ms ± 0.001 ms in 4 pairs."),
    ],
)  # fmt: skip
def test_what_pairs_showed_is_said_in_one_sentence(found: PairedJudgement, said: str) -> None:
    assert told(found, ("A", "B"), "arm64", ": web uses more") == said
    assert told(found, ("A", "B"), "arm64") == said.replace(": web uses more", "")
